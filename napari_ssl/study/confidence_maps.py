"""Confidence of several kinds beside one version of labels: files named after the labels' file and the kind.

The first kind is the one that counts in the queue; `Segmentation.confidence_path` names its file. Those of the other
kinds lie beside it, and which there are is told by which files there are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.segmentation import Segmentation
from napari_ssl.core.training import CONFIDENCES
from napari_ssl.errors import LabelError
from napari_ssl.io.images import read_image
from napari_ssl.study.storage import inside

if TYPE_CHECKING:
    from napari_ssl.study.study import Study

__all__ = ["confidence_kinds", "further_maps", "further_name", "read_confidence_map"]


def further_name(label_path: str, kind: str) -> str:
    """Return where confidence of another kind than the first lies beside these labels."""
    return label_path.removesuffix(".nii.gz") + f"_confidence-{kind}.nii.gz"


def further_maps(segmentation: Segmentation) -> dict[str, str]:
    """Return where confidence of each kind would lie besides the first one, relative to the study folder."""
    return {kind: further_name(segmentation.label_path, kind) for kind in CONFIDENCES}


def confidence_kinds(study: Study, segmentation: Segmentation) -> tuple[str, ...]:
    """Return the kinds of confidence that are stored with labels, the one that counts in the queue first."""
    if segmentation.confidence_path is None:
        return ()
    first = _first_kind(study, segmentation)
    others = (k for k, name in further_maps(segmentation).items() if inside(study.folder, name).is_file())
    return (first, *(k for k in others if k != first))


def read_confidence_map(study: Study, segmentation: Segmentation, kind: str) -> NDArray[np.uint8]:
    """Read confidence ``(T, Z, Y, X) uint8`` (255 = certain) of one kind.

    Raises
    ------
    LabelError
        There is none of this kind, or the file does not fit the image.
    """
    if segmentation.confidence_path is not None and kind == _first_kind(study, segmentation):
        return study.read_confidence(segmentation)
    name = further_maps(segmentation).get(kind)
    path = None if name is None else inside(study.folder, name)
    if path is None or not path.is_file():
        kinds = ", ".join(confidence_kinds(study, segmentation)) or "none"
        raise LabelError(
            f"case {segmentation.case_id}: no confidence of the kind {kind!r} is stored with version "
            f"{segmentation.version}; there is: {kinds}. Predict the case again with --confidence {kind}"
        )
    return _check(study, segmentation, path)


def _first_kind(study: Study, segmentation: Segmentation) -> str:
    return str((study.measures(segmentation.id) or {}).get("confidence") or CONFIDENCES[0])


def _check(study: Study, segmentation: Segmentation, path: Path) -> NDArray[np.uint8]:
    confidence = read_image(path).data
    shape = study.case(segmentation.case_id).shape_tzyx
    if confidence.dtype != np.uint8 or confidence.shape != shape:
        raise LabelError(
            f"case {segmentation.case_id}: confidence {path} must be uint8 of shape {shape}, got {confidence.dtype} of "
            f"{confidence.shape}; restore the file or predict the case again"
        )
    return confidence
