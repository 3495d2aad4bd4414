"""What the rules look at, measured once: areas by frame and slice, volumes, detached parts, holes, contacts.

Everything is computed on the smallest box around the labels, for all frames in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_ssl.core.label_scheme import LabelScheme, StructureRole
from napari_ssl.errors import GeometryError, LabelError

__all__ = ["SegmentationFacts"]

_CAVITIES = (StructureRole.LV_CAVITY, StructureRole.RV_CAVITY)
_IN_FRAME = np.zeros((3, 3, 3, 3), bool)
_IN_FRAME[1] = True
_BY_FACES = np.zeros((3, 3, 3, 3), bool)
_BY_FACES[1] = ndimage.generate_binary_structure(3, 1)


class SegmentationFacts:
    """Measures of one segmentation.

    Parameters
    ----------
    labels : (T, Z, Y, X) uint8
    scheme : LabelScheme
    spacing_zyx_mm : three floats
    frames : sequence of int, optional
        Frames that hold labels, all by default. Axis N below counts these frames.
    frame_interval_ms : float, optional
    ed_frame, es_frame : int, optional
        Known phases, 0-based.
    """

    def __init__(
        self,
        labels: NDArray[Any],
        scheme: LabelScheme,
        spacing_zyx_mm: Sequence[float],
        *,
        frames: Sequence[int] | None = None,
        frame_interval_ms: float | None = None,
        ed_frame: int | None = None,
        es_frame: int | None = None,
    ) -> None:
        labels = np.asarray(labels)
        if labels.ndim != 4:
            raise GeometryError(f"labels must be (T, Z, Y, X), got shape {labels.shape}; give T = 1 if static")
        self.n_frames, self.n_slices = labels.shape[:2]
        self.frames = np.array(range(self.n_frames) if frames is None else sorted({int(f) for f in frames}), int)
        if len(self.frames) and not 0 <= self.frames[0] <= self.frames[-1] < self.n_frames:
            raise LabelError(f"frames {self.frames.tolist()} are not all in 0 to {self.n_frames - 1}")
        self.scheme = scheme
        self.spacing_zyx_mm = tuple(float(s) for s in spacing_zyx_mm)
        self.frame_interval_ms, self.ed_frame, self.es_frame = frame_interval_ms, ed_frame, es_frame
        self._labels = _cropped(labels if frames is None else labels[self.frames])

    @property
    def pixel_mm2(self) -> float:
        """Area of a pixel."""
        return self.spacing_zyx_mm[1] * self.spacing_zyx_mm[2]

    @property
    def covers_the_cycle(self) -> bool:
        """Whether the curve can be judged as one: all frames labelled, eight or more."""
        return len(self.frames) == self.n_frames >= 8

    def name(self, role: StructureRole) -> str:
        """Name of the structure with that role."""
        structure = self.scheme.by_role(role)
        return role.value if structure is None else structure.name

    def has(self, *roles: StructureRole) -> bool:
        """Whether the scheme has structures of all these roles and each occurs in the labels."""
        return all(role in self.areas_mm2 and self.areas_mm2[role].any() for role in roles)

    def mask(self, role: StructureRole) -> NDArray[np.bool_]:
        """Mask (N, Z, y, x) of a structure in the box around all labels."""
        return self._masks[role]

    @cached_property
    def _masks(self) -> dict[StructureRole, NDArray[np.bool_]]:
        return {s.role: self._labels == s.value for s in self.scheme.structures if s.role is not StructureRole.OTHER}

    @cached_property
    def areas_mm2(self) -> dict[StructureRole, NDArray[np.float64]]:
        """Area (N, Z) by role."""
        shape = (len(self.frames), self.n_slices)
        return {
            role: np.count_nonzero(mask.reshape(*shape, -1), axis=2) * self.pixel_mm2
            for role, mask in self._masks.items()
        }

    def volume_ml(self, role: StructureRole) -> NDArray[np.float64]:
        """Volume (N,) of a structure."""
        return self.areas_mm2[role].sum(axis=1) * self.spacing_zyx_mm[0] / 1000.0

    def expected(self, role: StructureRole) -> NDArray[np.bool_]:
        """Frames (N,) in which a structure ought to be: all of them when it occurs in more than half of them.

        Experts who draw the myocardium at end-diastole alone have not left it out elsewhere by mistake.
        """
        present = self.areas_mm2[role].any(axis=1)
        return np.ones_like(present) if present.sum() * 2 > len(present) else present

    @cached_property
    def middle(self) -> NDArray[np.bool_]:
        """The middle third (N, Z) of the slices that hold the LV cavity, by frame; at least one slice."""
        inside = self.areas_mm2[StructureRole.LV_CAVITY] > 0
        middle = np.zeros_like(inside)
        for n, row in enumerate(inside):
            held = np.flatnonzero(row)
            if len(held):
                cut = (len(held) - 1) // 3
                middle[n, held[cut : len(held) - cut]] = True
        return middle

    def detached_mm2(self, role: StructureRole) -> NDArray[np.float64]:
        """Largest area (N, Z) of a part that hangs together with the structure neither in its slice nor across.

        Of the RV and the myocardium the largest part of a slice is never called detached: where a breath shifts slices
        against one another, a crescent or a ring may miss its neighbour. An LV cavity that does so is wrong.
        """
        mask = self.mask(role)
        parts, n_parts = ndimage.label(mask, _IN_FRAME)
        largest = np.zeros((len(self.frames), self.n_slices))
        if n_parts <= np.count_nonzero(mask.reshape(len(mask), -1).any(axis=1)):
            return largest  # one part in every frame
        sizes = np.bincount(parts.ravel(), minlength=n_parts + 1)
        for n, frame in enumerate(parts):
            present = np.unique(frame[mask[n]])
            if present.size < 2:
                continue
            main = present[sizes[present].argmax()]
            for z in np.flatnonzero(((frame > 0) & (frame != main)).any(axis=(1, 2))):
                largest[n, z] = _largest_detached(frame[z], main, role) * self.pixel_mm2
        return largest

    @cached_property
    def holes_mm2(self) -> NDArray[np.float64]:
        """Area (N, Z) of the largest hole: what LV cavity and myocardium enclose from all sides and neither fills.

        What opens upwards or downwards is none: an oblique valve plane leaves such gaps in the most basal slices.
        """
        filled = self.mask(StructureRole.MYOCARDIUM) | self.mask(StructureRole.LV_CAVITY)
        empty = np.pad(~filled, ((0, 0), (1, 1), (0, 0), (0, 0)), constant_values=True)
        parts, _ = ndimage.label(empty, _BY_FACES)
        parts = parts[:, 1:-1]
        # the crop has an empty rim, so that the outside of a frame is the part that holds its corners
        parts[parts == parts[:, :1, :1, :1]] = 0
        largest = np.zeros(parts.shape[:2])
        for n, z in np.argwhere(parts.any(axis=(2, 3))):
            _, sizes = np.unique(parts[n, z][parts[n, z] > 0], return_counts=True)
            largest[n, z] = sizes.max() * self.pixel_mm2
        return largest

    @cached_property
    def contact_mm(self) -> NDArray[np.float64]:
        """Length (N, Z) over which pixels of RV and LV cavity lie side by side."""
        return self._shared_edges_mm(*(self.mask(role) for role in _CAVITIES))

    @cached_property
    def open_percent(self) -> NDArray[np.float64]:
        """Share (N, Z) of the outline of the LV cavity that no myocardium lies along; NaN without a cavity."""
        cavity = self.mask(StructureRole.LV_CAVITY)
        outline = self._shared_edges_mm(cavity, ~cavity)
        closed = self._shared_edges_mm(cavity, self.mask(StructureRole.MYOCARDIUM))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(outline > 0, 100.0 * (1 - closed / outline), np.nan)

    def _shared_edges_mm(self, a: NDArray[np.bool_], b: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Length (N, Z) of the pixel edges between two disjoint masks."""
        _, dy, dx = self.spacing_zyx_mm
        shape = (len(self.frames), self.n_slices)
        down = (a[:, :, 1:] & b[:, :, :-1]) | (b[:, :, 1:] & a[:, :, :-1])
        right = (a[..., 1:] & b[..., :-1]) | (b[..., 1:] & a[..., :-1])
        return (
            np.count_nonzero(down.reshape(*shape, -1), axis=2) * dx
            + np.count_nonzero(right.reshape(*shape, -1), axis=2) * dy
        )


