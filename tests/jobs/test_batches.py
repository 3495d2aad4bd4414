"""A cohort on several servers: batches at once, every case once whatever happens."""

from __future__ import annotations

import json
import threading

import pytest
from server_threads import Serving

from napari_ssl.errors import StorageError
from napari_ssl.jobs import batches, place
from napari_ssl.jobs.batches import label_batches, n_at_once
from napari_ssl.jobs.cluster_settings import Slurm
from napari_ssl.jobs.cohort import Ledger
from napari_ssl.jobs.connection import ENGINE_FOLDER_VARIABLE

CUT = [("a", "b"), ("c", "d"), ("e", "f"), ("g",)]


@pytest.fixture
def at_home(tmp_path, monkeypatch):
    monkeypatch.setenv(ENGINE_FOLDER_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("NAPARI_SSL_TEST_KINDS", raising=False)


def test_this_computer_takes_one_at_a_time_and_a_cluster_what_was_chosen(at_home):
    assert n_at_once() == 1
    place.use_cluster(Slurm(jobs=7))
    assert n_at_once() == 7


def test_as_many_run_at_once_as_there_are_places(monkeypatch, tmp_path):
    monkeypatch.setattr(batches, "n_at_once", lambda: 3)
    together, done = threading.Barrier(3, timeout=60), []

    def label(batch, part, should_stop):
        if part[0] <= 3:
            together.wait()  # only passes when three are here
        done.append((part, batch))

    label_batches(CUT, label, Ledger(tmp_path / "l"), lambda: False)
    assert sorted(done) == [((n, 4), batch) for n, batch in enumerate(CUT, start=1)]


def test_the_ledger_knows_what_is_under_way_whatever_has_ended(monkeypatch, tmp_path):
    monkeypatch.setattr(batches, "n_at_once", lambda: 2)
    ledger, ended = Ledger(tmp_path / "l"), threading.Event()

    class Killed(BaseException):
        """As a signal would end it."""

    def label(batch, part, should_stop):
        if part[0] == 1:
            assert ended.wait(60)
            raise Killed
        ledger.end(batch, {})
        if part[0] == 3:
            ended.set()

    with pytest.raises(Killed):
        label_batches(CUT, label, ledger, lambda: False)
    again = Ledger(tmp_path / "l")
    assert list(CUT[0]) in again.under_way and {"c", "d", "e", "f"} <= again.done
    assert not {"c", "d", "e", "f"} & {case for batch in again.under_way for case in batch}


def test_an_error_stops_the_others_and_is_raised_and_a_stop_is_gone_on_with(monkeypatch, tmp_path):
    monkeypatch.setattr(batches, "n_at_once", lambda: 2)
    stopped = []

    def label(batch, part, should_stop):
        if part[0] == 1:
            raise StorageError("the disk is full")
        while not should_stop():
            pass
        stopped.append(part[0])

    with pytest.raises(StorageError, match="disk is full"):
        label_batches(CUT, label, Ledger(tmp_path / "l"), lambda: False)
    assert stopped == [2]  # the third was not begun
    with pytest.raises(KeyboardInterrupt):
        label_batches(CUT, lambda *_: None, Ledger(tmp_path / "m"), lambda: True)


def test_a_ledger_of_before_has_one_batch_under_way(tmp_path):
    path = tmp_path / "l"
    path.write_text(json.dumps({"begin": ["a", "b"]}) + "\n")
    assert Ledger(path).under_way == [["a", "b"]]


def test_two_servers_share_a_cohort(at_home, tmp_path):
    pytest.importorskip("torch")
    from cohort_study import make_study

    from napari_ssl.jobs.cohort import CohortOrder, label_cohort

    servers = [Serving(tmp_path / name) for name in ("first", "second")]
    try:
        place.use_server(place.read_line(servers[0].line))
        place.add_server(place.read_line(servers[1].line))
        with make_study(tmp_path, 4) as study:
            events = []
            order = CohortOrder(settings={"crf": False, "confidence": ("probability",)}, batch_size=1)
            result = label_cohort(study, order, events.append, lambda: False)
            assert result["cases"] == ["c000", "c001", "c002", "c003"] and not result["failed"]
            assert all(study.proposal(case).model_id == "m1" for case in result["cases"])
        runs = [len(list((server.folder / "runs").iterdir())) for server in servers]
        assert sum(runs) == 4 and min(runs) >= 1
        assert [e.data["n_done"] for e in events if "n_done" in e.data][-1] == 4
    finally:
        for server in servers:
            server.close()
