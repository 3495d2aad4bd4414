"""Edits of the label layer: told frame by frame, kept off locked structures, made and taken back in one step.

napari keeps a hundred strokes, forgets them with the next case, and takes back what is out of sight without saying so.
Here every stroke becomes an `Edit` of our own history as soon as napari has made it, and napari's own is emptied.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ssl.gui import compat
from napari_ssl.study.edit_history import Edit, Stroke

if TYPE_CHECKING:
    from napari.layers import Labels

__all__ = ["EditTracker", "as_allowed", "edit_between", "strokes_by_frame"]


def strokes_by_frame(
    shape_tzyx: tuple[int, ...], flat: NDArray[np.int64], before: NDArray[np.uint8], after: NDArray[np.uint8]
) -> tuple[Stroke, ...]:
    """Split an edit by frames and drop voxels that kept their value; `flat` is sorted."""
    kept = before != after
    flat, before, after = flat[kept], before[kept], after[kept]
    size = int(np.prod(shape_tzyx[1:]))
    frames = flat // size
    return tuple(
        Stroke(
            frame=frame,
            flat_indices=(flat[frames == frame] - frame * size).astype(np.int32),
            before=before[frames == frame],
            after=after[frames == frame],
        )
        for frame in np.unique(frames).tolist()
    )


def edit_between(
    labels: NDArray[np.uint8],
    wanted: Iterable[tuple[int, NDArray[np.uint8]]],
    *,
    tool: str,
    marks: bool = False,
) -> Edit | None:
    """Return the edit that makes frames of `labels` what a tool wants, None when nothing changes.

    Parameters
    ----------
    labels : (T, Z, Y, X) uint8
        What the tool worked on.
    wanted : iterable of (frame, (Z, Y, X) uint8)
    marks : bool
        Whether the slices that change are unverified then.
    """
    strokes, places = [], []
    for frame, result in wanted:
        now = labels[frame]
        change = result != now
        indices = np.flatnonzero(change).astype(np.int32)
        if len(indices):
            before, after = now.reshape(-1)[indices], result.reshape(-1)[indices]
            strokes.append(Stroke(frame=frame, flat_indices=indices, before=before, after=after))
            if marks:
                places.extend((frame, z) for z in np.flatnonzero(change.any(axis=(1, 2))).tolist())
    return Edit(strokes=tuple(strokes), tool=tool, unverified=tuple(places)) if strokes else None


def as_allowed(edit: Edit | None, labels: NDArray[np.uint8], locked: Collection[int]) -> Edit | None:
    """Return the part of a tool's edit that may be made now, None when nothing remains.

    Voxels that were painted on since the tool began, and those of locked structures, are left as they are.
    """
    strokes, frozen = [], np.array(sorted(locked), np.uint8)
    for s in edit.strokes if edit is not None else ():
        good = labels[s.frame].reshape(-1)[s.flat_indices] == s.before
        if len(frozen):
            good &= ~(np.isin(s.before, frozen) | np.isin(s.after, frozen))
        if good.any():
            strokes.append(
                Stroke(frame=s.frame, flat_indices=s.flat_indices[good], before=s.before[good], after=s.after[good])
            )
    return replace(edit, strokes=tuple(strokes)) if strokes else None


class EditTracker:
    """Watches a Labels layer, reports what is painted on it and makes other edits in it.

    Parameters
    ----------
    layer : napari Labels
        Data ``(T, Z, Y, X) uint8`` in memory.
    on_edit : callable
        Called with each `Edit` that was painted. napari tells of some before it makes them: what depends on the layer's
        data must wait for the next turn of the event loop.
    on_refused : callable
        Called with the value of a locked structure that was to be painted.
    on_region : callable
        Called with the corners (n, 4) of a closed polygon; returns whether it was taken as a region, not to be painted.
    """

    def __init__(
        self,
        layer: Labels,
        *,
        on_edit: Callable[[Edit], None],
        on_refused: Callable[[int], None] = lambda _value: None,
        on_region: Callable[[NDArray[np.float64]], bool] = lambda _corners: False,
    ) -> None:
        self.layer = layer
        self.locked: frozenset[int] = frozenset()
        self._on_edit = on_edit
        self._release = compat.intercept_painting(
            layer, locked=lambda: self.locked, refused=on_refused, polygon=on_region
        )
        layer.events.paint.connect(self._painted)

    def disconnect(self) -> None:
        """Stop watching."""
        self.layer.events.paint.disconnect(self._painted)
        self._release()

    def _painted(self, event) -> None:
        shape = self.layer.data.shape
        strokes = strokes_by_frame(shape, *compat.item_changes(event.value, shape))
        compat.forget_strokes(self.layer)
        if strokes:
            self._on_edit(Edit(strokes=strokes, tool=str(self.layer.mode)))

    def apply(self, edit: Edit, *, backwards: bool = False) -> None:
        """Make an edit in the layer, or take it back; it is not reported."""
        edit.paint(self.layer.data, backwards=backwards)
        compat.forget_strokes(self.layer)
        self.layer.refresh(extent=False, highlight=False)
