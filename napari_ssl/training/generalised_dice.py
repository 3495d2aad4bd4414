"""Generalised Dice per sample (Sudre et al., Generalised Dice overlap …, DLMIA 2017), and plain Dice per sample.

Shapes: ``p`` and ``target`` are ``(B, K, [Z,] Y, X)`` float32, class probabilities and one-hot (or soft) labels.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = ["class_weights", "generalised_dice_loss_per_sample", "hard_dice_per_sample"]


def class_weights(sizes: Tensor) -> Tensor:
    """Weights ∝ 1 / size² of the classes ``(B, K)``, the largest of a sample scaled to 1.

    1 / size² is infinite for a class that is not in the sample: it takes the largest weight of those that are, so that
    its false positives count like an error on the smallest structure. All 0 for a sample without any voxel.
    """
    present = sizes > 0
    smallest = sizes.masked_fill(~present, float("inf")).min(dim=1, keepdim=True).values
    relative = (smallest / sizes.where(present, smallest)) ** 2
    return relative.where(present.any(dim=1, keepdim=True), relative.new_zeros(()))


def generalised_dice_loss_per_sample(p: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """1 − 2 Σ_c π_c Σ_j P_jc P̂_jc / Σ_c π_c Σ_j (P_jc + P̂_jc), π_c = 1 / (Σ_j P_jc)² → ``(B,)``.

    Parameters
    ----------
    p, target : Tensor (B, K, …) float32
    mask : Tensor (B, 1, …), optional
        The sums are over the voxels where it is 1. A sample without such a voxel has a loss of 0 with a gradient of 0.
    """
    if mask is not None:
        p, target = p * mask, target * mask
    sizes = target.flatten(2).sum(dim=2)
    weights = class_weights(sizes)
    both = (weights * (p * target).flatten(2).sum(dim=2)).sum(dim=1)
    total = (weights * (p.flatten(2).sum(dim=2) + sizes)).sum(dim=1)
    is_empty = total <= 0
    return (1 - 2 * both / total.masked_fill(is_empty, 1)).masked_fill(is_empty, 0)


def hard_dice_per_sample(p: Tensor, target: Tensor) -> Tensor:
    """Dice of the arg-max of ``p``, mean over the structures (background left out) → ``(B,)`` without gradient.

    A structure that is neither in the labels nor in the arg-max counts as 1; one in either alone as 0.
    """
    n_classes = p.shape[1]
    chosen = functional.one_hot(p.detach().argmax(dim=1), n_classes).movedim(-1, 1).to(target.dtype)[:, 1:]
    target = target.detach()[:, 1:]
    both = (chosen * target).flatten(2).sum(dim=2)
    sizes = (chosen + target).flatten(2).sum(dim=2)
    return (2 * both / sizes.clamp(min=1)).masked_fill(sizes == 0, 1).mean(dim=1)
