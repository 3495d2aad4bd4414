from __future__ import annotations

import dataclasses
import errno
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from study_factory import GEOMETRY, SHAPE, make_image, make_items, make_labels

from napari_ssl.core.case import Split
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.segmentation import Source
from napari_ssl.errors import StorageError, StudyError
from napari_ssl.io import atomic
from napari_ssl.io.images import write_volume
from napari_ssl.io.layouts.item import ImportItem
from napari_ssl.study import Study


@pytest.fixture
def empty(tmp_path: Path):
    with Study.create(tmp_path / "empty", label_scheme=PRESETS["acdc"]) as made:
        yield made


def _only_failure(study: Study, item: ImportItem) -> str:
    report = study.add_cases([item])
    assert (report.added, report.skipped, len(report.failed)) == ((), (), 1)
    assert not [f for f in (study.folder / "labels").rglob("*") if f.is_file()]
    return report.failed[0][1]


def test_an_imported_case_knows_its_image(study: Study, items: list):
    case = study.case("p1")
    assert (case.shape_tzyx, case.spacing_zyx_mm, case.group) == (SHAPE, (8.0, 1.25, 1.5), "NOR")
    assert case.image_hash == hashlib.sha256(items[1].image_path.read_bytes()).hexdigest()
    reference = study.reference("p1")
    assert (reference.source, reference.frames, reference.version) == (Source.REFERENCE, (0, 2), 1)
    np.testing.assert_array_equal(study.read_labels(reference), make_labels(1))
    assert study.reference("p5") is None


def test_labelled_subjects_are_dealt_out_60_20_20_and_unlabelled_ones_train(empty: Study, tmp_path: Path):
    empty.add_cases(make_items(tmp_path / "i", n=12, n_labelled=10))
    splits = {c.subject_id: c.split for c in empty.cases()}
    assert Counter(splits[f"s{i}"] for i in range(10)) == {Split.TRAIN: 6, Split.VALIDATION: 2, Split.TEST: 2}
    assert splits["s10"] is splits["s11"] is Split.TRAIN


def test_the_automatic_split_depends_on_the_seed_and_not_on_the_order(tmp_path: Path):
    def splits(name: str, items: list, seed: int) -> dict:
        with Study.create(tmp_path / name, label_scheme=PRESETS["acdc"]) as study:
            study.add_cases(items, split="auto", seed=seed)
            return {c.id: c.split for c in study.cases()}

    items = make_items(tmp_path / "i", n=8, n_labelled=8)
    first = splits("a", items, 0)
    assert splits("b", items[::-1], 0) == first
    assert any(splits(f"c{seed}", items, seed) != first for seed in (1, 2, 3))


def test_a_subject_keeps_its_split_when_more_of_it_comes(study: Study, tmp_path: Path):
    test_case = study.cases(split=Split.TEST)[0]
    second = make_image(tmp_path / "images" / "second.nii.gz", 99)
    item = ImportItem(subject_id=test_case.subject_id, case_id="second", image_path=second, split=Split.TRAIN)
    study.add_cases([item], split=Split.VALIDATION)
    assert study.case("second").split is Split.TEST


def test_the_split_of_the_folder_counts_unless_another_is_asked_for(tmp_path: Path):
    items = [dataclasses.replace(i, split=Split.TEST) for i in make_items(tmp_path / "i", n=2)]
    for wanted, expected in ((None, Split.TEST), ("auto", Split.TEST), (Split.VALIDATION, Split.VALIDATION)):
        with Study.create(tmp_path / f"s{wanted}", label_scheme=PRESETS["acdc"]) as study:
            study.add_cases(items[:1], split=wanted)
            assert study.cases()[0].split is expected


def test_an_unknown_split_is_refused(empty: Study):
    with pytest.raises(StudyError, match=r"no split 'dev'; there are train, validation, test"):
        empty.add_cases([], split="dev")


def test_importing_again_changes_nothing(study: Study, items: list):
    before = (study.cases(), study.segmentations())
    report = study.add_cases(items)
    assert report.added == () and len(report.skipped) == 6
    assert (study.cases(), study.segmentations()) == before


def test_labels_that_come_later_are_added_to_the_case(study: Study, items: list, tmp_path: Path):
    path = tmp_path / "late.nii.gz"
    write_volume(path, make_labels(3), GEOMETRY)
    item = dataclasses.replace(items[5], label_paths=((None, path),))
    assert study.add_cases([item]).added == ("p5",)
    assert study.add_cases([item]).skipped == ("p5",)
    assert study.reference("p5").frames == (0, 2)


