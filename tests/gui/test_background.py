from __future__ import annotations

import threading

import pytest

from napari_ssl.errors import StudyError
from napari_ssl.gui.background import BackgroundTask, in_words


@pytest.fixture
def task(qtbot):
    task = BackgroundTask()
    yield task
    task.close()


def test_the_outcome_comes_back_in_the_thread_of_the_window(qtbot, task):
    threads = []
    task.done.connect(lambda value: threads.append((value, threading.current_thread())))
    with qtbot.waitSignal(task.done, timeout=3000):
        task.start(lambda run: threading.current_thread() is threading.main_thread())
    assert threads == [(False, threading.main_thread())]
    assert not task.running


def test_an_error_comes_back_in_words(qtbot, task):
    def fail(run):
        raise StudyError("folder x: no study; choose another")

    with qtbot.waitSignal(task.failed, timeout=3000) as blocker:
        task.start(fail)
    assert blocker.args == ["Folder x: no study; choose another"]
    assert in_words(KeyError("a")) == "KeyError: 'a'"


def test_progress_and_cancel_reach_each_other(qtbot, task):
    seen = []
    task.progress.connect(lambda done, total, text: (seen.append((done, total, text)), task.cancel()))

    def work(run):
        run.report(1, 3, "one")
        while not run.should_stop():
            threading.Event().wait(0.01)
        return "stopped"

    with qtbot.waitSignal(task.done, timeout=3000) as blocker:
        task.start(work)
    assert blocker.args == ["stopped"] and seen == [(1, 3, "one")]


def test_a_new_start_drops_the_outcome_of_the_one_before(qtbot, task):
    seen = []
    task.done.connect(seen.append)
    release = threading.Event()
    task.start(lambda run: (release.wait(3), "old")[1])
    task.start(lambda run: "new")
    qtbot.waitUntil(lambda: seen == ["new"], timeout=3000)
    release.set()
    qtbot.wait(60)
    assert seen == ["new"]


def test_closing_ends_the_threads_and_emits_nothing(qtbot, task):
    task.done.connect(lambda _: pytest.fail("emitted"))
    task.start(lambda run: run._stop.wait(3))
    task.close()
    qtbot.wait(30)
    assert not [t for t in threading.enumerate() if t.name == "napari-ssl panel"]
