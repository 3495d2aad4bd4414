from __future__ import annotations

import threading

import pytest
from panel_fakes import FakeRunner

from napari_ssl.core.job import EventKind, JobState
from napari_ssl.errors import SpecError
from napari_ssl.gui.bridge import JobBridge


class Order:
    def to_dict(self):
        return {"kind": "train"}


@pytest.fixture
def runner(tmp_path):
    return FakeRunner(tmp_path)


@pytest.fixture
def bridge(qtbot, tmp_path, runner):
    bridge = JobBridge(tmp_path, make_runner=lambda folder: runner)
    yield bridge
    bridge.close()


def test_an_order_is_made_and_submitted_outside_of_the_window_s_thread(qtbot, bridge, runner):
    threads = []

    def make_spec():
        threads.append(threading.current_thread())
        return Order()

    with qtbot.waitSignal(bridge.submitted, timeout=3000) as blocker:
        bridge.submit(make_spec)
    assert blocker.args[0].id == "job1"
    assert threads[0] is not threading.main_thread()


def test_a_refusal_comes_back_in_words(qtbot, bridge, runner):
    def make_spec():
        raise SpecError("no labelled case to train on; import some")

    with qtbot.waitSignal(bridge.refused, timeout=3000) as blocker:
        bridge.submit(make_spec)
    assert blocker.args == ["submit", "No labelled case to train on; import some"]


def test_watching_replays_the_history_and_goes_on(qtbot, bridge, runner):
    runner.add_job("a")
    runner.tell("a", EventKind.STARTED, attempt=1)
    runner.tell("a", EventKind.PROGRESS, fraction=0.1)
    seen = []
    bridge.events_arrived.connect(lambda job_id, events: seen.extend((job_id, e.kind) for e in events))
    bridge.watch("a")
    qtbot.waitUntil(lambda: len(seen) == 2, timeout=3000)
    runner.tell("a", EventKind.CHECKPOINT, iteration=1)
    qtbot.waitUntil(lambda: len(seen) == 3, timeout=3000)
    assert seen[-1] == ("a", EventKind.CHECKPOINT)


def test_changed_states_are_told_and_unchanged_ones_are_not(qtbot, bridge, runner):
    seen = []
    bridge.jobs_changed.connect(lambda jobs: seen.append([j.state for j in jobs]))
    runner.add_job("a")
    qtbot.waitUntil(lambda: bool(seen) and seen[-1] == [JobState.QUEUED], timeout=3000)
    n = len(seen)
    qtbot.wait(900)
    assert len(seen) == n
    runner.set_state("a", JobState.RUNNING)
    qtbot.waitUntil(lambda: seen[-1] == [JobState.RUNNING], timeout=3000)


def test_control_goes_through(qtbot, bridge, runner):
    bridge.cancel("a", force=True)
    bridge.pause("b")
    bridge.resume("c")
    qtbot.waitUntil(lambda: len(runner.calls) == 3, timeout=3000)
    assert set(runner.calls) == {("cancel", "a", True), ("pause", "b"), ("resume", "c")}


def test_a_watcher_that_fails_tells_once_and_goes_on(qtbot, bridge, runner):
    seen, states = [], []
    bridge.refused.connect(lambda *args: seen.append(args))
    bridge.jobs_changed.connect(lambda jobs: states.append(jobs))
    good = runner.jobs
    runner.jobs = lambda: (_ for _ in ()).throw(SpecError("drive gone"))
    qtbot.waitUntil(lambda: bool(seen), timeout=3000)
    qtbot.wait(1300)
    assert seen == [("watch", "Drive gone")]
    runner.jobs = good
    runner.add_job("a")
    qtbot.waitUntil(lambda: bool(states) and len(states[-1]) == 1, timeout=3000)


def test_closing_leaves_no_thread_and_emits_nothing(qtbot, bridge, runner):
    bridge.watch("a")
    bridge.submit(Order)
    bridge.close()
    assert runner.closed
    names = [t.name for t in threading.enumerate()]
    assert not [n for n in names if n.startswith("napari-ssl")], names
    bridge.refused.connect(lambda *_: pytest.fail("emitted"))
    bridge.pause("a")
    qtbot.wait(50)
