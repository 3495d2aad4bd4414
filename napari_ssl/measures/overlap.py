"""Dice, 95th-percentile Hausdorff distance, average surface distance and normalised surface Dice, through MONAI, in mm.

Empty masks are defined in `empty_rule` and nowhere else:

=============  =====  ======================  ===
prediction     Dice   HD95 and ASD            NSD
=============  =====  ======================  ===
both empty     1      0 mm                    1
one is empty   0      diagonal of the image   0
=============  =====  ======================  ===

The diagonal (mm, from first to last voxel centre) is the largest distance that two voxels of the image can have, so a
missed structure counts as the worst error possible, stays finite, and a mean over cases cannot be bettered by leaving
a structure out.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.errors import LabelError

__all__ = [
    "METRICS",
    "NSD_TOLERANCE_MM",
    "VOXEL_METRICS",
    "empty_rule",
    "evaluate_case",
    "evaluate_frame",
    "evaluate_frames",
    "mask_overlap",
    "mean_over_frames",
]

METRICS = ("dice", "hd95_mm", "asd_mm", "nsd")
VOXEL_METRICS = ("hd95_voxel", "asd_voxel")
"""Distances as if every voxel were a cube of edge 1: what papers report that leave the spacing out."""
NSD_TOLERANCE_MM = 2.0
"""Surface deviation that still counts as agreement: about one pixel of a cine, within what two readers differ by."""


def empty_rule(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing_mm: Sequence[float]
) -> dict[str, float] | None:
    """Scores when a mask is empty (see the table above); None when both hold something."""
    any_prediction, any_reference = bool(prediction.any()), bool(reference.any())
    if any_prediction and any_reference:
        return None
    if not any_prediction and not any_reference:
        return {"dice": 1.0, "hd95_mm": 0.0, "asd_mm": 0.0, "nsd": 1.0}
    extent = [(n - 1) * s for n, s in zip(prediction.shape, spacing_mm, strict=True)]
    diagonal = float(np.linalg.norm(extent))
    return {"dice": 0.0, "hd95_mm": diagonal, "asd_mm": diagonal, "nsd": 0.0}


def mask_overlap(
    prediction: NDArray[Any],
    reference: NDArray[Any],
    spacing_mm: Sequence[float],
    *,
    nsd_tolerance_mm: float = NSD_TOLERANCE_MM,
) -> dict[str, float]:
    """Compare two masks of one structure.

    Parameters
    ----------
    prediction, reference : (Y, X) or (Z, Y, X) bool
        A volume of a single slice is compared as a 2D image: in 3D every one of its pixels would be surface.
    spacing_mm : two or three floats
        In the order of the axes.
    nsd_tolerance_mm : float

    Returns
    -------
    dict
        ``dice``; ``hd95_mm`` and ``asd_mm``, both symmetric (the greater of the two directed 95th percentiles, the
        mean over both surfaces); ``nsd``, the share of both surfaces that lies within the tolerance of the other.

    Raises
    ------
    LabelError
        Masks of different shape.
    """
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice

    prediction, reference = np.asarray(prediction, bool), np.asarray(reference, bool)
    _same_shape(prediction, reference)
    spacing = [float(s) for s in spacing_mm]
    exception = empty_rule(prediction, reference, spacing)
    if exception is not None:
        return exception
    if prediction.ndim == 3 and prediction.shape[0] == 1:
        prediction, reference, spacing = prediction[0], reference[0], spacing[1:]
    box = _bounding_box(prediction | reference)
    both = [_as_batch(mask[box]) for mask in (prediction, reference)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "monai.metrics.utils get_mask_edges", FutureWarning)  # of MONAI about itself
        hd95 = compute_hausdorff_distance(*both, include_background=True, percentile=95, spacing=spacing)
        asd = compute_average_surface_distance(*both, include_background=True, symmetric=True, spacing=spacing)
        nsd = compute_surface_dice(*both, class_thresholds=[nsd_tolerance_mm], include_background=True, spacing=spacing)
    return {
        "dice": _dice(*both),
        "hd95_mm": float(hd95[0, 0]),
        "asd_mm": float(asd[0, 0]),
        "nsd": float(nsd[0, 0]),
    }


def _dice(prediction: Any, reference: Any) -> float:
    from monai.metrics import compute_dice

    return float(compute_dice(prediction, reference, include_background=True)[0, 0])


def _same_shape(prediction: NDArray[Any], reference: NDArray[Any]) -> None:
    if prediction.shape != reference.shape:
        raise LabelError(
            f"prediction has shape {prediction.shape}, reference {reference.shape}; compare them on the same grid"
        )


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Smallest box around `mask`, so that distances are not computed over the whole image."""
    box = []
    for axis in range(mask.ndim):
        filled = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        box.append(slice(int(filled[0]), int(filled[-1]) + 1))
    return tuple(box)


