"""What was done to a label map: edits of one or several frames, undo and redo, and the places nobody has looked at yet.

The history has no limit and knows which of its positions the stored labels stand for. Copied, propagated and
interpolated labels make their places (frame, slice) *unverified*: plain copying makes people tolerate errors.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.errors import LabelError

__all__ = ["Edit", "EditHistory", "Place", "Stroke"]

Place = tuple[int, int]
"""Frame and slice, 0-based."""

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stroke:
    """Pixels of one frame that changed together.

    Parameters
    ----------
    frame : int
    flat_indices : (n,) int32
        Into the frame's ``(Z, Y, X)``, flattened.
    before, after : (n,) uint8
        Values there.
    """

    frame: int
    flat_indices: NDArray[np.int32]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]

    @property
    def label(self) -> int:
        """The value painted most."""
        return int(np.bincount(self.after).argmax()) if len(self.after) else 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Edit:
    """One step of undo: what a tool did, in whatever frames.

    Parameters
    ----------
    strokes : tuple of Stroke
        One for each frame that changed.
    tool : str
        What did it, e.g. ``"paint"``, ``"propagate"``.
    unverified : tuple of (frame, slice)
        Places whose labels nobody has looked at.
    reverts : bool
        The labels after it are the stored ones; all marks made since then go.
    """

    strokes: tuple[Stroke, ...]
    tool: str = "paint"
    unverified: tuple[Place, ...] = ()
    reverts: bool = False

    @classmethod
    def of_arrays(
        cls,
        frame: int,
        flat_indices: NDArray[Any] | Sequence[int],
        before: NDArray[Any] | Sequence[int],
        after: NDArray[Any] | Sequence[int],
        tool: str = "paint",
    ) -> Edit:
        """Return an edit of one frame.

        Raises
        ------
        LabelError
            Lengths that differ, or a negative frame or index.
        """
        indices = np.asarray(flat_indices, np.int32).ravel()
        old, new = (np.asarray(values, np.uint8).ravel() for values in (before, after))
        if not len(indices) == len(old) == len(new) or frame < 0 or (indices.size and indices.min() < 0):
            raise LabelError(
                "a stroke needs as many indices as values before and after and no negative ones, "
                f"got {len(indices)}, {len(old)}, {len(new)} on frame {frame}"
            )
        return cls(strokes=(Stroke(frame=int(frame), flat_indices=indices, before=old, after=new),), tool=tool)

    @property
    def frames(self) -> tuple[int, ...]:
        """Frames that changed."""
        return tuple(s.frame for s in self.strokes)

    def paint(self, labels: NDArray[np.uint8], *, backwards: bool = False) -> None:
        """Write the values after (or before) into `labels` ``(T, Z, Y, X)``, which must be contiguous."""
        for s in self.strokes:
            labels[s.frame].reshape(-1)[s.flat_indices] = s.before if backwards else s.after

    def lies_within(self, shape_tzyx: tuple[int, ...]) -> bool:
        """Whether every voxel exists in labels of that shape."""
        n = int(np.prod(shape_tzyx[1:]))
        return all(
            s.frame < shape_tzyx[0] and (not s.flat_indices.size or s.flat_indices.max() < n) for s in self.strokes
        )

    def place(self, shape_tzyx: tuple[int, ...], now: Place = (-1, -1)) -> Place:
        """Return where to look at the edit: the place `now` where it changed something there, else its middle."""
        stroke = next((s for s in self.strokes if s.frame == now[0]), None) or self.strokes[len(self.strokes) // 2]
        slices = stroke.flat_indices // int(np.prod(shape_tzyx[2:]))
        if stroke.frame == now[0] and (slices == now[1]).any():
            return now
        return stroke.frame, int(slices[len(slices) // 2])

    def encode(self) -> bytes:
        """Return the edit as bytes: a JSON head and the compressed voxels."""
        head: dict[str, Any] = {"tool": self.tool, "strokes": [[s.frame, len(s.flat_indices)] for s in self.strokes]}
        if self.unverified:
            head["unverified"] = [list(p) for p in self.unverified]
        if self.reverts:
            head["reverts"] = True
        text = json.dumps(head, separators=(",", ":")).encode()
        parts = [
            a
            for s in self.strokes
            for a in (s.flat_indices.astype("<i4").tobytes(), s.before.tobytes(), s.after.tobytes())
        ]
        return _LENGTH.pack(len(text)) + text + zlib.compress(b"".join(parts), 1)

    @classmethod
    def decode(cls, content: bytes) -> Edit:
        """Read what `encode` wrote."""
        (length,) = _LENGTH.unpack_from(content)
        start = _LENGTH.size
        head = json.loads(content[start : start + length])
        raw = zlib.decompress(content[start + length :])
        strokes, at = [], 0
        for frame, n in head["strokes"]:
            strokes.append(
                Stroke(
                    frame=frame,
                    flat_indices=np.frombuffer(raw, "<i4", n, at).astype(np.int32),
                    before=np.frombuffer(raw, np.uint8, n, at + 4 * n).copy(),
                    after=np.frombuffer(raw, np.uint8, n, at + 5 * n).copy(),
                )
            )
            at += 6 * n
        return cls(
            strokes=tuple(strokes),
            tool=head["tool"],
            unverified=tuple((f, z) for f, z in head.get("unverified", ())),
            reverts=bool(head.get("reverts", False)),
        )


class EditHistory:
    """Edits in order, a cursor between those done and those undone, and the unverified places.

    Parameters
    ----------
    edits : iterable of Edit
        Those that led to the stored labels, and after `cursor` those that were undone then.
    cursor : int, optional
        How many of them are in the stored labels; by default all.
    unverified : iterable of (frame, slice)
    """

    def __init__(self, edits: Iterable[Edit] = (), cursor: int | None = None, unverified: Iterable[Place] = ()) -> None:
        self.edits: list[Edit] = list(edits)
        self.cursor = len(self.edits) if cursor is None else cursor
        self.unverified: set[Place] = set(unverified)
        self._marks: list[tuple[set[Place], set[Place]]] = [(set(e.unverified), set()) for e in self.edits]
        self._stored = self._shared = self.cursor
        self._stored_marks = frozenset(self.unverified)

    @property
    def next_undo(self) -> Edit | None:
        """The edit that undo takes back."""
        return self.edits[self.cursor - 1] if self.cursor else None

    @property
    def next_redo(self) -> Edit | None:
        """The edit that redo makes again."""
        return self.edits[self.cursor] if self.cursor < len(self.edits) else None

    @property
    def is_stored(self) -> bool:
        """Whether the labels are the stored ones, as far as the edits tell."""
        last = self.next_undo
        if last is not None and last.reverts and self.cursor > self._shared:
            return True
        return self.cursor == self._stored == self._shared

    @property
    def n_unsaved(self) -> int:
        """How many edits, or edits taken back, lie between the stored labels and these."""
        if self.is_stored:
            return 0
        common = min(self._shared, self.cursor)
        return (self._stored - common) + (self.cursor - common)

    @property
    def unsaved_frames(self) -> tuple[int, ...]:
        """Frames that edits since the stored labels touched."""
        return tuple(sorted({f for e in self.edits[min(self._shared, self.cursor) : self.cursor] for f in e.frames}))

    def add(self, edit: Edit) -> None:
        """Take in an edit that was made; what was undone before is forgotten."""
        del self.edits[self.cursor :], self._marks[self.cursor :]
        self._shared = min(self._shared, self.cursor)
        self.edits.append(edit)
        added = set(edit.unverified) - self.unverified
        removed = self.unverified - self._stored_marks if edit.reverts else set()
        self._marks.append((added, removed))
        self.unverified = (self.unverified | added) - removed
        self.cursor += 1

    def undo(self) -> Edit:
        """Step back over `next_undo`, which must exist, and return it."""
        self.cursor -= 1
        added, removed = self._marks[self.cursor]
        self.unverified = (self.unverified - added) | removed
        return self.edits[self.cursor]

    def redo(self) -> Edit:
        """Step over `next_redo`, which must exist, and return it."""
        added, removed = self._marks[self.cursor]
        self.unverified = (self.unverified | added) - removed
        self.cursor += 1
        return self.edits[self.cursor - 1]

    def look(self, places: Iterable[Place]) -> bool:
        """Take marks off places that were looked at; returns whether there were any."""
        seen = self.unverified & set(places)
        self.unverified -= seen
        return bool(seen)

    def as_stored(self) -> EditHistory:
        """Return the same history with its present labels as the stored ones."""
        return EditHistory(self.edits, self.cursor, self.unverified)
