"""The journal of edits: what a reader paints survives a killed process, and can be undone after it.

One file per case and reader in ``journal/``. Its first line names the labels that the unsaved edits started from (their
hash) and tells how many edits led there (the *past*, which undo may go back into). Then follow framed records: length
and CRC-32 (little-endian uint32), then a kind and its content: an edit (one record, whatever number of frames: whole or
not at all), an undo, a redo, or places that were looked at. Every record is synced; one that was cut off by a crash is
dropped, so at most the last edit is lost. Journals of version 1 (strokes only) are read and go on as version 2.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.errors import LabelError, StudyError
from napari_ssl.io.images import hash_labels
from napari_ssl.study.base import check_identifier
from napari_ssl.study.edit_history import Edit, EditHistory, Place
from napari_ssl.study.journal_file import JournalFile, has_unsaved, waiting_cases, waiting_names, write_waiting
from napari_ssl.study.journal_records import Header, decode, encode_look, frame, kind_of
from napari_ssl.study.storage import inside

__all__ = ["JOURNAL_SUFFIX", "EditJournal", "waiting_cases", "write_waiting"]

JOURNAL_SUFFIX = ".journal"
"""Ending of a journal's name; what was set aside has another."""

_UNDO, _REDO = b"U", b"R"


class EditJournal:
    """Edits of one reader on one case.

    Parameters
    ----------
    study_folder : Path
    case_id : str
    base_hash : str
        Hash (`hash_labels`) of the stored labels that are being painted on.
    reader : str
    """

    def __init__(self, study_folder: Path, case_id: str, base_hash: str, reader: str) -> None:
        self.case_id = check_identifier("case", case_id)
        self.base_hash = base_hash
        self.path = inside(Path(study_folder), f"journal/{case_id}.{_reader_key(reader)}{JOURNAL_SUFFIX}")
        self._file = JournalFile(self.path, case_id)

    @staticmethod
    def recorded_base(study_folder: Path, case_id: str, reader: str) -> str | None:
        """Return the hash of the labels that unsaved edits of this reader belong to, None when there are none."""
        file = EditJournal(study_folder, case_id, "", reader)._file
        header = file.header()
        return header.base if header is not None and len(file.contents()) > header.n_past else None

    @staticmethod
    def cases_with_edits(study_folder: Path, reader: str | None = None) -> set[str]:
        """Return the cases on which a reader (None: anyone) has unsaved edits."""
        folder = Path(study_folder) / "journal"
        key = None if reader is None else _reader_key(reader)
        names = {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
        found = set()
        for name in names | waiting_names(folder):
            case_id, dot, owner = name.removesuffix(JOURNAL_SUFFIX).rpartition(".")
            if dot and name.endswith(JOURNAL_SUFFIX) and key in (None, owner) and has_unsaved(folder / name):
                found.add(case_id)
        return found

    def exists(self) -> bool:
        """Whether there are unsaved edits that belong to these labels."""
        return self.n_records() > 0

    def n_records(self) -> int:
        """Return how many edits, undos, redos and looks were recorded since the stored labels."""
        header = self._header()
        return 0 if header is None else len(self._file.contents()) - header.n_past

    def append(
        self,
        frame: int,
        flat_indices: NDArray[Any] | Sequence[int],
        before: NDArray[Any] | Sequence[int],
        after: NDArray[Any] | Sequence[int],
    ) -> None:
        """Add an edit of one frame; LabelError when its arrays do not fit, else as `add`."""
        try:
            self.add(Edit.of_arrays(frame, flat_indices, before, after))
        except LabelError as error:
            raise LabelError(f"case {self.case_id}: {error}") from error

    def add(self, edit: Edit) -> None:
        """Add an edit; it is on the disk when this returns.

        Unsaved edits of other labels that lie in the journal are set aside in a file ``*.journal.set-aside-<hash>``.

        Raises
        ------
        StorageError
            The disk is full or the folder not writable. Earlier edits are intact, this one waits in memory.
        """
        self._file.put(self.base_hash, b"E" + edit.encode())

    def add_undo(self) -> None:
        """Note that the last edit was taken back; StorageError as `add`."""
        self._file.put(self.base_hash, _UNDO)

    def add_redo(self) -> None:
        """Note that the edit undone last was made again; StorageError as `add`."""
        self._file.put(self.base_hash, _REDO)

    def add_look(self, places: Iterable[Place]) -> None:
        """Note that places were looked at; StorageError as `add`."""
        self._file.put(self.base_hash, encode_look(places))

    def history(self) -> EditHistory:
        """Return all edits in order; empty when the journal belongs to other labels."""
        header = self._header()
        if header is None:
            return EditHistory()
        contents = self._file.contents()
        history = _past(header, contents)
        list(_steps(history, contents[header.n_past :]))
        return history

    def replay(self, labels: NDArray[np.uint8]) -> EditHistory:
        """Paint the unsaved edits on `labels` ``(T, Z, Y, X) uint8`` in place and return the history.

        Raises
        ------
        LabelError
            `labels` are not those that were painted on, or an edit lies outside.
        """
        header = self._header()
        if header is None:
            return EditHistory()
        contents = self._file.contents()
        if contents and hash_labels(labels) != self.base_hash:
            raise LabelError(f"case {self.case_id}: the unsaved strokes in {self.path} belong to other labels")
        history = _past(header, contents)
        steps = list(_steps(history, contents[header.n_past :]))
        if not all(edit.lies_within(labels.shape) for edit, _ in steps):
            raise LabelError(f"case {self.case_id}: a stroke in {self.path} lies outside {labels.shape}")
        for edit, backwards in steps:
            edit.paint(labels, backwards=backwards)
        return history

    def rebase(self, base_hash: str, n_records: int) -> EditJournal:
        """Make the labels after the first `n_records` the stored ones; returns the journal that goes on from there.

        Edits before remain as the past, edits since are unsaved still.

        Raises
        ------
        StorageError
            The disk refuses; the journal is as before.
        """
        header = self._header()
        if header is not None:
            contents = self._file.contents()
            history, end = _past(header, contents), header.n_past + n_records
            list(_steps(history, contents[header.n_past : end]))
            past = b"".join(frame(b"E" + edit.encode()) for edit in history.edits)
            new = Header(
                case=self.case_id,
                base=base_hash,
                n_past=len(history.edits),
                n_past_bytes=len(past),
                cursor=history.cursor,
                unverified=tuple(sorted(history.unverified)),
            )
            self._file.replace(new, past + b"".join(map(frame, contents[end:])))
        return self.with_base(base_hash)

    def with_base(self, base_hash: str) -> EditJournal:
        """Return the journal of the same case and reader on other labels."""
        other = object.__new__(EditJournal)
        other.case_id, other.base_hash, other.path = self.case_id, base_hash, self.path
        other._file = JournalFile(self.path, self.case_id)
        return other

    def discard(self) -> Path | None:
        """Put the journal out of the way, whatever labels it belongs to; returns the file that keeps the edits."""
        return self._file.set_aside()

    def keep_damaged(self) -> Path | None:
        """Copy the journal where whole edits follow a damaged one, which `replay` leaves out; returns the copy.

        None where nothing is damaged, or no more than what a crash cut off at the end. StorageError when the disk
        refuses the copy; the journal itself is as it was.
        """
        return self._file.keep_damaged()

    @staticmethod
    def problem(study_folder: Path, case_id: str, reader: str) -> str:
        """Return why a journal cannot be read at all, so that its case cannot be shown; empty when it can."""
        file = EditJournal(study_folder, case_id, "", reader)._file
        try:
            file.contents()
        except StudyError as error:
            return str(error)
        return ""

    @staticmethod
    def put_aside_damaged(study_folder: Path, case_id: str, reader: str) -> Path | None:
        """Put a journal that cannot be read out of the way; returns the file that keeps it. StorageError as `add`."""
        return EditJournal(study_folder, case_id, "", reader)._file.put_aside_damaged()

    def clear(self) -> None:
        """Forget all edits."""
        self._file.remove()

    def _header(self) -> Header | None:
        """Return the first line when it is about these labels."""
        header = self._file.header()
        return header if header is not None and header.base == self.base_hash else None


def _past(header: Header, contents: list[bytes]) -> EditHistory:
    return EditHistory([decode(c) for c in contents[: header.n_past]], header.cursor, header.unverified)


def _steps(history: EditHistory, contents: Iterable[bytes]) -> Iterator[tuple[Edit, bool]]:
    """Run records on a history; yields each edit that changes labels and whether backwards."""
    for content in contents:
        kind = kind_of(content)
        if kind == "edit":
            edit = decode(content)
            history.add(edit)
            yield edit, False
        elif kind == "undo" and history.next_undo is not None:
            yield history.undo(), True
        elif kind == "redo" and history.next_redo is not None:
            yield history.redo(), False
        elif kind == "look":
            history.look((f, z) for f, z in json.loads(content[1:]))


def _reader_key(reader: str) -> str:
    if not reader.strip():
        raise StudyError("strokes need a reader's name; set it in the settings")
    return hashlib.sha256(reader.encode()).hexdigest()[:12]
