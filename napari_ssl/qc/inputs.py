"""From a curve set to what the classifier reads: ratios over shares of the cycle, no millilitres, no milliseconds.

The rule, for curves V_k(t) of K structures in any unit, t = 0 … T − 1:

1. Frames without labels (NaN) are filled by straight lines between their neighbours, the last frame being followed by
   the first. A structure without any value, or that the label scheme lacks, is 0 throughout.
2. Every curve is divided by S, the 95th percentile over the frames of the left ventricle (of the first structure that
   is not empty when that is 0). Voxel spacing cancels; what is left are EF, RV/LV, Myo/LV and the shapes. A single
   frame that is wrong does not move the percentile.
3. The cycle is turned so that it begins at end-diastole: the largest value of the reference curve after a circular mean
   over T/8 frames. It need not begin there in the acquisition.
4. Beside each ratio stands its jump: the ratio less the mean of the frames before and after it, in tenths. A frame
   that does not belong to its neighbours shows there as to a reader's eye, whatever the shape of the curve.
5. ``resample``: T frames become N points of equal distance over the cycle, by straight lines where T <= N and by the
   mean over each N-th of the cycle where T > N; of the jumps the largest in each N-th is kept (the nearest where
   T <= N), so that no single frame gets lost. ``mask``: the frames are kept, and shorter cycles are padded behind
   their end.
6. And a flag: 1 where the frame was labelled, 0 where it was filled or padded.

Time is not used: the frames of a cine lie at equal distances over one beat.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.quality import CURVE_ROLES
from napari_ssl.errors import SpecError

__all__ = [
    "ALIGNMENT_SHARE",
    "N_PER_STRUCTURE",
    "back_to_frames",
    "curve_array",
    "normalise",
    "prepare",
    "resampling_matrix",
]

SCALE_PERCENTILE = 95.0
N_PER_STRUCTURE = 3
"""Channels per structure: ratio, jump and flag."""
JUMP_UNIT = 0.1
"""Jumps are ten times smaller than ratios; unless both are alike in size three LSTM layers do not begin to learn."""
ALIGNMENT_SHARE = 8
"""The curve is averaged over T divided by this before its largest value is taken for end-diastole."""


def curve_array(curves: Mapping[str, Any], scheme: LabelScheme, kind: str) -> NDArray[np.float64]:
    """Gather the curves of one segmentation.

    Parameters
    ----------
    curves : mapping of structure name to (T,) values or `VolumeCurve`
        None or NaN where a frame is not labelled.
    scheme : LabelScheme
        Says which name plays which role.
    kind : str
        ``short-axis`` or ``aorta``.

    Returns
    -------
    (K, T) float64
        In the order of `CURVE_ROLES`; NaN throughout for a structure that is not there.

    Raises
    ------
    SpecError
        No curve of this kind, fewer than two frames, or curves of different length.
    """
    found: list[NDArray[np.float64] | None] = []
    for role in CURVE_ROLES[kind]:
        structure = scheme.by_role(role)
        values = curves.get(structure.name) if structure is not None else None
        values = getattr(values, "volume_ml", values)
        found.append(None if values is None else np.asarray(values, np.float64))
    lengths = {len(v) for v in found if v is not None}
    if len(lengths) != 1 or min(lengths) < 2:
        raise SpecError(
            f"curves of {', '.join(curves) or 'nothing'}: a {kind} classifier needs {', '.join(CURVE_ROLES[kind])} "
            f"over two frames or more, all of one length; got lengths {sorted(lengths)}"
        )
    n_frames = lengths.pop()
    return np.stack([np.full(n_frames, np.nan) if v is None else v for v in found])


def _filled(volumes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fill NaN of (N, K, T) along the last axis, circularly; a row without any value becomes 0."""
    known = np.isfinite(volumes)
    if known.all():
        return volumes
    filled = np.where(known, volumes, 0.0)
    n_frames = volumes.shape[-1]
    frames = np.arange(n_frames)
    for n, k in np.argwhere(~known.all(axis=-1)):
        at = np.flatnonzero(known[n, k])
        if len(at):
            filled[n, k] = np.interp(frames, at, volumes[n, k, at], period=n_frames)
    return filled


