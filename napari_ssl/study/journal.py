"""The journal of strokes: what a reader paints survives a killed process.

One file per case and reader in ``journal/``. It begins with a line that names the labels it started from (their hash),
then holds one framed record a stroke: length and CRC-32 (little-endian uint32), then zlib-compressed pixels. Every
stroke is synced; a record that was cut off by a crash is dropped, so at most the last stroke is lost. Undo and redo are
strokes in the other direction.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.errors import LabelError, StudyError
from napari_ssl.io.atomic import write_bytes
from napari_ssl.io.images import hash_labels
from napari_ssl.study.base import check_identifier
from napari_ssl.study.storage import inside, make_folder, storage_errors

__all__ = ["JOURNAL_SUFFIX", "EditJournal", "Stroke"]

_FRAME = struct.Struct("<II")
_STROKE = struct.Struct("<iiI")
JOURNAL_SUFFIX = ".journal"
"""Ending of a journal's name; what was set aside has another."""


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
    label : int
        The label that was painted with (0: erased), for telling strokes apart.
    """

    frame: int
    flat_indices: NDArray[np.int32]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    label: int

    def encode(self) -> bytes:
        """Return the record's content."""
        head = _STROKE.pack(self.frame, self.label, len(self.flat_indices))
        parts = (self.flat_indices.astype("<i4").tobytes(), self.before.tobytes(), self.after.tobytes())
        return head + zlib.compress(b"".join(parts), 1)

    @classmethod
    def decode(cls, content: bytes) -> Stroke:
        """Read a record's content; the CRC was checked before."""
        frame, label, n = _STROKE.unpack_from(content)
        raw = zlib.decompress(content[_STROKE.size :])
        return cls(
            frame=frame,
            label=label,
            flat_indices=np.frombuffer(raw, "<i4", n).astype(np.int32),
            before=np.frombuffer(raw, np.uint8, n, 4 * n).copy(),
            after=np.frombuffer(raw, np.uint8, n, 5 * n).copy(),
        )


