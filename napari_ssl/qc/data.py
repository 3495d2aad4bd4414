"""Examples as arrays, their weights, and folds that no subject is shared between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.quality import CurveExample, QcParameters
from napari_ssl.errors import SpecError
from napari_ssl.qc.inputs import N_PER_STRUCTURE, curve_array, prepare

__all__ = ["Examples", "augment", "balanced", "folds_by_subject", "gather"]

_LARGEST_TURN = 1 / 16
_LEFT_OUT = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examples:
    """Prepared curve sets: ``inputs`` (N, L, C), ``lengths``, ``good`` and ``weight`` (N,), and whose they are."""

    inputs: Tensor
    lengths: Tensor
    good: NDArray[np.bool_]
    weight: NDArray[np.float64]
    subjects: NDArray[np.str_]
    sources: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.good)


def gather(examples: Sequence[CurveExample], scheme: LabelScheme, kind: str, parameters: QcParameters) -> Examples:
    """Prepare examples for the classifier; SpecError when one lacks the curves that the kind needs."""
    sets = [curve_array(e.curves, scheme, kind) for e in examples]
    inputs, lengths = prepare(sets, length=parameters.length, n_points=parameters.n_points)
    return Examples(
        inputs=torch.from_numpy(inputs),
        lengths=torch.from_numpy(lengths),
        good=np.array([e.good for e in examples], bool),
        weight=np.array([e.weight for e in examples], float),
        subjects=np.array([e.subject_id for e in examples], str),
        sources=np.array([e.source.value for e in examples], str),
    )


def balanced(good: NDArray[np.bool_], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale weights so that good and erroneous ones sum to the same and the mean is 1."""
    result = np.asarray(weight, float).copy()
    for verdict in (True, False):
        total = result[good == verdict].sum()
        if total > 0:
            result[good == verdict] *= len(good) / 2 / total
    return result


def folds_by_subject(examples: Examples, n: int, seed: int) -> list[NDArray[np.intp]]:
    """Split the rows into `n` folds; a subject is in one fold, and folds have alike shares of each verdict and source.

    Subjects are ordered by what they bring (source, share of good), shuffled among equals, and dealt out in turn.

    Raises
    ------
    SpecError
        Fewer subjects than folds, or too few with a verdict for every fold's complement to hold both.
    """
    names, member = np.unique(examples.subjects, return_inverse=True)
    rng = np.random.default_rng(seed)
    share = np.bincount(member, examples.good) / np.bincount(member)
    simulated = np.bincount(member, examples.sources == "simulated") / np.bincount(member)
    order = np.lexsort((rng.random(len(names)), np.round(share, 1), np.round(simulated)))
    fold_of = np.empty(len(names), int)
    fold_of[order] = np.arange(len(names)) % n
    folds = [np.flatnonzero(fold_of[member] == k) for k in range(n)]
    for fold in folds:
        rest = np.setdiff1d(np.arange(len(examples)), fold)
        if not len(fold) or len(set(examples.good[rest].tolist())) < 2:
            raise SpecError(
                f"{len(names)} subjects with {int(examples.good.sum())} good and {int((~examples.good).sum())} "
                f"erroneous curve sets are too few for {n} folds; rate more cases, or lower 'folds'"
            )
    return folds


def augment(inputs: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
    """Turn each cycle by up to 1/16 of its length and leave out a structure now and then; (B, L, C) in and out.

    The first teaches that end-diastole is found only nearly, the second that a structure may be absent.
    """
    n, longest, n_channels = inputs.shape
    shift = (torch.rand(n, generator=generator) * 2 - 1) * _LARGEST_TURN * lengths
    position = torch.arange(longest)
    source = (position[None] + shift.round().long()[:, None]) % lengths[:, None]
    source = torch.where(position[None] < lengths[:, None], source, position[None])
    turned = torch.gather(inputs, 1, source[:, :, None].expand(-1, -1, n_channels))
    n_structures = n_channels // N_PER_STRUCTURE
    if n_structures > 1:
        hit = torch.rand(n, generator=generator) < _LEFT_OUT
        which = torch.randint(1, n_structures, (n,), generator=generator)  # never the first: others are scaled by it
        keep = torch.ones(n, n_channels)
        rows = torch.arange(n)[hit]
        for part in range(N_PER_STRUCTURE):
            keep[rows, which[hit] + part * n_structures] = 0
        turned = turned * keep[:, None]
    return turned
