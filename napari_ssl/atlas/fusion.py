"""Label fusion: what several warped atlases say together.

P. Coupé et al., Patch-based segmentation using expert priors, NeuroImage 54, 2011, and W. Bai et al., A probabilistic
patch-based label fusion model for multi-atlas segmentation with registration refinement, IEEE TMI 32, 2013: every
atlas patch near a voxel votes with its label, weighted by how alike the patches are. W. Bai et al., MICCAI 2017,
Sec. 3.3 weighs by cross-correlation::

    ρ_n(x, d) = correlation coefficient of the target's patch at x and the patch of atlas n at x + d
    w_n(x, d) = max(0, ρ_n(x, d))^γ · exp(−|d|² / (2 σ²)),   σ = (r + 1) / 2,  |d|_∞ ≤ r in the slice
    P_k(x)    = Σ_n Σ_d w_n(x, d) [L_n(x + d) = k]  /  Σ_n Σ_d w_n(x, d)                                    (F)

Patches are squares of the slice; a constant patch has ρ = 0. Where all weights vanish the majority decides. γ = 0
counts every patch that correlates positively the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from napari_ssl.atlas.windows import box_sums
from napari_ssl.errors import JobError

__all__ = ["correlation_fusion", "majority_vote"]


def majority_vote(labels: Sequence[NDArray[np.uint8]], n_classes: int) -> NDArray[np.float32]:
    """Share of the atlases ``(Z, Y, X)`` that give each class: ``(K, Z, Y, X)``.

    Raises
    ------
    JobError
        No atlas.
    """
    if not labels:
        raise JobError("no atlas could be registered; check the image, or train multi-atlas with other cases")
    votes = np.zeros((n_classes, *labels[0].shape), np.float32)
    for one in labels:
        for k in range(n_classes):
            votes[k] += one == k
    return votes / np.float32(len(labels))


def _shifted(values: NDArray[np.generic], dy: int, dx: int) -> NDArray[np.generic]:
    """Values at ``(z, y + dy, x + dx)``, zero beyond the edges."""
    result = np.zeros_like(values)
    n_y, n_x = values.shape[1:]
    to_y, to_x = slice(max(0, -dy), min(n_y, n_y - dy)), slice(max(0, -dx), min(n_x, n_x - dx))
    from_y, from_x = slice(max(0, dy), min(n_y, n_y + dy)), slice(max(0, dx), min(n_x, n_x + dx))
    result[:, to_y, to_x] = values[:, from_y, from_x]
    return result


def correlation_fusion(
    target: NDArray[np.float32],
    atlases: Iterable[tuple[NDArray[np.float32], NDArray[np.uint8]]],
    n_classes: int,
    *,
    patch_radius: int = 3,
    search_radius: int = 1,
    gamma: float = 4.0,
) -> NDArray[np.float32]:
    """Fuse warped atlases by (F).

    Parameters
    ----------
    target : array (Z, Y, X)
    atlases : iterable of (image, labels)
        On the target's grid; labels are classes 0…K−1.
    patch_radius, search_radius : int
        In pixels of the slice; patches are ``2 radius + 1`` squared.
    gamma : float

    Returns
    -------
    array (K, Z, Y, X) float32
        Sums to 1 over the classes.

    Raises
    ------
    JobError
        No atlas.
    """
    pairs = list(atlases)
    votes = majority_vote([labels for _, labels in pairs], n_classes)  # where nothing correlates
    weighted = np.zeros(votes.shape, np.float64)
    n = box_sums(np.ones(target.shape[1:]), patch_radius)
    sum_t = box_sums(target, patch_radius)
    v_t = np.maximum(box_sums(np.square(target, dtype=np.float64), patch_radius) - sum_t**2 / n, 0)
    sigma = (search_radius + 1) / 2
    for image, labels in pairs:
        for dy, dx in product(range(-search_radius, search_radius + 1), repeat=2):
            a = _shifted(image, dy, dx).astype(np.float64)
            sum_a = box_sums(a, patch_radius)
            v_a = np.maximum(box_sums(a * a, patch_radius) - sum_a**2 / n, 0)
            c = box_sums(target * a, patch_radius) - sum_t * sum_a / n
            spread = v_t * v_a
            rho = np.where(spread > 1e-10, c / np.sqrt(np.maximum(spread, 1e-10)), 0.0)
            weight = np.where(rho > 0, np.maximum(rho, 0) ** gamma, 0.0)
            weight *= np.exp(-(dy * dy + dx * dx) / (2 * sigma**2))
            classes = _shifted(labels, dy, dx)
            for k in range(n_classes):
                weighted[k] += weight * (classes == k)
    total = weighted.sum(axis=0)
    return np.where(total > 1e-9, weighted / np.maximum(total, 1e-9), votes).astype(np.float32)