class EditJournal:
    """Strokes of one reader on one case that are not saved yet.

    Parameters
    ----------
    study_folder : Path
    case_id : str
    base_hash : str
        Hash (`hash_labels`) of the labels that are being painted on.
    reader : str
    """

    def __init__(self, study_folder: Path, case_id: str, base_hash: str, reader: str) -> None:
        self.case_id = check_identifier("case", case_id)
        self.base_hash = base_hash
        self.path = inside(Path(study_folder), f"journal/{case_id}.{_reader_key(reader)}{JOURNAL_SUFFIX}")
        self._size: int | None = None

    @staticmethod
    def recorded_base(study_folder: Path, case_id: str, reader: str) -> str | None:
        """Return the hash of the labels that unsaved strokes of this reader belong to, None when there are none."""
        journal = EditJournal(study_folder, case_id, "", reader)
        base = journal._base()
        return base if base is not None and next(journal._records(), None) is not None else None

    @staticmethod
    def cases_with_edits(study_folder: Path, reader: str | None = None) -> set[str]:
        """Return the cases on which a reader (None: anyone) has unsaved strokes."""
        folder = Path(study_folder) / "journal"
        key = None if reader is None else _reader_key(reader)
        found = set()
        if folder.is_dir():
            for entry in os.scandir(folder):
                case_id, dot, owner = entry.name.removesuffix(JOURNAL_SUFFIX).rpartition(".")
                if dot and entry.name.endswith(JOURNAL_SUFFIX) and key in (None, owner) and _has_records(Path(entry)):
                    found.add(case_id)
        return found

    def exists(self) -> bool:
        """Whether there are strokes that belong to these labels."""
        return self._base() == self.base_hash and next(self._records(), None) is not None

    def append(
        self,
        frame: int,
        flat_indices: NDArray[Any],
        before: NDArray[Any],
        after: NDArray[Any],
        label: int = 0,
    ) -> None:
        """Add a stroke; it is on the disk when this returns.

        Strokes on other labels that lie in the journal are set aside in a file ``*.journal.set-aside-<hash>``.

        Raises
        ------
        LabelError
            Lengths that differ, or a negative frame or index.
        StorageError
            The disk is full; the strokes before are intact.
        """
        indices = np.asarray(flat_indices, np.int32).ravel()
        old, new = (np.asarray(values, np.uint8).ravel() for values in (before, after))
        if not len(indices) == len(old) == len(new) or frame < 0 or (indices.size and indices.min() < 0):
            raise LabelError(
                f"case {self.case_id}: a stroke needs as many indices as values before and after and no negative ones, "
                f"got {len(indices)}, {len(old)}, {len(new)} on frame {frame}"
            )
        stroke = Stroke(frame=int(frame), flat_indices=indices, before=old, after=new, label=int(label))
        content = stroke.encode()
        self._begin()
        with storage_errors(self.path), open(self.path, "r+b") as stream:
            if stream.seek(0, os.SEEK_END) != self._size:
                self._size = self._good_size()
                stream.truncate(self._size)
                stream.seek(self._size)
            try:
                stream.write(_FRAME.pack(len(content), zlib.crc32(content)) + content)
                stream.flush()
                os.fsync(stream.fileno())
            except OSError:
                self._size = None  # a part may have been written: the next call looks
                raise
            self._size = stream.tell()

    def strokes(self) -> list[Stroke]:
        """Return the strokes in the order of painting; a record that is cut off or damaged ends the list."""
        return [Stroke.decode(content) for content, _ in self._records()] if self._base() == self.base_hash else []

    def replay(self, labels: NDArray[np.uint8]) -> int:
        """Paint the strokes on `labels` ``(T, Z, Y, X) uint8`` in place and return their number.

        Raises
        ------
        LabelError
            `labels` are not those that the strokes were painted on, or a stroke lies outside.
        """
        strokes = self.strokes()
        if not strokes:
            return 0
        if hash_labels(labels) != self.base_hash:
            raise LabelError(f"case {self.case_id}: the unsaved strokes in {self.path} belong to other labels")
        n_frames, n_pixels = labels.shape[0], int(np.prod(labels.shape[1:]))
        for stroke in strokes:
            if stroke.frame >= n_frames or (stroke.flat_indices.size and stroke.flat_indices.max() >= n_pixels):
                raise LabelError(f"case {self.case_id}: a stroke in {self.path} lies outside {labels.shape}")
        for stroke in strokes:
            labels[stroke.frame].reshape(-1)[stroke.flat_indices] = stroke.after
        return len(strokes)

    def clear(self) -> None:
        """Forget the strokes: they were saved, or are not wanted."""
        with storage_errors(self.path):
            self.path.unlink(missing_ok=True)
        self._size = None

    def _begin(self) -> None:
        base = self._base()
        if base == self.base_hash:
            return
        if base is not None and next(self._records(), None) is not None:
            with storage_errors(self.path):
                os.replace(self.path, self.path.with_name(f"{self.path.name}.set-aside-{base[:12]}"))
        make_folder(self.path.parent)
        header = json.dumps({"napari-ssl journal": 1, "case": self.case_id, "base": self.base_hash})
        write_bytes(self.path, header.encode() + b"\n")
        self._size = None

    def _base(self) -> str | None:
        """Return the hash in the first line, None when there is no journal."""
        try:
            with open(self.path, "rb") as stream:
                return str(json.loads(stream.readline(4096))["base"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StudyError(
                f"case {self.case_id}: the journal of unsaved strokes {self.path} cannot be read ({error}); "
                "move the file away to go on without it"
            ) from error

    def _records(self) -> Iterator[tuple[bytes, int]]:
        """Yield the content of each whole record and the position after it."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return
        position = data.index(b"\n") + 1 if b"\n" in data else len(data)
        while position + _FRAME.size <= len(data):
            length, crc = _FRAME.unpack_from(data, position)
            content = data[position + _FRAME.size : position + _FRAME.size + length]
            if len(content) < length or zlib.crc32(content) != crc or length < _STROKE.size:
                return
            position += _FRAME.size + length
            yield content, position

    def _good_size(self) -> int:
        header = len(self.path.read_bytes().split(b"\n", 1)[0]) + 1
        return max([header, *(position for _, position in self._records())])


def _has_records(path: Path) -> bool:
    """Whether more than the first line is there; does not read it."""
    try:
        with open(path, "rb") as stream:
            n_header = len(stream.readline(4096))
            return stream.seek(0, os.SEEK_END) >= n_header + _FRAME.size + _STROKE.size
    except OSError:
        return False  # saved and removed meanwhile


def _reader_key(reader: str) -> str:
    if not reader.strip():
        raise StudyError("strokes need a reader's name; set it in the settings")
    return hashlib.sha256(reader.encode()).hexdigest()[:12]
