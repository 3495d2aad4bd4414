"""The plausibility rules are asked in a thread: when a case opens without stored findings, and after it was edited."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ssl.gui.background import BackgroundTask
from napari_ssl.measures.rules import Flag, check_segmentation

if TYPE_CHECKING:
    from napari_ssl.gui.loaded_case import LoadedCase
    from napari_ssl.study.study import Study

__all__ = ["RuleCheck", "find_flags"]

_PAUSE_MS = 600


def find_flags(loaded: LoadedCase, labels: NDArray[np.uint8], study: Study) -> tuple[Flag, ...]:
    """Ask all rules about labels (T, Z, Y, X) of a case; call it in a thread."""
    case = loaded.case
    if not loaded.labelled_frames:
        return ()
    curve = next(iter(loaded.curves.values()), None)
    flags = check_segmentation(
        labels,
        study.label_scheme,
        case.spacing_zyx_mm,
        frames=loaded.labelled_frames,
        frame_interval_ms=case.frame_interval_ms,
        ed_frame=case.ed_frame if curve is None else curve.ed_frame,
        es_frame=case.es_frame if curve is None else curve.es_frame,
        limits=study.rule_limits,
    )
    return tuple(flags)


class RuleCheck(QObject):
    """Runs `find_flags` when edits pause; results about another case or older labels are dropped.

    Signals
    -------
    checked : tuple of Flag
    failed : str
    """

    checked = Signal(object)
    failed = Signal(str)

    def __init__(self, study: Study, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._study = study
        self._loaded: LoadedCase | None = None
        self._task = BackgroundTask(self)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._start)
        self._task.done.connect(self._done)
        self._task.failed.connect(self.failed)

    def request(self, loaded: LoadedCase, *, pause_ms: int = _PAUSE_MS) -> None:
        """Ask the rules about the labels as they are after a pause; a newer request replaces this one."""
        self._loaded = loaded
        self._timer.start(pause_ms)

    def cancel(self) -> None:
        """Forget what was asked."""
        self._loaded = None
        self._timer.stop()
        self._task.cancel()

    def close(self) -> None:
        """Stop the thread."""
        self.cancel()
        self._task.close()

    def _start(self) -> None:
        loaded = self._loaded
        if loaded is not None:
            labels = loaded.labels.copy()
            self._task.start(lambda _run: (loaded, find_flags(loaded, labels, self._study)))

    def _done(self, result: tuple[LoadedCase, tuple[Flag, ...]]) -> None:
        loaded, flags = result
        if loaded is self._loaded:
            loaded.rule_flags = flags
            self.checked.emit(flags)
