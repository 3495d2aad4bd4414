"""Edits of the label layer: told frame by frame, undone where they were made, written to the journal at once.

napari's undo survives a change of frame and takes back strokes that are out of sight without saying so. Here every
change (stroke, fill, undo, redo, copied slice) becomes `Change` objects, one per frame, and undo first shows the frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ssl.gui import compat

if TYPE_CHECKING:
    from napari.layers import Labels

__all__ = ["Change", "EditTracker", "changes_by_frame"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Change:
    """What one edit did in one frame.

    Parameters
    ----------
    frame : int
    indices : (n,) int32
        Flat indices within the frame's ``(Z, Y, X)``.
    before, after : (n,) uint8
    """

    frame: int
    indices: NDArray[np.int32]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]

    @property
    def label(self) -> int:
        """The value painted most."""
        return int(np.bincount(self.after).argmax())


def changes_by_frame(
    shape_tzyx: tuple[int, ...], flat: NDArray[np.int64], before: NDArray[np.uint8], after: NDArray[np.uint8]
) -> list[Change]:
    """Split an edit by frames and drop voxels that kept their value; `flat` is sorted."""
    kept = before != after
    flat, before, after = flat[kept], before[kept], after[kept]
    size = int(np.prod(shape_tzyx[1:]))
    frames = flat // size
    changes = []
    for frame in np.unique(frames).tolist():
        of_frame = frames == frame
        changes.append(
            Change(
                frame=frame,
                indices=(flat[of_frame] - frame * size).astype(np.int32),
                before=before[of_frame],
                after=after[of_frame],
            )
        )
    return changes


class EditTracker:
    """Watches a Labels layer and reports its edits; owns undo and redo.

    Parameters
    ----------
    layer : napari Labels
        Data ``(T, Z, Y, X) uint8`` in memory.
    on_change : callable
        Called with a list of `Change` and 1 for an edit or redo, −1 for an undo. napari tells of some edits before it
        makes them: what depends on the layer's data must wait for the next turn of the event loop.
    show : callable
        Called with (frame, slice) before an edit elsewhere is undone or redone.
    """

    def __init__(
        self, layer: Labels, *, on_change: Callable[[list[Change], int], None], show: Callable[[int, int], None]
    ) -> None:
        self.layer = layer
        self._on_change = on_change
        self._show = show
        layer.events.paint.connect(self._painted)

    def disconnect(self) -> None:
        """Stop watching."""
        self.layer.events.paint.disconnect(self._painted)

    def _painted(self, event) -> None:
        shape = self.layer.data.shape
        changes = changes_by_frame(shape, *compat.item_changes(event.value, shape))
        if changes:
            self._on_change(changes, 1)

    def _step(self, item: list, replay: Callable[[], None], direction: int) -> list[Change]:
        labels = self.layer.data
        flat = compat.history_item_indices(item, labels.shape)
        frame, slice_, *_ = np.unravel_index(int(flat[len(flat) // 2]), labels.shape)
        self._show(int(frame), int(slice_))
        before = labels.reshape(-1)[flat].copy()
        replay()
        changes = changes_by_frame(labels.shape, flat, before, labels.reshape(-1)[flat])
        if changes:
            self._on_change(changes, direction)
        return changes

    def undo(self) -> list[Change]:
        """Show where the last edit was made and take it back; an empty list when there is none."""
        item = compat.peek_undo(self.layer)
        return self._step(item, self.layer.undo, -1) if item else []

    def redo(self) -> list[Change]:
        """Show where the last undone edit was made and make it again; an empty list when there is none."""
        item = compat.peek_redo(self.layer)
        return self._step(item, self.layer.redo, 1) if item else []

    def assign(self, frame: int, slice_: int, labels_yx: NDArray[np.uint8]) -> None:
        """Replace one slice as a single edit that can be undone, e.g. by a copy of its neighbour."""
        target = self.layer.data[frame, slice_]
        y, x = np.nonzero(target != labels_yx)
        if len(y):
            at = (np.full_like(y, frame), np.full_like(y, slice_), y, x)
            self.layer.data_setitem(at, labels_yx[y, x])