def _as_batch(mask: NDArray[np.bool_]) -> Any:
    """Give the mask MONAI's batch and channel axes."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(mask, np.float32))[None, None]


def evaluate_frame(
    prediction_zyx: NDArray[Any],
    reference_zyx: NDArray[Any],
    scheme: LabelScheme,
    spacing_zyx_mm: Sequence[float],
    *,
    in_voxels: bool = False,
) -> dict[str, dict[str, float]]:
    """Compare one frame as a 3D volume; structure name to ``{dice, hd95_mm, asd_mm, nsd}``.

    With `in_voxels` also ``hd95_voxel`` and ``asd_voxel``.
    """
    scores = {}
    for s in scheme.structures:
        masks = prediction_zyx == s.value, reference_zyx == s.value
        scores[s.name] = mask_overlap(*masks, spacing_zyx_mm)
        if in_voxels:
            plain = mask_overlap(*masks, [1.0] * len(spacing_zyx_mm))
            scores[s.name] |= {"hd95_voxel": plain["hd95_mm"], "asd_voxel": plain["asd_mm"]}
    return scores


def evaluate_frames(
    prediction: NDArray[Any],
    reference: NDArray[Any],
    scheme: LabelScheme,
    spacing_zyx_mm: Sequence[float],
    frames: Iterable[int],
    *,
    in_voxels: bool = False,
) -> dict[int, dict[str, dict[str, float]]]:
    """Compare the given frames of two label maps ``(T, Z, Y, X)``, each as a 3D volume: frame to structure to scores.

    Raises
    ------
    LabelError
        Different shapes, no frame to compare, or a frame outside the label map.
    """
    prediction, reference = np.asarray(prediction), np.asarray(reference)
    _same_shape(prediction, reference)
    frames = sorted({int(f) for f in frames})
    if not frames or not 0 <= frames[0] <= frames[-1] < len(reference):
        raise LabelError(f"frames to compare are {frames}; give at least one of 0 to {len(reference) - 1}")
    return {f: evaluate_frame(prediction[f], reference[f], scheme, spacing_zyx_mm, in_voxels=in_voxels) for f in frames}


def mean_over_frames(by_frame: dict[int, dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Average the scores of several frames; structure name to ``{dice, hd95_mm, asd_mm, nsd}`` and others there are."""
    structures = next(iter(by_frame.values()))
    return {
        name: {metric: float(np.mean([scores[name][metric] for scores in by_frame.values()])) for metric in first}
        for name, first in structures.items()
    }


def evaluate_case(
    prediction: NDArray[Any],
    reference: NDArray[Any],
    scheme: LabelScheme,
    spacing_zyx_mm: Sequence[float],
    frames: Iterable[int],
) -> dict[str, dict[str, float]]:
    """Compare two label maps ``(T, Z, Y, X)`` in the given frames, each as a 3D volume, and average over the frames."""
    return mean_over_frames(evaluate_frames(prediction, reference, scheme, spacing_zyx_mm, frames))
