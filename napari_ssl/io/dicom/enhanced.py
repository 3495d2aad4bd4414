"""Enhanced multi-frame files: where each frame lies, and when.

Functional groups that all frames share stand once, the others with each frame (PS3.3 C.7.6.16).
"""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset

from napari_ssl.io.dicom.facts import Picture
from napari_ssl.io.dicom.values import geometry_faults, integer, number, numbers, text

__all__ = ["FUNCTIONAL_GROUPS", "pictures_of_frames"]

FUNCTIONAL_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


def pictures_of_frames(path: Path, dataset: Dataset, n_frames: int) -> tuple[tuple[Picture, ...], tuple[str, ...]]:
    """Return the pictures of an enhanced file, or what is wrong with it."""
    shared, own = (list(dataset.get(keyword) or ()) for keyword in FUNCTIONAL_GROUPS)
    if len(own) != n_frames:
        return (), (f"describes {len(own)} of its {n_frames} frames; export it again",)
    pictures = []
    for frame, groups in enumerate(own):
        picture = _picture(path, dataset, frame, _Groups(groups, shared[0] if shared else Dataset()))
        if isinstance(picture, str):
            return (), (f"frame {frame} {picture}",)
        pictures.append(picture)
    return tuple(pictures), ()


class _Groups:
    """The functional groups of one frame: its own before those that all share."""

    def __init__(self, own: Dataset, shared: Dataset) -> None:
        self._both = (own, shared)

    def item(self, keyword: str) -> Dataset:
        for groups in self._both:
            sequence = groups.get(keyword)
            if sequence:
                return sequence[0]
        return Dataset()


def _picture(path: Path, dataset: Dataset, frame: int, groups: _Groups) -> Picture | str:
    position = numbers(groups.item("PlanePositionSequence"), "ImagePositionPatient")
    orientation = numbers(groups.item("PlaneOrientationSequence"), "ImageOrientationPatient")
    measures = groups.item("PixelMeasuresSequence")
    spacing = numbers(measures, "PixelSpacing")
    faults = geometry_faults(position, orientation, spacing)
    if faults:
        return faults[0]
    content = groups.item("FrameContentSequence")
    values = groups.item("PixelValueTransformationSequence")
    kind = groups.item("MRImageFrameTypeSequence").get("FrameType") or ()
    echo = number(groups.item("MREchoSequence"), "EffectiveEchoTime")
    b_value = number(groups.item("MRDiffusionSequence"), "DiffusionBValue")
    return Picture(
        path=path,
        frame=frame,
        uid=text(dataset, "SOPInstanceUID"),
        rows=integer(dataset, "Rows") or 0,
        columns=integer(dataset, "Columns") or 0,
        spacing_yx=spacing,
        position=position,
        orientation=orientation,
        trigger_ms=_delay(groups),
        temporal_index=integer(content, "TemporalPositionIndex"),
        instance=frame,
        slope=number(values, "RescaleSlope", 1.0),
        intercept=number(values, "RescaleIntercept", 0.0),
        thickness_mm=number(measures, "SliceThickness"),
        gap_mm=number(measures, "SpacingBetweenSlices"),
        kind=(
            *(() if isinstance(kind, str) else tuple(str(v) for v in kind)[2:]),
            *([f"echo {echo:g} ms"] if echo is not None else []),
            *([f"b {b_value:g}"] if b_value is not None else []),
        ),
    )


def _delay(groups: _Groups) -> float | None:
    for keyword in ("CardiacSynchronizationSequence", "CardiacTriggerSequence"):
        delay = number(groups.item(keyword), "NominalCardiacTriggerDelayTime")
        if delay is not None:
            return delay
    return None
