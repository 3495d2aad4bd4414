from __future__ import annotations

import dataclasses
import errno
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from study_factory import GEOMETRY, SHAPE, make_labels, make_model, propose

from napari_ssl.core.segmentation import Source
from napari_ssl.errors import LabelError, StorageError, StudyError, UnknownCaseError
from napari_ssl.io import atomic
from napari_ssl.io.images import read_header, write_volume
from napari_ssl.study import Study, schema

ALL = tuple(range(SHAPE[0]))


@pytest.fixture
def model(study: Study, tmp_path: Path) -> str:
    return make_model(study, tmp_path / "out").id


def _files(study: Study) -> set[Path]:
    return {p for part in ("labels", "predictions") for p in (study.folder / part).rglob("*") if p.is_file()}


def test_versions_are_kept_and_counted(study: Study, model: str):
    first = propose(study, "p0", 1)
    second = propose(study, "p0", 2)
    assert (first.version, second.version) == (2, 3)
    assert [s.version for s in study.segmentations("p0")] == [1, 2, 3]
    assert study.proposal("p0") == second
    np.testing.assert_array_equal(study.read_labels(first), make_labels(1, ALL))
    np.testing.assert_array_equal(study.read_labels(second), make_labels(2, ALL))


def test_label_files_have_the_exact_geometry_of_the_image(study: Study, items: list, model: str):
    path = study.label_file(propose(study, "p0", 1))
    assert read_header(path).geometry.differs(read_header(items[0].image_path).geometry) is None
    assert path.is_relative_to(study.folder / "predictions" / model)


def test_identical_labels_of_one_model_are_one_version(study: Study, model: str):
    assert propose(study, "p0", 1) == propose(study, "p0", 1)
    assert len(study.segmentations("p0")) == 2


def test_after_a_roll_back_the_older_proposal_is_the_newest_again(study: Study, model: str, tmp_path: Path):
    make_model(study, tmp_path / "out2", "m2")
    first = propose(study, "p0", 1, "m1")
    propose(study, "p0", 2, "m2")
    again = propose(study, "p0", 1, "m1")
    assert again.id > first.id and again.label_hash == first.label_hash and study.proposal("p0") == again


def test_confidence_is_kept_beside_the_labels(study: Study, model: str):
    confidence = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)
    segmentation = propose(study, "p0", 1, confidence=confidence)
    np.testing.assert_array_equal(study.read_confidence(segmentation), confidence)
    assert study.read_confidence(study.reference("p0")) is None


def test_a_correction_knows_its_reader_and_what_it_started_from(study: Study, model: str):
    proposal = propose(study, "p0", 1)
    corrected = study.add_segmentation(
        "p0", make_labels(3, ALL), source=Source.CORRECTED, frames=ALL, parent_id=proposal.id, reader="Ada"
    )
    assert (corrected.parent_id, corrected.reader) == (proposal.id, "Ada")
    assert study.proposal("p0") == proposal
    with pytest.raises(StudyError, match=r"needs its reader's name"):
        study.add_segmentation("p0", make_labels(3, ALL), source=Source.CORRECTED, frames=ALL)


@pytest.mark.parametrize(
    ("labels", "frames", "message"),
    [
        (make_labels()[:2], (0,), r"labels have shape \(2, 3, 10, 12\), the image has .*\(4, 3, 10, 12\)"),
        (make_labels().astype(float), (0, 2), "must be uint8, got float64"),
        (make_labels(), (0, 4), "must be in 0 to 3"),
        (make_labels(), (), "must be in 0 to 3"),
        (make_labels(), (0,), "frame 2 holds labels but is not"),
        (make_labels() * 3, (0, 2), r"case p0: label value [69] is not in the label scheme"),
    ],
    ids=["shape", "type", "frame", "no frame", "unlisted frame", "alien value"],
)
def test_labels_that_do_not_fit_are_refused(study: Study, labels: np.ndarray, frames: tuple, message: str):
    before = _files(study)
    with pytest.raises(LabelError, match=message):
        study.add_segmentation("p0", labels, source=Source.CORRECTED, frames=frames, reader="Ada")
    assert _files(study) == before and len(study.segmentations("p0")) == 1


