"""Losses with a weight per slice: the λ of Bai 2017, Eq. 2.

Both are means over the batch of (weight · loss of the slice), not divided by the sum of weights: a slice of weight λ
counts λ times one of weight 1, and a slice of weight 0 not at all. All arithmetic is in float32.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from napari_ssl.errors import CatalogueError

__all__ = ["LOSSES", "Loss", "choose_loss", "cross_entropy", "dice_cross_entropy"]

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

_SMOOTH = 1e-5


def _per_pixel(logits: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-probabilities and one-hot classes, both ``(B, K, Y, X)`` float32.

    One-hot products instead of gathering: these have deterministic gradients on CUDA.
    """
    log_p = functional.log_softmax(logits.float(), dim=1)
    one_hot = (classes[:, None] == log_p.new_tensor(range(logits.shape[1]))[:, None, None]).to(log_p.dtype)
    return log_p, one_hot


def _weighted_cross_entropy(log_p: Tensor, one_hot: Tensor, weights: Tensor) -> Tensor:
    per_slice = -(log_p * one_hot).sum(dim=1).mean(dim=(1, 2))
    return (per_slice * weights).mean()


def cross_entropy(logits: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """Pixel-wise cross-entropy (Bai 2017, Eqs. 1 and 2).

    Parameters
    ----------
    logits : Tensor (B, K, Y, X)
    classes : Tensor (B, Y, X) uint8
        Every pixel counts; there is no value to ignore.
    weights : Tensor (B,)

    Returns
    -------
    Tensor
        Scalar.
    """
    return _weighted_cross_entropy(*_per_pixel(logits, classes), weights)


def dice_cross_entropy(logits: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy plus 1 − soft Dice of the batch, mean over the structures (Isensee et al. 2021).

    Dice is taken over all pixels of the batch, each slice's sums multiplied by its weight, and its part of the loss by
    the mean weight; a structure that is absent from labels and prediction counts as Dice 1. Arguments as
    `cross_entropy`.
    """
    log_p, one_hot = _per_pixel(logits, classes)
    p, one_hot_foreground = log_p.exp()[:, 1:], one_hot[:, 1:]
    both = ((p * one_hot_foreground).sum(dim=(2, 3)) * weights[:, None]).sum(dim=0)
    sizes = ((p.sum(dim=(2, 3)) + one_hot_foreground.sum(dim=(2, 3))) * weights[:, None]).sum(dim=0)
    dice = (2 * both + _SMOOTH) / (sizes + _SMOOTH)
    return _weighted_cross_entropy(log_p, one_hot, weights) + weights.mean() * (1 - dice.mean())


LOSSES: dict[str, Loss] = {"cross-entropy": cross_entropy, "dice-cross-entropy": dice_cross_entropy}


def choose_loss(name: str) -> Loss:
    """Return the loss called `name`; CatalogueError lists the names there are."""
    if name not in LOSSES:
        raise CatalogueError(f"no loss {name!r}; there are: {', '.join(LOSSES)}")
    return LOSSES[name]
