"""The check that every test of the window goes through finds what it is there to find."""

import subprocess
import sys
import threading

from gui_leaks import alive, left_behind
from qtpy.QtWidgets import QLabel

from napari_ssl.gui.loader import WorkQueue


def test_a_thread_that_is_not_ended_is_found(qapp):
    before, work, running, go_on = alive(), WorkQueue(), threading.Event(), threading.Event()
    work.run(lambda: (running.set(), go_on.wait(30)), print, print)
    running.wait(30)
    assert list(left_behind(before, 0.2)) == ["threads"]
    go_on.set()
    work.close()
    assert not left_behind(before)


def test_a_process_that_is_not_ended_is_found(qapp):
    before = alive()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert list(left_behind(before, 0.2)) == ["child processes"]
    child.kill()
    assert not left_behind(before), "one that was killed and not waited for is gone"
    child.wait()


def test_a_window_that_is_not_closed_is_found(qapp):
    before, window = alive(), QLabel("still here")
    window.show()
    assert list(left_behind(before, 0.2)) == ["windows"]
    window.close()
    assert not left_behind(before)