def test_confidence_of_another_shape_is_refused(study: Study, model: str):
    with pytest.raises(LabelError, match=r"confidence must be uint8 of shape"):
        propose(study, "p0", 1, confidence=np.zeros((1, 2, 3), np.uint8))


def test_unknown_cases_models_and_parents_are_refused_and_leave_no_file(study: Study):
    before = _files(study)
    with pytest.raises(UnknownCaseError, match=r"no case 'p9'"):
        study.add_segmentation("p9", make_labels(), source=Source.CORRECTED, frames=(0, 2), reader="Ada")
    with pytest.raises(StudyError, match=r"FOREIGN KEY"):
        propose(study, "p0", 1, "no-such-model")
    other = study.reference("p1").id
    with pytest.raises(StudyError, match=r"belongs to case p1, not p0"):
        study.add_segmentation(
            "p0", make_labels(4), source=Source.CORRECTED, frames=(0, 2), reader="Ada", parent_id=other
        )
    with pytest.raises(UnknownCaseError, match=r"version number 99"):
        study.segmentation(99)
    assert _files(study) == before


def test_a_full_disk_leaves_the_study_as_it_was(study: Study, model: str, monkeypatch):
    before = (_files(study), study.segmentations())

    def no_space(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "_sync", no_space)
    with pytest.raises(StorageError, match=r"No space left"):
        propose(study, "p0", 1)
    monkeypatch.undo()
    assert (_files(study), study.segmentations()) == before


def test_a_label_file_that_was_changed_is_not_taken_for_the_old_one(study: Study):
    reference = study.reference("p0")
    write_volume(study.label_file(reference), make_labels(4), GEOMETRY)
    with pytest.raises(LabelError, match=r"not what was stored as version 1"):
        study.read_labels(reference)


@pytest.mark.parametrize("path", ["../outside.nii.gz", "/etc/passwd", "labels/../../x", "", "a\\..\\b", "labels/out/x"])
def test_no_path_leads_out_of_the_study(study: Study, tmp_path: Path, path: str):
    (study.folder / "labels" / "out").symlink_to(tmp_path)
    reference = study.reference("p0")
    with study._database.write() as connection:
        connection.execute(sa.update(schema.segmentations).values(label_path=path))
    with pytest.raises(StudyError, match=r"study folder"):
        study.read_labels(dataclasses.replace(reference, label_path=path))
    with pytest.raises(StudyError, match=r"study folder"):
        study.read_labels(study.segmentation(reference.id))


def test_pseudo_labels_of_a_training_without_a_model_are_kept_apart(study: Study):
    segmentation = propose(study, "p0", 1, None)
    assert segmentation.label_path.startswith("predictions/no-model/")
    assert study.proposal("p0") == segmentation and segmentation.model_id is None


def test_any_label_file_can_be_checked_against_a_case(study: Study, tmp_path: Path):
    path = tmp_path / "mine.nii.gz"
    write_volume(path, make_labels(2), GEOMETRY)
    np.testing.assert_array_equal(study.read_label_file(path, "p0"), make_labels(2))
    write_volume(path, make_labels(2), dataclasses.replace(GEOMETRY, origin_xyz=(0.0, 0.0, 0.0)))
    with pytest.raises(LabelError, match=r"mine\.nii\.gz does not lie on the grid of its image: origin"):
        study.read_label_file(path, "p0")


def test_an_unknown_source_is_named(study: Study):
    with pytest.raises(StudyError, match=r"no source 'magic'; there are reference, model, refined, corrected"):
        study.add_segmentation("p0", make_labels(), source="magic", frames=(0, 2))
