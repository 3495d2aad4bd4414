"""Proposals of a batch: adopted by hash, in one transaction, none half and none twice whatever happens in between."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from study_factory import GEOMETRY, SHAPE, make_labels, make_model, propose

from napari_ssl.core.segmentation import Source
from napari_ssl.errors import LabelError, StorageError, StudyError, StudyReadOnlyError, UnknownCaseError
from napari_ssl.io.hashing import hash_labels
from napari_ssl.io.nifti_bytes import nifti_bytes
from napari_ssl.study import Study, proposals, schema
from napari_ssl.study.confidence_maps import confidence_kinds, read_confidence_map
from napari_ssl.study.proposals import MadeFile, Proposal

ALL = tuple(range(SHAPE[0]))
MEASURES = {"confidence": "probability", "mean_confidence": 0.5, "indices": {"lv_ef_percent": 60.0}, "flags": []}


@pytest.fixture
def made(tmp_path: Path):
    """Return proposals as a job leaves them: ``made("p0", 3)`` for case and seed of the labels."""

    def write(path: Path, array: np.ndarray, is_labels: bool) -> MadeFile:
        content = nifti_bytes(array, GEOMETRY, is_labels=is_labels)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return MadeFile(path=path, size=len(content), digest=hashlib.sha256(content).hexdigest())

    def make(case_id: str, seed: int = 1, confidence: int = 200, **more) -> Proposal:
        labels, folder = make_labels(seed, ALL), tmp_path / "output"
        values = {
            "case_id": case_id,
            "source": Source.MODEL,
            "frames": ALL,
            "model_id": "m1",
            "label_hash": hash_labels(labels),
            "foreground_fraction": float((labels > 0).mean()),
            "labels": write(folder / f"{case_id}.labels.nii.gz", labels, True),
            "confidence": write(folder / f"{case_id}.confidence.nii.gz", np.full(SHAPE, confidence, np.uint8), False),
            "further": {
                "entropy": write(folder / f"{case_id}.confidence-entropy.nii.gz", np.full(SHAPE, 9, np.uint8), False)
            },
            "measures": MEASURES,
        }
        return Proposal(**{**values, **more})

    return make


@pytest.fixture
def room(any_study: Study, tmp_path: Path) -> Study:
    make_model(any_study, tmp_path / "m1")
    return any_study


def files_of(study: Study) -> set[str]:
    return {p.name for p in (study.folder / "predictions").rglob("*") if p.is_file()}


def check_whole(study: Study, case_id: str, seed: int) -> None:
    """Row, files and measures belong together."""
    segmentation = study.proposal(case_id)
    np.testing.assert_array_equal(study.read_labels(segmentation), make_labels(seed, ALL))
    assert study.read_confidence(segmentation).min() == 200
    assert confidence_kinds(study, segmentation) == ("probability", "entropy")
    assert read_confidence_map(study, segmentation, "entropy").max() == 9
    assert study.measures(segmentation.id)["mean_confidence"] == 0.5


def test_files_of_a_batch_are_moved_and_recorded_and_again_changes_nothing(room: Study, made):
    batch = [made(f"p{n}", n) for n in range(4)]
    adoption = room.adopt_proposals(batch)
    assert sorted(adoption.kept) == ["p0", "p1", "p2", "p3"] and not adoption.left_out
    for n in range(4):
        check_whole(room, f"p{n}", n)
    assert not any(made_file.path.exists() for p in batch for made_file in p.files)
    assert [row.mean_confidence for row in room.queue_rows() if row.case_id == "p1"] == [0.5]
    versions = room.segmentations()
    again = room.adopt_proposals(batch)
    assert again.kept == adoption.kept and room.segmentations() == versions
    assert room.proposals_of(["p0", "p5"]) == {"p0": [room.proposal("p0")]}


def test_a_broken_case_in_the_middle_is_left_out_and_the_others_are_taken(room: Study, made):
    batch = [made(f"p{n}", n) for n in range(6)]
    batch[1].labels.path.write_bytes(b"half")
    batch[2].confidence.path.unlink()
    batch[3] = dataclasses.replace(batch[3], frames=(0, 99))
    batch[4] = dataclasses.replace(batch[4], measures={**MEASURES, "mean_confidence": "high"})
    adoption = room.adopt_proposals(batch)
    assert sorted(adoption.kept) == ["p0", "p5"]
    told = {case_id: str(error) for case_id, error in adoption.left_out.items()}
    assert "p1.labels.nii.gz is not what the job wrote (4 bytes" in told["p1"]
    assert "p2.confidence.nii.gz, which a job wrote, is absent" in told["p2"]
    assert "frames must be in 0 to 3" in told["p3"] and "mean_confidence must be a number" in told["p4"]
    check_whole(room, "p0", 0)
    check_whole(room, "p5", 5)
    assert all(room.proposal(name) is None for name in ("p1", "p2", "p3", "p4"))
    assert batch[1].labels.path.exists()  # what is not in the study stays with the job


def test_a_row_that_the_database_refuses_is_that_case_alone(room: Study, made):
    batch = [made("p0", 0), made("p1", 1, model_id="nobody"), made("p2", 2)]
    adoption = room.adopt_proposals(batch)
    assert sorted(adoption.kept) == ["p0", "p2"]
    assert "cannot be taken into the study" in str(adoption.left_out["p1"])
    check_whole(room, "p2", 2)


@pytest.mark.parametrize("name", ["nobody", "..", "con"])
def test_names_that_lead_elsewhere_are_refused(room: Study, made, name: str):
    adoption = room.adopt_proposals([made("p0", 0, model_id=name), made("p1", 1)])
    assert list(adoption.left_out) == ["p0"] and list(adoption.kept) == ["p1"]
    batch = [dataclasses.replace(made("p0", 0), case_id="../../p0"), made("p2", 2)]
    assert list(room.adopt_proposals(batch).kept) == ["p2"]
    assert not list(room.folder.glob("*.nii.gz"))


class Killed(BaseException):
    """What nothing in the program catches, as a signal would end it."""


def _kill(*_):
    raise Killed


@pytest.mark.parametrize("where", ["_check_made", "sync_folder", "_record", "_remove"])
@pytest.mark.parametrize("at", [0, 2])
def test_killed_anywhere_the_same_call_goes_on(room: Study, made, monkeypatch, where: str, at: int):
    """Before the files, between files and transaction, in the transaction, and after it."""
    batch = [made(f"p{n}", n) for n in range(4)]
    before = len(room.segmentations())
    function, calls = getattr(proposals, where), []

    def dying(*arguments):
        if len(calls) == at or where == "sync_folder":
            raise Killed
        calls.append(arguments)
        return function(*arguments)

    monkeypatch.setattr(proposals, where, dying)
    with pytest.raises(Killed):
        room.adopt_proposals(batch)
    recorded = len(room.segmentations()) - before
    assert recorded == (4 if where == "_remove" else 0)  # all of a batch, or nothing
    for segmentation in room.segmentations():
        room.read_labels(segmentation)  # a proposal in the database has its file
    monkeypatch.undo()
    adoption = room.adopt_proposals(batch)
    assert len(adoption.kept) == 4 and len(room.segmentations()) - before == 4
    for n in range(4):
        check_whole(room, f"p{n}", n)
    assert len(files_of(room)) == 3 * 4


def test_a_full_disk_in_the_transaction_records_nothing_and_loses_nothing(study: Study, made, tmp_path, monkeypatch):
    make_model(study, tmp_path / "m1")
    batch = [made(f"p{n}", n) for n in range(3)]
    before = study.segmentations()

    def full(*_):
        raise sa.exc.OperationalError("INSERT", {}, Exception("database or disk is full"))

    monkeypatch.setattr(proposals, "_record", full)
    with pytest.raises(StorageError, match="free space"):
        study.adopt_proposals(batch)
    assert study.segmentations() == before and all(p.labels.path.exists() for p in batch)
    monkeypatch.undo()
    assert len(study.adopt_proposals(batch).kept) == 3


def test_files_are_on_the_disk_before_the_transaction_begins(room: Study, made, monkeypatch):
    order = []
    monkeypatch.setattr(proposals, "sync_folder", lambda folder: order.append(("sync", len(files_of(room)))))
    record = proposals._record
    monkeypatch.setattr(proposals, "_record", lambda *a: order.append(("row", 0)) or record(*a))
    room.adopt_proposals([made("p0", 0), made("p1", 1)])
    assert order == [("sync", 6), ("row", 0), ("row", 0)]


def test_where_there_are_no_links_files_are_copied(room: Study, made, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(proposals.os, "link", refuse)
    room.adopt_proposals([made("p0", 3)])
    check_whole(room, "p0", 3)


def test_a_lost_file_is_brought_back_and_newer_confidence_takes_the_place_of_the_older(room: Study, made):
    room.adopt_proposals([made("p0", 3, confidence=7)])
    kept = room.proposal("p0")
    room.label_file(kept).unlink()
    assert room.adopt_proposals([made("p0", 3)]).kept == {"p0": kept.id}
    assert room.proposal("p0") == kept
    check_whole(room, "p0", 3)


def test_the_same_labels_after_another_model_are_a_new_version(room: Study, made, tmp_path):
    first = room.adopt_proposals([made("p0", 3)]).kept["p0"]
    make_model(room, tmp_path / "m2", "m2", 2)
    propose(room, "p0", 4, "m2")
    again = room.adopt_proposals([made("p0", 3)]).kept["p0"]
    assert again > first and room.proposal("p0").id == again
    assert [s.version for s in room.segmentations("p0")] == [1, 2, 3, 4]


def test_more_cases_than_a_transaction_holds(room: Study, made, monkeypatch):
    monkeypatch.setattr(proposals, "_AT_ONCE", 2)
    assert len(room.adopt_proposals([made(f"p{n}", n) for n in range(5)]).kept) == 5


def test_what_cannot_be_is_told(room: Study, made):
    gone = made("p0", 0)
    for made_file in gone.files:
        made_file.path.unlink()
    assert "run the prediction again" in str(room.adopt_proposals([gone]).left_out["p0"])
    unknown = room.adopt_proposals([made("p9", 0)]).left_out["p9"]
    assert isinstance(unknown, StudyError) and "not in the study any more" in str(unknown)
    drawn = room.adopt_proposals([made("p0", 0, source=Source.CORRECTED)]).left_out["p0"]
    assert isinstance(drawn, LabelError)
    odd = room.adopt_proposals([made("p0", 0, probability_good=1.5)]).left_out["p0"]
    assert "[0, 1]" in str(odd)
    with pytest.raises(UnknownCaseError, match="q9"):
        room.adopt_proposals([made("p0", 0, probability_good=0.5)], classifier_id="q9")
    assert room.proposal("p0") is None


def test_a_study_open_for_reading_takes_nothing(study: Study, made):
    with Study.open(study.folder, read_only=True) as reading, pytest.raises(StudyReadOnlyError):
        reading.adopt_proposals([made("p0", 0)])


def test_scores_come_with_their_rows(study: Study, made, tmp_path):
    import json

    make_model(study, tmp_path / "m1")
    (tmp_path / "q").mkdir()
    (tmp_path / "q" / "weights.safetensors").write_bytes(b"w")
    (tmp_path / "q" / "card.json").write_text(json.dumps({"id": "q1", "kind": "short-axis", "threshold": 0.7}))
    study.register_classifier(tmp_path / "q")
    kept = study.adopt_proposals([made("p0", 0, probability_good=0.9), made("p1", 1)], classifier_id="q1").kept
    with study._database.read() as connection:
        rows = connection.execute(sa.select(schema.qc_scores)).all()
    assert [(row.segmentation_id, row.classifier_id, row.probability_good) for row in rows] == [(kept["p0"], "q1", 0.9)]
