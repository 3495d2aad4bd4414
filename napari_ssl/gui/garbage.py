"""Cyclic garbage is collected in the window's thread, in small pieces.

CPython collects in whichever thread crosses a threshold. Where a thread that reads a case collects a dead cycle that
holds a Qt object, Qt destroys it in the wrong thread and the process ends with a segmentation fault. So while a
workspace is open, automatic collection is off and a timer of the window's thread does the same work.

A full collection visits every object of napari, 330,000 of them in about 230 ms. What is there once the window stands
stays for its life, so it is frozen: later collections pass it by. They take 1 to 3 ms.
"""

from __future__ import annotations

import gc
import time
from typing import ClassVar

from qtpy.QtCore import QObject, QTimer

__all__ = ["GarbageCollection"]

_EVERY_MS = 250
_YOUNG_PER_OLD = 10  # as CPython's thresholds: ten collections of the younger generation make one of the next
_LONG_S = 0.02  # a full collection that takes longer freezes what it leaves


class GarbageCollection(QObject):
    """Keeps collection in the thread that made it, from `start` to `stop`; several may be at work at a time.

    Parameters
    ----------
    parent : QObject, optional
        Its thread collects.
    n_settling : int, optional
        So many times freeze first, instead of a collection: the first layers and the first study bring 100,000 objects
        that stay.
    """

    _at_work: ClassVar[int] = 0
    _was_automatic: ClassVar[bool] = False

    def __init__(self, parent: QObject | None = None, *, n_settling: int = 20) -> None:
        super().__init__(parent)
        self._timer = QTimer(self)
        self._timer.setInterval(_EVERY_MS)
        self._timer.timeout.connect(self._collect_due)
        self._since_old = 0
        self._n_settling = n_settling

    def start(self) -> None:
        """Turn automatic collection off and collect by a timer."""
        if self._timer.isActive():
            return
        if GarbageCollection._at_work == 0:
            GarbageCollection._was_automatic = gc.isenabled()
            gc.disable()
        GarbageCollection._at_work += 1
        self._timer.start()

    def stop(self) -> None:
        """Give collection back as it was found, once nobody needs it here any more."""
        if not self._timer.isActive():
            return
        self._timer.stop()
        GarbageCollection._at_work -= 1
        self.thaw()
        if GarbageCollection._at_work == 0 and GarbageCollection._was_automatic:
            gc.enable()

    def freeze(self) -> None:
        """Let later collections pass over all that there is now; it costs no time."""
        gc.freeze()

    def thaw(self) -> None:
        """Let collections visit everything again."""
        gc.unfreeze()

    def collect_all(self) -> None:
        """Collect everything now, for instance what a closed study leaves; with napari some 250 ms."""
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def _collect_due(self) -> None:
        young, middle, _old = gc.get_count()
        if young <= gc.get_threshold()[0]:
            return
        if self._n_settling > 0:
            self._n_settling -= 1
            gc.freeze()
        elif middle < _YOUNG_PER_OLD:
            gc.collect(0)
        elif self._since_old < _YOUNG_PER_OLD:
            self._since_old += 1
            gc.collect(1)
        else:
            self._since_old = 0
            start = time.perf_counter()
            gc.collect()
            if time.perf_counter() - start > _LONG_S:
                gc.freeze()
