"""Filter and order of the queue are kept in the study by reader, so that another machine shows the same list."""

from __future__ import annotations

import logging
from typing import Any

from qtpy.QtCore import QObject, QTimer

from napari_ssl.gui.queue_panel import QueuePanel
from napari_ssl.gui.reviewer import Reviewer

__all__ = ["QueueMemory"]

_TOPIC = "queue"
_DELAY_MS = 600
"""Wait for the end of typing before the study is told."""
_log = logging.getLogger(__name__)


class QueueMemory(QObject):
    """Brings a reader's list back when a study is opened, and keeps what is changed.

    A memory that cannot be read or written costs only this convenience: it is logged.
    """

    def __init__(self, panel: QueuePanel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._panel = panel
        self._reviewer: Reviewer | None = None
        self._kept: dict[str, Any] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_DELAY_MS)
        self._timer.timeout.connect(self.keep)
        panel.arranged.connect(self._changed)

    def follow(self, reviewer: Reviewer | None) -> None:
        """Serve another study or reader; None: the one before is about to be closed, what waits is kept first."""
        if self._timer.isActive():
            self.keep()
        self._timer.stop()
        self._reviewer, self._kept = reviewer, None
        if reviewer is not None:
            study, reader = reviewer.study, reviewer.reader
            reviewer.saver.run(lambda: study.recall(reader, _TOPIC), self._bring_back, self._failed)

    def keep(self) -> None:
        """Tell the study what is on show, in a thread."""
        self._timer.stop()
        reviewer, document = self._reviewer, self._panel.arrangement()
        if reviewer is None or reviewer.study.read_only or document == self._kept:
            return
        self._kept = document
        study, reader = reviewer.study, reviewer.reader
        reviewer.saver.run(lambda: study.remember(reader, _TOPIC, document), lambda _none: None, self._failed)

    def _bring_back(self, document: Any) -> None:
        if isinstance(document, dict):
            self._panel.arrange(document)
            self._timer.stop()
            self._kept = self._panel.arrangement()

    def _changed(self) -> None:
        if self._reviewer is not None:
            self._timer.start()

    @staticmethod
    def _failed(error: Exception) -> None:
        _log.warning("filter and order of the queue are not remembered: %s", error)