def _largest_detached(parts: NDArray[np.int32], main: int, role: StructureRole) -> int:
    """Pixels of the largest part of a slice (Y, X) that is not of the part `main` of the frame."""
    pieces, n_pieces = ndimage.label(parts > 0, np.ones((3, 3), bool))
    sizes = np.bincount(pieces.ravel(), minlength=n_pieces + 1)
    sizes[0] = 0
    belongs = np.zeros(n_pieces + 1, bool)
    belongs[np.unique(pieces[parts == main])] = True
    if role is not StructureRole.LV_CAVITY:
        belongs[sizes.argmax()] = True
    return int(sizes[~belongs].max(initial=0))


def _cropped(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Cut to the box around all labels and give it an empty rim of one pixel."""
    used = labels.max(axis=(0, 1)) if labels.size else np.zeros((1, 1), np.uint8)
    rows, columns = np.flatnonzero(used.any(axis=1)), np.flatnonzero(used.any(axis=0))
    if not len(rows):
        return np.zeros((*labels.shape[:2], 3, 3), np.uint8)
    box = labels[:, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    cropped = np.zeros((*box.shape[:2], box.shape[2] + 2, box.shape[3] + 2), np.uint8)
    cropped[:, :, 1:-1, 1:-1] = box
    return cropped
