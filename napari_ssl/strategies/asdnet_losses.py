"""The losses of Nie et al., MICCAI 2018, Eqs. 2 to 6 (Eq. 1 is `training.generalised_dice`).

Shapes: probability and label maps ``(B, K, [Z,] Y, X)``, discriminator's logits ``(B, 1, [Z,] Y, X)`` or ``(B, 1)``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_ssl.training.generalised_dice import generalised_dice_loss_per_sample, hard_dice_per_sample
from napari_ssl.training.losses import one_hot_of

__all__ = [
    "confidence_mask",
    "discriminator_loss",
    "fooling_loss",
    "pseudo_label",
    "region_attention_loss",
    "sample_attention",
]


def sample_attention(p: Tensor, target: Tensor, beta: float) -> Tensor:
    """(1 − dsc)^β of each sample ``(B,)``, without gradient (Eq. 2).

    dsc is the Dice of the arg-max, mean over the structures; one that is in neither map counts as 1, so that a slice
    without structures is an easy sample once nothing is found in it.
    """
    return (1 - hard_dice_per_sample(p, target)) ** beta


def _bce(logits: Tensor, is_real: bool) -> Tensor:
    """Binary cross-entropy against 1 or 0, mean over the image domain and the batch (Eq. 4)."""
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(is_real)))


def discriminator_loss(on_labels: Tensor, on_predictions: Tensor) -> Tensor:
    """BCE(D(P), 1) + BCE(D(S(X)), 0) from the two logits (Eq. 3)."""
    return _bce(on_labels, True) + _bce(on_predictions, False)


def fooling_loss(on_predictions: Tensor) -> Tensor:
    """BCE(D(S(O)), 1) from the logits (Eq. 5)."""
    return _bce(on_predictions, True)


def confidence_mask(logits: Tensor, gamma: float) -> Tensor:
    """[M > γ] with M = D(P̂), float without gradient: 1 in the confident region."""
    return (logits.detach().sigmoid() > gamma).float()


def pseudo_label(p: Tensor) -> Tensor:
    """One-hot arg-max of P̂, float without gradient."""
    return one_hot_of(p.detach().argmax(dim=1), p.shape[1])


def region_attention_loss(p: Tensor, logits: Tensor, weights: Tensor, gamma: float) -> Tensor:
    """Generalised Dice of P̂ against its own arg-max inside the confident region (Eq. 6); a scalar.

    Gradient reaches P̂ alone. A sample without a confident voxel adds 0.

    Parameters
    ----------
    p : Tensor (B, K, …)
        P̂ = S(U).
    logits : Tensor (B, 1, …)
        D(P̂), before the sigmoid.
    weights : Tensor (B,)
        Weights of the samples.
    gamma : float
    """
    per_sample = generalised_dice_loss_per_sample(p, pseudo_label(p), confidence_mask(logits, gamma))
    return (per_sample * weights).mean()
