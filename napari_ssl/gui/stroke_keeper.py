"""Journal and history of the case on screen, kept alike; written by the window and by the thread that saves."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from pathlib import Path

from napari_ssl.errors import StorageError
from napari_ssl.study.edit_history import Edit, EditHistory, Place
from napari_ssl.study.journal import EditJournal

__all__ = ["StrokeKeeper"]

_log = logging.getLogger(__name__)


class StrokeKeeper:
    """Every step goes into the history and, before the call returns, into the journal.

    A StorageError of `add`, `undo`, `redo` and `look` means that the step was made and waits in memory for the disk.

    Parameters
    ----------
    journal : EditJournal
    history : EditHistory, optional
        What the journal holds, when it was read already.
    """

    def __init__(self, journal: EditJournal, history: EditHistory | None = None) -> None:
        self._lock = threading.RLock()
        self._journal = journal
        self.history = journal.history() if history is None else history
        self.n_records = journal.n_records()

    @property
    def n(self) -> int:
        """How many unsaved edits there are."""
        return self.history.n_unsaved

    def add(self, edit: Edit) -> None:
        """Take in an edit that was made."""
        with self._lock:
            self.history.add(edit)
            self.n_records += 1
            self._journal.add(edit)

    def undo(self) -> None:
        """Note that `history.next_undo` was taken back."""
        with self._lock:
            self.history.undo()
            self.n_records += 1
            self._journal.add_undo()

    def redo(self) -> None:
        """Note that `history.next_redo` was made again."""
        with self._lock:
            self.history.redo()
            self.n_records += 1
            self._journal.add_redo()

    def look(self, places: Iterable[Place]) -> bool:
        """Take marks off places that were looked at; returns whether there were any."""
        with self._lock:
            places = sorted(self.history.unverified & set(places))
            if not places:
                return False
            self.history.look(places)
            self.n_records += 1
            self._journal.add_look(places)
            return True

    def rebase(self, base_hash: str, n_records: int) -> None:
        """Make the labels after the first `n_records` the stored ones; edits made since stay unsaved.

        Where the disk refuses, the journal goes on as it was: its edits lead to the same labels, which is noticed when
        the case is opened again.
        """
        with self._lock:
            try:
                self._journal = self._journal.rebase(base_hash, n_records)
            except StorageError as error:
                _log.warning("%s", error)
                return
            self.history = self._journal.history()
            self.n_records -= n_records

    def compact(self) -> None:
        """Let steps that cancelled out be no unsaved edits; they can still be undone and redone."""
        if self.n_records and self.history.is_stored:
            self.rebase(self._journal.base_hash, self.n_records)

    def discard(self) -> Path | None:
        """Put the journal out of the way; returns the file that keeps the edits."""
        with self._lock:
            aside = self._journal.discard()
            self.history, self.n_records = EditHistory(), 0
            return aside
