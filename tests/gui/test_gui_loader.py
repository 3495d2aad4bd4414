import subprocess
import sys
import threading
import time

import pytest
from qtpy.QtWidgets import QApplication

from napari_ssl.core.decision import Verdict
from napari_ssl.gui import loader as room
from napari_ssl.gui.loaded_case import load_case
from napari_ssl.gui.session import ReviewSession

READER = "Dr Test"


@pytest.fixture
def loader(qapp, review_study):
    loader = room.CaseLoader(review_study, READER)
    yield loader
    loader.close()


def wait(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        QApplication.processEvents()
        time.sleep(0.005)


def test_only_the_case_asked_for_last_is_delivered(loader):
    got = []
    loader.loaded.connect(lambda loaded: got.append(loaded.case.id))
    for case_id in ("case0", "case1", "case2"):
        loader.request(case_id)
    wait(lambda: got)
    assert got == ["case2"]


def test_a_case_read_ahead_is_delivered_without_reading_again(loader, monkeypatch):
    got, reads = [], []
    loader.loaded.connect(got.append)
    monkeypatch.setattr(room, "load_case", lambda *a, **k: (reads.append(threading.get_ident()), load_case(*a, **k))[1])
    loader.prefetch("case1")
    wait(lambda: "case1" in loader._ahead)
    loader.request("case1")
    wait(lambda: got)
    assert len(reads) == 1
    assert reads[0] != threading.get_ident()


def test_a_case_read_ahead_is_read_again_when_it_was_decided_meanwhile(loader, review_study):
    got = []
    loader.loaded.connect(got.append)
    loader.prefetch("case1")
    wait(lambda: "case1" in loader._ahead)
    session = ReviewSession(review_study, READER)
    session.open(load_case(review_study, "case1", READER))
    session.order(Verdict.ACCEPT).run(review_study)
    loader.request("case1")
    wait(lambda: got)
    assert got[0].decision.verdict is Verdict.ACCEPT


def test_a_missing_image_is_told_with_case_and_file(loader, review_study, tmp_path):
    (tmp_path / "images" / "case3.nii.gz").unlink()
    told = []
    loader.failed.connect(lambda case_id, text: told.append((case_id, text)))
    loader.request("case3")
    wait(lambda: told)
    assert told[0][0] == "case3" and "case3.nii.gz" in told[0][1]


def test_work_that_fails_is_told_and_the_queue_goes_on(qapp):
    work = room.WorkQueue()
    errors, results = [], []
    work.run(lambda: 1 / 0, results.append, errors.append)
    work.run(lambda: 7, results.append, errors.append)
    wait(lambda: results)
    assert results == [7] and isinstance(errors[0], ZeroDivisionError)
    assert work.n_running == 0
    work.close()


def test_closing_waits_for_a_save_that_runs(qapp):
    work, done = room.WorkQueue(), []
    work.run(lambda: (time.sleep(0.2), done.append(1)), print, print)
    work.close()
    assert done == [1]


def test_importing_the_window_imports_no_torch():
    code = "import sys, napari_ssl.gui.workspace, napari_ssl.gui.plugin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
