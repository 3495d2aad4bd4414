"""Cases are read in threads, the next one ahead of time, so that the window never waits for a disk."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_ssl.errors import NapariSslError
from napari_ssl.gui.background import in_words
from napari_ssl.gui.loaded_case import LoadedCase, base_hash_of, load_case, shown_segmentation
from napari_ssl.study.journal import EditJournal

if TYPE_CHECKING:
    from napari_ssl.study.study import Study

__all__ = ["CaseLoader", "WorkQueue"]

_log = logging.getLogger(__name__)


class WorkQueue(QObject):
    """Runs functions in threads, in order for one thread, and hands result or error back in the window's thread."""

    _finished = Signal(object, object)

    def __init__(self, *, n_threads: int = 1, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = ThreadPoolExecutor(max_workers=n_threads, thread_name_prefix="napari-ssl")
        self._closed = False
        self.n_running = 0
        self._finished.connect(self._deliver)

    def run(self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[Exception], None]) -> None:
        """Call ``done(work())`` or ``failed(error)``, the work in a thread and the rest here."""
        self.n_running += 1
        self._pool.submit(self._work, work, done, failed)

    def _work(self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[Exception], None]) -> None:
        try:
            callback, value = done, work()
        except Exception as error:  # border of the window: shown as a banner by `failed`
            if not isinstance(error, NapariSslError):
                _log.exception("background work failed")
            callback, value = failed, error
        if not self._closed:
            self._finished.emit(callback, value)

    def _deliver(self, callback: Callable[[Any], None], value: Any) -> None:
        self.n_running -= 1
        if not self._closed:
            callback(value)

    def close(self) -> None:
        """Wait for what runs (saves end well) and deliver nothing any more."""
        self._closed = True
        self._pool.shutdown(wait=True)


class CaseLoader(QObject):
    """Loads the case that was asked for last and reads the next one ahead.

    Signals
    -------
    loaded : LoadedCase
        Only for the newest request; results of older ones are dropped.
    failed : str, str
        Case and message.
    """

    loaded = Signal(object)
    failed = Signal(str, str)

    def __init__(self, study: Study, reader: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.study = study
        self.reader = reader
        self._background = WorkQueue(n_threads=2, parent=self)
        self._ahead: OrderedDict[str, tuple[tuple, LoadedCase]] = OrderedDict()
        self._reading: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        self._wanted = 0

    def request(self, case_id: str, *, segmentation_id: int | None = None) -> None:
        """Load `case_id`; `loaded` or `failed` follows."""
        self._wanted += 1
        ticket = self._wanted

        def done(loaded: LoadedCase) -> None:
            if ticket == self._wanted:
                self.loaded.emit(loaded)

        def failed(error: Exception) -> None:
            if ticket == self._wanted:
                self.failed.emit(case_id, in_words(error))

        self._background.run(lambda: self._take(case_id, segmentation_id), done, failed)

    def prefetch(self, case_id: str) -> None:
        """Read `case_id` ahead of a request; a failure is told when the case is requested."""
        with self._lock:
            if case_id in self._ahead or case_id in self._reading:
                return
            self._reading[case_id] = threading.Event()
        self._background.run(lambda: self._read_ahead(case_id), lambda _none: None, lambda _error: None)

    def forget(self, case_id: str | None = None) -> None:
        """Drop what was read ahead, of one case or of all."""
        with self._lock:
            if case_id is None:
                self._ahead.clear()
            else:
                self._ahead.pop(case_id, None)

    def close(self) -> None:
        """Stop the threads."""
        self._wanted += 1
        self._background.close()

    def _stamp(self, case_id: str) -> tuple:
        """Tell what the loaded case depends on; another stamp means that it is out of date."""
        case = self.study.case(case_id)
        shown, _ = shown_segmentation(self.study, case_id, self.reader)
        _state, decision = self.study.review_state(case_id, self.reader)
        n_strokes = EditJournal(self.study.folder, case_id, base_hash_of(case, shown), self.reader).n_records()
        newest = self.study.proposal(case_id)
        return (case, shown and shown.id, newest and newest.id, decision and decision.id, n_strokes)

    def _read_ahead(self, case_id: str) -> None:
        try:
            stamp = self._stamp(case_id)
            loaded = load_case(self.study, case_id, self.reader)
            with self._lock:
                self._ahead[case_id] = (stamp, loaded)
                while len(self._ahead) > 2:
                    self._ahead.popitem(last=False)
        finally:
            with self._lock:
                self._reading.pop(case_id).set()

    def _take(self, case_id: str, segmentation_id: int | None) -> LoadedCase:
        if segmentation_id is None:
            with self._lock:
                reading = self._reading.get(case_id)
            if reading is not None:
                reading.wait()
            with self._lock:
                ahead = self._ahead.pop(case_id, None)
            if ahead is not None and ahead[0] == self._stamp(case_id):
                return ahead[1]
        return load_case(self.study, case_id, self.reader, segmentation_id=segmentation_id)