def test_one_label_file_per_frame(empty: Study, tmp_path: Path):
    image = make_image(tmp_path / "i" / "a.nii.gz", 0)
    labels = make_labels(1, frames=(1, 3))
    paths = []
    for frame in (1, 3):
        path = tmp_path / "i" / f"a_{frame}_gt.nii.gz"
        write_volume(path, labels[frame : frame + 1], dataclasses.replace(GEOMETRY, is_4d=False))
        paths.append((frame, path))
    empty.add_cases([ImportItem(subject_id="a", case_id="a", image_path=image, label_paths=tuple(paths), ed_frame=1)])
    reference = empty.reference("a")
    assert reference.frames == (1, 3) and empty.case("a").ed_frame == 1
    np.testing.assert_array_equal(empty.read_labels(reference), labels)


def test_one_bad_file_does_not_stop_the_others(empty: Study, items: list):
    items[2].image_path.write_bytes(items[2].image_path.read_bytes()[:100])
    report = empty.add_cases(items)
    assert len(report.added) == 5
    assert report.failed[0][0] == str(items[2].image_path) and str(items[2].image_path) in report.failed[0][1]


def test_labels_of_another_shape_are_refused(empty: Study, items: list):
    write_volume(items[0].label_paths[0][1], make_labels()[:3], GEOMETRY)
    message = _only_failure(empty, items[0])
    assert "p0_gt.nii.gz" in message and "(3, 3, 10, 12)" in message and str(SHAPE) in message
    assert empty.cases() == []


def test_labels_that_lie_elsewhere_are_refused(empty: Study, items: list):
    write_volume(items[0].label_paths[0][1], make_labels(), dataclasses.replace(GEOMETRY, origin_xyz=(0.0, 0.0, 0.0)))
    assert "origin" in _only_failure(empty, items[0])


def test_a_label_value_outside_the_scheme_is_refused(empty: Study, items: list):
    labels = make_labels()
    labels[0, 0, 0, 0] = 7
    write_volume(items[0].label_paths[0][1], labels, GEOMETRY)
    message = _only_failure(empty, items[0])
    assert "label value 7 is not in the label scheme 'acdc'" in message and "p0_gt.nii.gz" in message


def test_labels_without_any_label_are_refused(empty: Study, items: list):
    write_volume(items[0].label_paths[0][1], np.zeros(SHAPE, np.uint8), GEOMETRY)
    assert "holds no label at all" in _only_failure(empty, items[0])


def test_another_image_under_a_known_name_is_refused(study: Study, items: list, tmp_path: Path):
    other = make_image(tmp_path / "other.nii.gz", 77)
    report = study.add_cases([dataclasses.replace(items[0], image_path=other)])
    assert "p0 with another image" in report.failed[0][1] and "rename" in report.failed[0][1]


def test_the_same_image_does_not_get_into_two_splits(study: Study, items: list):
    known = study.case("p0")
    other = next(s for s in Split if s is not known.split)
    item = dataclasses.replace(items[0], case_id="twin", subject_id="twin", label_paths=())
    report = study.add_cases([item], split=other)
    assert f"is case p0 in split {known.split} already" in report.failed[0][1]


def test_a_phase_that_the_image_has_not_is_refused(empty: Study, items: list):
    message = _only_failure(empty, dataclasses.replace(items[0], es_frame=4))
    assert "es_frame is 4" in message and "0 to 3" in message


def test_an_import_can_be_stopped_and_tells_how_far_it_is(empty: Study, items: list):
    told = []
    report = empty.add_cases(items, progress=lambda *step: told.append(step), should_stop=lambda: len(told) == 2)
    assert report.stopped and report.added == ("p0", "p1")
    assert told == [(0, 6, "p0"), (1, 6, "p1")]


def test_a_full_disk_stops_the_import_and_keeps_what_was_imported(empty: Study, items: list, monkeypatch):
    assert empty.add_cases(items[:2]).added == ("p0", "p1")

    def no_space(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "_sync", no_space)
    with pytest.raises(StorageError, match=r"labels/p2/.*No space left"):
        empty.add_cases(items)
    monkeypatch.undo()
    assert [c.id for c in empty.cases()] == ["p0", "p1"]
    assert not [f for f in empty.check() if f.severity in ("error", "note")]


def test_originals_are_never_changed(study: Study, items: list):
    for item in items:
        assert hashlib.sha256(item.image_path.read_bytes()).hexdigest() == study.case(item.case_id).image_hash
