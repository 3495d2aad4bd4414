"""Contours become label maps: a pixel belongs to a structure when its centre lies inside the contour.

Coordinates are those of pixel centres, counted from 0: the centre of the first pixel is (0, 0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.label_order import LabelProposal
from napari_ssl.errors import LabelError

__all__ = ["CONTOUR_PROPOSAL", "LV", "MYO", "RV", "Contour", "ContourLabels", "fill"]

LV, MYO, RV = 1, 2, 3
CONTOUR_PROPOSAL = LabelProposal(
    meanings=((LV, "LV"), (MYO, "Myo"), (RV, "RV")),
    source="the contours (inside the endocardium, between it and the epicardium, right ventricle)",
)
"""Values that contours are filled with, before the study's order is applied."""

KINDS = ("lv_endocardium", "lv_epicardium", "rv_endocardium")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contour:
    """A closed line on one picture.

    Parameters
    ----------
    kind : {"lv_endocardium", "lv_epicardium", "rv_endocardium"}
    points_xy : (N, 2) float array
        Columns and rows of pixel centres from 0.
    where : str
        File that it is from.
    """

    kind: str
    points_xy: NDArray[np.float64]
    where: str


def fill(points_xy: NDArray[np.float64], shape_yx: tuple[int, int]) -> NDArray[np.bool_]:
    """Return ``(Y, X)`` bool: the pixels whose centres lie inside."""
    from matplotlib.path import Path as Outline  # every command would wait for it, few read contours

    mask = np.zeros(shape_yx, bool)
    low = np.clip(np.floor(points_xy.min(axis=0)).astype(int), 0, None)
    high = np.minimum(np.ceil(points_xy.max(axis=0)).astype(int) + 1, shape_yx[::-1])
    if (low >= high).any():
        return mask
    rows, columns = np.mgrid[low[1] : high[1], low[0] : high[0]]  # a whole picture is mostly far away
    centres = np.column_stack([columns.ravel(), rows.ravel()])
    inside = Outline(points_xy, closed=False).contains_points(centres)
    mask[low[1] : high[1], low[0] : high[0]] = inside.reshape(rows.shape)
    return mask


@dataclass(frozen=True, slots=True, kw_only=True)
class ContourLabels:
    """Labels of one image as contours; see `io.conversion.Drawn`.

    Parameters
    ----------
    shown : str
        What messages call them.
    contours : mapping of (t, z) to contours
    """

    shown: str
    contours: Mapping[tuple[int, int], Sequence[Contour]] = field(default_factory=dict)

    @property
    def frames(self) -> tuple[int, ...]:
        """Frames that have contours."""
        return tuple(sorted({t for t, _ in self.contours}))

    def labels(self, shape_tzyx: tuple[int, int, int, int]) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
        """Return ``(T, Z, Y, X)`` labels 1 LV, 2 Myo, 3 RV, and the frames that have contours.

        Myocardium is what lies inside the epicardium and outside the endocardium; where a picture has no endocardium
        (apex), all inside the epicardium.

        Raises
        ------
        LabelError
            A frame or slice that the image has not, a contour outside the picture or around no pixel, an endocardium
            that is not inside its epicardium.
        """
        labels = np.zeros(shape_tzyx, np.uint8)
        for (t, z), contours in self.contours.items():
            if not (0 <= t < shape_tzyx[0] and 0 <= z < shape_tzyx[1]):
                raise LabelError(f"{self.shown}: has contours on frame {t}, slice {z}; the image is {shape_tzyx}")
            filled = {c.kind: self._filled(c, shape_tzyx[2:]) for c in contours}
            epi, endo = filled.get("lv_epicardium"), filled.get("lv_endocardium")
            if epi is not None and endo is not None and np.count_nonzero(endo & ~epi) > 0.5 * np.count_nonzero(endo):
                raise LabelError(
                    f"{contours[0].where}: on frame {t}, slice {z} most of the endocardium is outside the epicardium; "
                    "the contours are of different pictures or exchanged"
                )
            for value, mask in ((RV, filled.get("rv_endocardium")), (MYO, epi), (LV, endo)):
                if mask is not None:
                    labels[t, z][mask] = value
        return labels, self.frames

    @staticmethod
    def _filled(contour: Contour, shape_yx: tuple[int, int]) -> NDArray[np.bool_]:
        points = contour.points_xy
        low, high = points.min(axis=0), points.max(axis=0)
        if (low < -1).any() or (high > np.array(shape_yx[::-1])).any():
            raise LabelError(
                f"{contour.where}: a contour reaches from {low.round(1).tolist()} to {high.round(1).tolist()} (x, y), "
                f"the picture has {shape_yx[1]} × {shape_yx[0]} pixels; it is of another picture"
            )
        mask = fill(points, shape_yx)
        if not mask.any():
            raise LabelError(f"{contour.where}: a contour encloses no pixel centre; remove it")
        return mask
