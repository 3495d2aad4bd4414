"""From the files of a run into the study: damaged ones are left out or done again, nothing twice, nothing half."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_ssl.errors import StudyError
from napari_ssl.jobs.cohort import CohortOrder, label_cohort
from napari_ssl.measures.agreement import mean_dice
from napari_ssl.rounds import adopt, execute, prediction_spec
from napari_ssl.study import proposals

pytest.importorskip("torch")
from cohort_study import count_labelled, make_study

N = 4
NAMES = [f"c{n:03d}" for n in range(N)]


@pytest.fixture(autouse=True)
def light(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("NAPARI_SSL_TEST_KINDS", raising=False)


@pytest.fixture
def cohort(tmp_path):
    with make_study(tmp_path, N) as study:
        yield study


@pytest.fixture
def run(cohort, tmp_path):
    """Return the order of a run that has labelled its cases, its folder and its result."""
    spec = prediction_spec(cohort, crf=False)
    return spec, tmp_path / "run", execute(spec, tmp_path / "run", lambda event: None, lambda: False)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def labels_of(run) -> list[Path]:
    return [run[1] / "output" / f"{name}.labels.nii.gz" for name in NAMES]


def test_a_file_that_was_damaged_after_the_run_leaves_its_case_out_and_the_others_go_on(cohort, run):
    spec, folder, result = run
    damage(labels_of(run)[1])
    told = adopt(cohort, spec, result, folder)
    assert result["cases"] == ["c000", "c002", "c003"] and list(result["failed"]) == ["c001"]
    assert "c001 was left out" in told[0] and "is not what the job wrote" in result["failed"]["c001"]
    assert cohort.proposal("c001") is None
    for name in result["cases"]:
        cohort.read_labels(cohort.proposal(name))
    assert json.loads((folder / "output" / "c001.error.json").read_text())["case_id"] == "c001"


@pytest.mark.parametrize("content", [None, b"{half", b"{}", b'{"frames": 1}', b"[]"])
def test_a_lost_or_damaged_record_leaves_its_case_out(cohort, run, content):
    spec, folder, result = run
    record = folder / "output" / "c002.json"
    record.unlink() if content is None else record.write_bytes(content)
    adopt(cohort, spec, result, folder)
    assert list(result["failed"]) == ["c002"] and len(result["cases"]) == N - 1


def test_nothing_that_can_be_taken_is_an_error(cohort, run):
    spec, folder, result = run
    for path in labels_of(run):
        damage(path)
    with pytest.raises(StudyError, match=r"c000.*not what the job wrote"):
        adopt(cohort, spec, result, folder)


def test_a_run_that_is_gone_on_with_does_a_damaged_case_again_and_no_other(run, monkeypatch):
    spec, folder, _result = run
    labelled = count_labelled(monkeypatch)
    damage(labels_of(run)[3])
    labels_of(run)[0].unlink()  # as after it was taken into the study
    result = execute(spec, folder, lambda event: None, lambda: False)
    assert labelled == ["c003"] and result["cases"] == NAMES


def test_records_without_hashes_are_checked_by_unpacking(cohort, run):
    """A run that an earlier version of the program began."""
    spec, folder, result = run
    for name in NAMES:
        path = folder / "output" / f"{name}.json"
        note = json.loads(path.read_text())
        del note["files"], note["foreground_fraction"]
        path.write_text(json.dumps(note))
    labels_of(run)[2].write_bytes(b"no labels")
    adopt(cohort, spec, result, folder)
    assert list(result["failed"]) == ["c002"] and len(result["cases"]) == N - 1
    assert adopt(cohort, spec, result, folder) == ()  # a second time changes nothing
    assert len(cohort.segmentations()) == N - 1


def test_change_to_the_proposal_before_is_measured(cohort, run, tmp_path, monkeypatch):
    from napari_ssl.rounds import prediction

    spec, folder, result = run
    adopt(cohort, spec, result, folder)
    before = {name: cohort.read_labels(cohort.proposal(name)) for name in NAMES}
    label_image = prediction.label_image

    def otherwise(*arguments, **how):
        labelling = label_image(*arguments, **how)
        labelling.labels[:, :, :8] = 3
        return labelling

    monkeypatch.setattr(prediction, "label_image", otherwise)
    again = execute(spec, tmp_path / "second", lambda event: None, lambda: False)
    adopt(cohort, spec, again, tmp_path / "second")
    for name in NAMES:
        now = cohort.proposal(name)
        expected = 1 - mean_dice(before[name], cohort.read_labels(now), cohort.label_scheme)
        assert cohort.measures(now.id)["disagreement"] == pytest.approx(expected) and expected > 0
        first = cohort.segmentations(name)[0]
        assert cohort.measures(first.id)["disagreement"] is None


def test_measures_are_those_of_the_stored_labels(cohort, run):
    spec, folder, result = run
    adopt(cohort, spec, result, folder)
    row = next(r for r in cohort.queue_rows() if r.case_id == "c001")
    labels = cohort.read_labels(cohort.proposal("c001"))
    assert row.foreground_fraction == pytest.approx(np.count_nonzero(labels) / labels.size)
    confidence = cohort.read_confidence(cohort.proposal("c001"))
    assert row.mean_confidence == pytest.approx(confidence[labels > 0].mean() / 255)


class Killed(BaseException):
    """What nothing in the program catches, as a signal would end it."""


@pytest.mark.parametrize("where", ["sync_folder", "_record", "_remove"])
def test_a_command_killed_while_a_batch_enters_the_study_goes_on_and_labels_nothing_twice(cohort, monkeypatch, where):
    labelled = count_labelled(monkeypatch)
    order = CohortOrder(settings={"crf": False}, batch_size=2)
    function, calls = getattr(proposals, where), []

    def dying(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise Killed
        return function(*arguments)

    monkeypatch.setattr(proposals, where, dying)
    with pytest.raises(Killed):
        label_cohort(cohort, order, lambda event: None, lambda: False)
    for segmentation in cohort.segmentations():
        cohort.read_labels(segmentation)
    result = label_cohort(cohort, order, lambda event: None, lambda: False)
    assert sorted(labelled) == NAMES and result["cases"] == NAMES
    assert [len(cohort.segmentations(name)) for name in NAMES] == [1] * N
    assert not list(cohort.folder.glob("runs/*/output/*.nii.gz"))
