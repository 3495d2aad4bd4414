"""Auxiliary manifold embedding (the arm ``semi-embed``): Baur, Albarqouni, Navab: Semi-supervised deep learning for
fully convolutional networks. MICCAI 2017 (arXiv 1703.06000), which Nie 2018 compares with as semiEmbedFCN.

Of the features in front of the last layer some are drawn at random (*random feature embedding*): as many from labelled
as from unlabelled images, most of them from the background. Features with the same label shall point the same way,
others at least `margin` apart::

    D(f, g) = arccos(f·g / |f||g|) / π                                  angular cosine distance, in [0, 1]
    L_E = mean over pairs i ≠ j of   D(f_i, f_j)                 where the labels agree
                                     max(0, margin − D(f_i, f_j))       elsewhere
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["angular_distance", "embedding_loss", "sample_features"]

_EDGE = 1e-4
"""Cosines are kept so far from ±1, where the arc cosine's gradient is infinite."""


def sample_features(
    embedding: Tensor, classes: Tensor, n: int, background: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw about `n` feature vectors of a batch, a share `background` of them from class 0.

    The other classes that are there share the rest evenly. A class with fewer pixels gives all it has.

    Parameters
    ----------
    embedding : Tensor (B, F, [Z,] Y, X)
    classes : Tensor (B, [Z,] Y, X)
        Labels or pseudo-labels.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    features : Tensor (n, F)
    classes : Tensor (n,)
    """
    flat = classes.reshape(-1)
    features = embedding.movedim(1, -1).reshape(len(flat), -1)
    present = torch.unique(flat).tolist()
    n_structures = sum(c > 0 for c in present)
    drawn = []
    for c in present:
        share = background if c == 0 else (1 - background) / n_structures
        wanted = max(1, round(n * (share if n_structures else 1.0)))
        there = torch.nonzero(flat == c)[:, 0]
        drawn.append(there[torch.randperm(len(there), generator=generator)[:wanted].to(there.device)])
    chosen = torch.cat(drawn)
    return features.index_select(0, chosen), flat[chosen]


def angular_distance(features: Tensor) -> Tensor:
    """Angles between all pairs of vectors over π: ``(n, F)`` → ``(n, n)`` in [0, 1]."""
    unit = functional.normalize(features, dim=1)
    return torch.arccos((unit @ unit.T).clamp(-1 + _EDGE, 1 - _EDGE)) / math.pi


def embedding_loss(features: Tensor, classes: Tensor, margin: float) -> Tensor:
    """L_E, mean over all pairs of different vectors; 0 for fewer than two vectors."""
    n = len(features)
    distance = angular_distance(features)
    is_same = classes[:, None] == classes[None, :]
    cost = torch.where(is_same, distance, (margin - distance).clamp(min=0))
    others = 1 - torch.eye(n, device=features.device, dtype=features.dtype)
    return (cost * others).sum() / max(1, n * (n - 1))
