"""A study: folder, database, versions of labels, decisions, models and jobs. The only writer of its own state."""

from __future__ import annotations

from napari_ssl.study.checks import Finding, Severity
from napari_ssl.study.edit_history import Edit, EditHistory, Stroke
from napari_ssl.study.importing import ImportReport
from napari_ssl.study.journal import EditJournal
from napari_ssl.study.queue_rows import QueueRow
from napari_ssl.study.study import Study

__all__ = ["Edit", "EditHistory", "EditJournal", "Finding", "ImportReport", "QueueRow", "Severity", "Stroke", "Study"]
