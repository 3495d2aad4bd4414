"""Losses with a weight per slice: the λ of Bai 2017, Eq. 2.

Both are means over the batch of (weight · loss of the slice), not divided by the sum of weights: a slice of weight λ
counts λ times one of weight 1, and a slice of weight 0 not at all. All arithmetic is in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from napari_ssl.errors import CatalogueError
from napari_ssl.training.generalised_dice import generalised_dice_loss_per_sample

__all__ = [
    "LOSSES",
    "Loss",
    "at_size",
    "choose_loss",
    "cross_entropy",
    "dice_cross_entropy",
    "generalised_dice",
    "masked_cross_entropy",
    "masked_dice",
    "one_hot_of",
    "supervised_loss",
]

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

_SMOOTH = 1e-5
_TINY = 1e-10


def one_hot_of(target: Tensor, n_classes: int) -> Tensor:
    """Return ``(B, K, …)`` float32 of class indices ``(B, …)``; probabilities ``(B, K, …)`` pass as they are.

    Comparisons instead of scattering: these are deterministic on CUDA.
    """
    if target.is_floating_point():
        return target
    classes = torch.arange(n_classes, device=target.device, dtype=target.dtype)
    return (target[:, None] == classes.reshape(1, -1, *(1,) * (target.ndim - 1))).float()


def _per_pixel(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-probabilities and one-hot or soft labels, both ``(B, K, …)`` float32.

    One-hot products instead of gathering: these have deterministic gradients on CUDA.
    """
    return functional.log_softmax(logits.float(), dim=1), one_hot_of(target, logits.shape[1])


def _weighted_cross_entropy(log_p: Tensor, one_hot: Tensor, weights: Tensor) -> Tensor:
    per_slice = -(log_p * one_hot).sum(dim=1).flatten(1).mean(dim=1)
    return (per_slice * weights).mean()


def cross_entropy(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Pixel-wise cross-entropy (Bai 2017, Eqs. 1 and 2).

    Parameters
    ----------
    logits : Tensor (B, K, Y, X) or (B, K, Z, Y, X)
    target : Tensor (B, …) uint8 or (B, K, …) float32
        Class indices or class probabilities. Every pixel counts; there is no value to ignore.
    weights : Tensor (B,)

    Returns
    -------
    Tensor
        Scalar.
    """
    return _weighted_cross_entropy(*_per_pixel(logits, target), weights)


def dice_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy plus 1 − soft Dice of the batch, mean over the structures (Isensee et al. 2021).

    Dice is taken over all pixels of the batch, each slice's sums multiplied by its weight, and its part of the loss by
    the mean weight; a structure that is absent from labels and prediction counts as Dice 1. Arguments as
    `cross_entropy`.
    """
    log_p, one_hot = _per_pixel(logits, target)
    p, one_hot_foreground = log_p.exp()[:, 1:], one_hot[:, 1:]
    both = ((p * one_hot_foreground).flatten(2).sum(dim=2) * weights[:, None]).sum(dim=0)
    sizes = ((p.flatten(2).sum(dim=2) + one_hot_foreground.flatten(2).sum(dim=2)) * weights[:, None]).sum(dim=0)
    dice = (2 * both + _SMOOTH) / (sizes + _SMOOTH)
    return _weighted_cross_entropy(log_p, one_hot, weights) + weights.mean() * (1 - dice.mean())


def masked_dice(p: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """1 − Dice with squared denominators over the pixels of a mask, mean over all classes; an empty mask gives 0.

    Parameters
    ----------
    p : Tensor (B, K, …)
        Probabilities.
    target : Tensor (B, …) uint8
        Class indices.
    mask : Tensor (B, …) float32
        Weight of every pixel, 0 leaves it out.
    """
    over = (0, *range(2, p.ndim))
    one_hot, kept = one_hot_of(target, p.shape[1]), mask[:, None]
    both = (p * one_hot * kept).sum(dim=over)
    sizes = (p.square() * kept).sum(dim=over) + (one_hot * kept).sum(dim=over)
    return (1 - (2 * both + _TINY) / (sizes + _TINY)).mean()


def masked_cross_entropy(logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean cross-entropy over the pixels of a mask; an empty mask gives 0. Arguments as `masked_dice`, with logits."""
    log_p, one_hot = _per_pixel(logits, target)
    return -((log_p * one_hot).sum(dim=1) * mask).sum() / mask.sum().clamp_min(1.0)


def generalised_dice(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """1 − generalised Dice of each sample (Sudre et al. 2017), weighted and averaged. Arguments as `cross_entropy`."""
    p = logits.float().softmax(dim=1)
    return (generalised_dice_loss_per_sample(p, one_hot_of(target, p.shape[1])) * weights).mean()


def at_size(target: Tensor, size: Sequence[int]) -> Tensor:
    """Resample a target to the size of an auxiliary output: nearest neighbour, for probabilities the mean."""
    if tuple(target.shape[-len(size) :]) == tuple(size):
        return target
    if target.is_floating_point():
        return functional.interpolate(target, size=tuple(size), mode="area")
    return functional.interpolate(target[:, None].float(), size=tuple(size), mode="nearest-exact")[:, 0].to(
        target.dtype
    )


def supervised_loss(
    outputs: Tensor | tuple[Tensor, ...], target: Tensor, weights: Tensor, *, loss: Loss, auxiliary: float
) -> Tensor:
    """Loss of the main output plus, with deep supervision, Σ_k w^k times that of the k-th auxiliary output.

    Parameters
    ----------
    outputs : Tensor or tuple of Tensor
        Logits; the main output first, the others of lower resolution.
    auxiliary : float
        w; Lee et al., Deeply-supervised nets, 2015; 1/2 as in Isensee et al. 2021.
    """
    if isinstance(outputs, Tensor):
        return loss(outputs, target, weights)
    total = loss(outputs[0], target, weights)
    for k, output in enumerate(outputs[1:], start=1):
        total = total + auxiliary**k * loss(output, at_size(target, output.shape[2:]), weights)
    return total


LOSSES: dict[str, Loss] = {
    "cross-entropy": cross_entropy,
    "dice-cross-entropy": dice_cross_entropy,
    "generalised-dice": generalised_dice,
}


def choose_loss(name: str) -> Loss:
    """Return the loss called `name`; CatalogueError lists the names there are."""
    if name not in LOSSES:
        raise CatalogueError(f"no loss {name!r}; there are: {', '.join(LOSSES)}")
    return LOSSES[name]