def _circular_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean over `width` neighbours (odd) along the last axis of (N, T)."""
    half = width // 2
    padded = np.concatenate([values[:, values.shape[1] - half :], values, values[:, :half]], axis=1) if half else values
    sums = np.cumsum(np.pad(padded, ((0, 0), (1, 0))), axis=1)
    return (sums[:, 2 * half + 1 :] - sums[:, : -(2 * half + 1)]) / (2 * half + 1)


def normalise(volumes: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Apply steps 1 to 4 and 6 of the rule to curve sets of one length.

    Parameters
    ----------
    volumes : (N, K, T) float64

    Returns
    -------
    (N, T, 3K) float32
        K ratios, then K jumps, then K flags.
    (N,) int
        The frame that became the first.
    """
    volumes = np.asarray(volumes, np.float64)
    n_frames = volumes.shape[-1]
    known = np.isfinite(volumes)
    filled = _filled(volumes)
    levels = np.percentile(filled, SCALE_PERCENTILE, axis=-1)  # (N, K)
    reference = np.argmax(levels > 0, axis=1)
    rows = np.arange(len(volumes))
    scale = levels[rows, reference]
    ratios = filled / np.where(scale > 0, scale, 1.0)[:, None, None]
    first = np.argmax(_circular_mean(ratios[rows, reference], n_frames // ALIGNMENT_SHARE // 2 * 2 + 1), axis=1)
    order = (first[:, None] + np.arange(n_frames)) % n_frames
    jumps = (ratios - (np.roll(ratios, 1, axis=-1) + np.roll(ratios, -1, axis=-1)) / 2) / JUMP_UNIT
    together = np.concatenate([ratios, jumps, known], axis=1)
    turned = np.take_along_axis(together, order[:, None, :], axis=2)
    return turned.transpose(0, 2, 1).astype(np.float32), first


def resampling_matrix(n_frames: int, n_points: int) -> NDArray[np.float32]:
    """Return the (n_points, n_frames) weights of step 5; every row sums to 1."""
    matrix = np.zeros((n_points, n_frames))
    if n_frames <= n_points:
        position = np.arange(n_points) * n_frames / n_points
        low = position.astype(int)
        share = position - low
        rows = np.arange(n_points)
        np.add.at(matrix, (rows, low), 1 - share)
        np.add.at(matrix, (rows, (low + 1) % n_frames), share)
    else:
        edges = np.arange(n_points + 1) * n_frames / n_points
        frames = np.arange(n_frames)
        overlap = np.minimum(edges[1:, None], frames + 1) - np.maximum(edges[:-1, None], frames)
        matrix = np.clip(overlap, 0, None) * n_points / n_frames
    return matrix.astype(np.float32)


def _resample(part: NDArray[np.float32], n_points: int) -> NDArray[np.float32]:
    """Step 5 for (N, T, 3K): weighted means of ratios and flags, the largest jump of each part of the cycle."""
    n_frames, n_structures = part.shape[1], part.shape[2] // N_PER_STRUCTURE
    matrix = resampling_matrix(n_frames, n_points)
    result = np.matmul(matrix, part)
    jumps = part[..., n_structures : 2 * n_structures]
    if n_frames <= n_points:
        nearest = np.rint(np.arange(n_points) * n_frames / n_points).astype(int) % n_frames
        result[..., n_structures : 2 * n_structures] = jumps[:, nearest]
        return result
    for point in range(n_points):
        within = jumps[:, matrix[point] > 0]
        largest = np.abs(within).argmax(axis=1)
        result[:, point, n_structures : 2 * n_structures] = np.take_along_axis(within, largest[:, None], axis=1)[:, 0]
    return result


def prepare(
    sets: Sequence[NDArray[np.float64]], *, length: str, n_points: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Bring curve sets (K, T) of any lengths into one array.

    Returns
    -------
    (N, L, 3K) float32
        L is `n_points` (``resample``) or the longest cycle (``mask``).
    (N,) int64
        Number of points that count: all with ``resample``, the frames of each cycle with ``mask``.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for n, volumes in enumerate(sets):
        by_length[volumes.shape[1]].append(n)
    longest = n_points if length == "resample" else max(by_length, default=1)
    n_channels = N_PER_STRUCTURE * (sets[0].shape[0] if sets else 1)
    inputs = np.zeros((len(sets), longest, n_channels), np.float32)
    lengths = np.full(len(sets), longest, np.int64)
    for n_frames, members in by_length.items():
        part, _ = normalise(np.stack([sets[n] for n in members]))
        if length == "resample":
            inputs[members] = _resample(part, n_points)
        else:
            inputs[members, :n_frames] = part
            lengths[members] = n_frames
    return inputs, lengths


def back_to_frames(attribution: NDArray[np.float64], n_frames: int, first: int, *, length: str) -> NDArray[np.float64]:
    """Bring an attribution (L, C) over prepared points back to the frames of the acquisition, (T, C); sums are kept."""
    if length == "resample":
        matrix = resampling_matrix(n_frames, len(attribution)).astype(np.float64)
        share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1e-12)
        attribution = share.T @ attribution
    return np.roll(attribution[:n_frames], first, axis=0)
