"""The process that computes, without an engine: how it stops and what it leaves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import psutil
import pytest

from napari_ssl.core.job import EventKind
from napari_ssl.jobs.child import ORPHAN_GRACE_S
from napari_ssl.jobs.control import lease
from napari_ssl.jobs.events import read_events
from napari_ssl.jobs.process import in_own_group


@pytest.fixture
def start(jobs_environment, tmp_path):
    """Start a child on an order in ``tmp_path``."""
    started = []

    def make(spec):
        (tmp_path / "spec.json").write_text(json.dumps(spec.to_dict()))
        child = subprocess.Popen(
            [sys.executable, "-m", "napari_ssl.jobs.child", str(tmp_path), "--attempt", "1"],
            stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, **in_own_group(),
        )  # fmt: skip
        started.append(child)
        return child

    yield make
    for child in started:
        child.kill()
        child.wait()
        child.stdin.close()


def _counting(folder, eventually):
    eventually(lambda: any(e.kind is EventKind.CHECKPOINT for e in read_events(folder)))


def _last(folder):
    return read_events(folder)[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that can be answered")
def test_sigterm_stops_with_a_checkpoint(start, order, tmp_path, eventually):
    child = start(order(count=1000, step_s=0.05))
    _counting(tmp_path, eventually)
    child.send_signal(signal.SIGTERM)
    assert child.wait(3) == 0
    assert _last(tmp_path).kind is EventKind.STOPPED


def test_the_line_stop_stops_with_a_checkpoint_and_priority_is_low(start, order, tmp_path, eventually):
    child = start(order(count=1000, step_s=0.05))
    _counting(tmp_path, eventually)
    assert psutil.Process(child.pid).nice() not in (0, getattr(psutil, "NORMAL_PRIORITY_CLASS", 0))
    child.stdin.write(b"stop\n")
    child.stdin.flush()
    assert child.wait(3) == 0
    assert _last(tmp_path).kind is EventKind.STOPPED
    assert json.loads((tmp_path / "count.json").read_text())["n"] >= 1


@pytest.mark.parametrize("deaf", [False, True])
def test_a_child_whose_parent_died_ends_soon_even_if_it_does_not_listen(start, order, tmp_path, eventually, deaf):
    child = start(order(count=1000, step_s=0.05, deaf=deaf))
    eventually(lambda: any(e.kind is EventKind.PROGRESS for e in read_events(tmp_path)))
    began = time.monotonic()
    child.stdin.close()
    child.wait(5)
    assert time.monotonic() - began < ORPHAN_GRACE_S + 1


def test_a_run_has_one_child_at_a_time(order, tmp_path, jobs_environment, monkeypatch):
    from napari_ssl.jobs import child

    monkeypatch.setattr(child, "_PREDECESSOR_GRACE_S", 0.1)
    monkeypatch.setattr(child, "_listen_to_parent", lambda stop: None)
    monkeypatch.setattr(child, "lower_priority", lambda: None)
    monkeypatch.setattr(child.signal, "signal", lambda *_: None)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "spec.json").write_text(json.dumps(order().to_dict()))
    with lease(tmp_path, "child"):
        assert child.main([str(tmp_path), "--attempt", "1"]) == 0
    assert _last(tmp_path).kind is EventKind.FAILED
    assert "another process" in _last(tmp_path).data["message"]


def test_a_damaged_order_is_told_in_words(order, tmp_path, start):
    child = start(order())
    child.kill()
    child.wait()
    (tmp_path / "spec.json").write_text("{")
    child = subprocess.run(
        [sys.executable, "-m", "napari_ssl.jobs.child", str(tmp_path), "--attempt", "2"],
        input=b"", capture_output=True, check=False,
    )  # fmt: skip
    events = read_events(tmp_path)
    assert events and events[-1].kind is EventKind.FAILED
    assert "spec.json: the order cannot be read" in events[-1].data["message"]
