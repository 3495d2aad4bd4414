"""What a test may leave behind: threads of ours, child processes, open windows.

Main windows are left out: one is shared by the tests, and napari's own fixture looks after the others.
"""

from __future__ import annotations

import contextlib
import threading
import time

import psutil
from qtpy.QtWidgets import QApplication, QMainWindow


def alive() -> dict[str, set]:
    """Return threads, child processes and windows that there are."""
    children = set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                children.add(process)
    shown = QApplication.topLevelWidgets() if QApplication.instance() is not None else []
    return {
        "threads": {t for t in threading.enumerate() if t.name.startswith("napari-ssl")},
        "child processes": children,
        "windows": {w for w in shown if w.isVisible() and not isinstance(w, QMainWindow)},
    }


def left_behind(before: dict[str, set], seconds: float = 10.0) -> dict[str, list[str]]:
    """Return what came since `before` and has not gone within some seconds, by what it is."""
    end = time.monotonic() + seconds
    while True:
        now = alive()
        new = {what: now[what] - before[what] for what in now}
        if not any(new.values()) or time.monotonic() > end:
            return {what: sorted(map(repr, things)) for what, things in new.items() if things}
        if QApplication.instance() is not None:
            QApplication.processEvents()
        time.sleep(0.02)
