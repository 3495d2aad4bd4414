"""What the commands tell a person."""

from collections import Counter

import pytest
from click.testing import CliRunner

from napari_ssl import demo
from napari_ssl.cli import main
from napari_ssl.commands import work
from napari_ssl.commands.importing import _in_splits
from napari_ssl.core.case import Split
from napari_ssl.core.job import Event, EventKind


def _said(*arguments):
    outcome = CliRunner().invoke(main, [str(a) for a in arguments])
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


@pytest.fixture
def empty(tmp_path):
    _said("study", "new", tmp_path / "s", "--labels", "acdc")
    return tmp_path / "s"


def test_status_is_told_in_words(empty):
    told = _said("study", "status", empty)
    assert "Labels: 1=RV, 2=Myo, 3=LV" in told
    assert "Models: none" in told
    assert "{" not in told


def test_an_export_of_nothing_says_what_would_be_exported(empty, tmp_path):
    told = _said("export", empty, "--format", "nifti", "--out", tmp_path / "labels")
    assert "no case is accepted or corrected" in told
    assert "--state all" in told


def test_an_import_tells_the_splits():
    assert _in_splits(Counter({Split.TEST: 1, Split.TRAIN: 4})) == " (train 4, test 1)"
    assert _in_splits(Counter()) == ""


def _progress(fraction):
    return Event(kind=EventKind.PROGRESS, data={"step": "supervised training", "fraction": fraction, "loss": 0.5})


def test_a_long_step_is_told_now_and_then(monkeypatch, capsys):
    clock = iter(range(0, 1000, 15))
    monkeypatch.setattr(work.time, "monotonic", lambda: next(clock))
    tell = work._teller(quiet=False)
    for i in range(10):
        tell(_progress(i / 10))
    assert 3 <= capsys.readouterr().err.count("supervised training") <= 9


def test_the_demo_tells_what_the_stand_in_decided():
    report = {
        "study": "s",
        "verdicts": {"accept": 6, "correct": 2},
        "comparison": {"n_subjects": 6, "dice": {}, "ef_abs_error_points": {}},
        "baseline": {"model_id": "a"},
        "retrained": {"model_id": "b"},
        "report": "r",
        "total_seconds": 1.0,
    }
    assert "The stand-in decided: accept 6, correct 2" in demo.lines(report)
