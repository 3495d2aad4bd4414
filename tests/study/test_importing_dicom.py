from __future__ import annotations

import os
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_ssl.core.label_order import LabelOrder
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import StudyError
from napari_ssl.io.identity import KEY_FILE, Pseudonyms
from napari_ssl.io.layouts import ScanOptions, scan
from napari_ssl.study.converting import image_details
from napari_ssl.study.study import Study

sys.path.append(str(Path(__file__).parents[1] / "io"))
from dicom_files import NAME, PATIENT, cine, phantom, save


@pytest.fixture
def study(tmp_path):
    with Study.create(tmp_path / "study", label_scheme=PRESETS["ukbb"]) as study:
        yield study


def options(study: Study, *, keep_identity: bool = False, **choices) -> ScanOptions:
    pseudonyms = Pseudonyms.of_folder(study.folder, keep_identity=keep_identity)
    pseudonyms.store()
    return ScanOptions(pseudonyms=pseudonyms, **choices)


def words_in(folder: Path) -> bytes:
    return b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())


def test_a_cine_becomes_a_case_with_its_times(study, tmp_path):
    items = scan(save(tmp_path / "in", cine()), "dicom", options(study))
    report = study.add_cases(items)
    assert not report.failed
    (case,) = study.cases()
    assert case.image_path == str(study.folder / "images" / f"{case.id}.nii.gz")
    assert case.frame_interval_ms == 40
    assert case.source["frame_times_ms"] == [10, 50]
    assert case.spacing_zyx_mm == (8, 1.5, 1.25)
    assert np.array_equal(np.asarray(nibabel.load(case.image_path).dataobj).T, phantom())
    assert study.image_geometry(case.id).origin_xyz == (-10, 20, 30)
    details = image_details(study.folder, case.id)
    assert np.shape(details["sop_instance_uids"]) == (2, 3)
    assert details["modality"] == "MR"
    assert not [f for f in study.check() if f.severity == "error"]


def test_nothing_of_the_patients_identity_is_in_the_study(study, tmp_path):
    pictures = cine(AccessionNumber="ACC-99", InstitutionName="Infirmary", StudyDate="20111213")
    folder = save(tmp_path / "Surname_Given" / PATIENT, pictures)
    bad = cine(SeriesInstanceUID="1.2.3.9")
    del bad[0][1].TriggerTime
    save(tmp_path / "Surname_Given" / "bad", bad)
    report = study.add_cases(scan(folder.parent, "dicom", options(study)))
    assert len(report.added) == 1 and len(report.failed) == 1
    study.close()
    everything = words_in(study.folder) + repr(report).encode()
    uids = {str(p.SOPInstanceUID) for row in pictures for p in row} | {"1.2.3.4"}
    for word in {"Surname", "Given", PATIENT, "ACC-99", "Infirmary", "20111213", "19700203", *uids}:
        assert word.encode() not in everything, word
    assert NAME.encode() in words_in(folder)  # the originals are as they were


def test_pseudonyms_are_the_same_in_one_study_and_others_in_another(study, tmp_path):
    folder = save(tmp_path / "in", cine())
    (one,) = scan(folder, "dicom", options(study))
    (again,) = scan(folder, "dicom", options(study))
    assert (one.subject_id, one.case_id) == (again.subject_id, again.case_id)
    with Study.create(tmp_path / "other", label_scheme=PRESETS["acdc"]) as other:
        (elsewhere,) = scan(folder, "dicom", options(other))
    assert elsewhere.subject_id != one.subject_id


@pytest.mark.skipif(os.name != "posix", reason="file modes are those of POSIX systems")
def test_only_its_owner_may_read_the_key(study):
    options(study)
    key = study.folder / KEY_FILE
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o644)
    with pytest.raises(StudyError, match=r"pseudonym\.key: others than its owner may read.*chmod 600"):
        Pseudonyms.of_folder(study.folder)


@pytest.mark.parametrize("content", ["", "zz", "00" * 31])
def test_a_damaged_key_is_refused_and_never_replaced(study, content):
    key = study.folder / KEY_FILE
    key.write_text(content)
    key.chmod(0o600)
    with pytest.raises(StudyError, match="restore"):
        Pseudonyms.of_folder(study.folder)
    assert key.read_text() == content


def test_a_key_that_another_import_made_meanwhile_is_not_replaced(study):
    late = Pseudonyms.of_folder(study.folder)
    Pseudonyms.of_folder(study.folder).store()
    with pytest.raises(StudyError, match="look at the images again"):
        late.store()


def test_identity_is_kept_only_where_that_is_asked_for(study, tmp_path):
    folder = save(tmp_path / "in", cine())
    (item,) = scan(folder, "dicom", options(study, keep_identity=True))
    assert item.subject_id == PATIENT
    assert not study.add_cases([item]).failed
    assert study.subject(PATIENT).birth_year == 1970
    assert not (study.folder / KEY_FILE).exists()
    assert image_details(study.folder, item.case_id)["study_instance_uid"] == "1.2.3"


def test_body_is_kept_only_where_that_is_asked_for(study, tmp_path):
    folder = save(tmp_path / "in", cine())
    (item,) = scan(folder, "dicom", options(study))
    assert item.body is None
    (item,) = scan(folder, "dicom", options(study, keep_body=True))
    study.add_cases([item])
    subject = study.subject(item.subject_id)
    assert (subject.sex, subject.height_cm, subject.weight_kg, subject.birth_year) == ("F", 168, 61, None)


def test_importing_again_is_skipped_and_other_images_under_the_name_are_refused(study, tmp_path):
    pictures = cine()
    folder = save(tmp_path / "in", pictures)
    choices = options(study)
    (case_id,) = study.add_cases(scan(folder, "dicom", choices)).added
    assert study.add_cases(scan(folder, "dicom", choices)).skipped == (case_id,)
    pictures[0][0].SOPInstanceUID = "1.2.77"
    ((_, message),) = study.add_cases(scan(save(tmp_path / "other", pictures), "dicom", choices)).failed
    assert "made of other images" in message


def test_an_image_that_cannot_be_added_leaves_no_file(study, tmp_path):
    choices = options(study)
    (item,) = scan(save(tmp_path / "in", cine()), "dicom", choices)
    study.add_cases([item], split="train")
    twin = cine(PatientID="someone else")
    report = study.add_cases(scan(save(tmp_path / "twin", twin), "dicom", choices), split="test")
    assert "the same image is case" in report.failed[0][1]
    assert sorted(p.name for p in (study.folder / "images").iterdir()) == [
        f"{item.case_id}{s}" for s in (".json", ".nii.gz")
    ]


def test_stopping_within_a_series_leaves_no_file(study, tmp_path):
    items = scan(save(tmp_path / "in", cine()), "dicom", options(study))
    asked = []
    report = study.add_cases(items, should_stop=lambda: bool(asked.append(1) or len(asked) > 3))
    assert report.stopped and not report.added and not study.cases()
    assert not list((study.folder / "images").iterdir())


def test_contours_become_labels_in_the_order_that_was_confirmed(study, tmp_path):
    """Sunnybrook: 1 LV, 2 Myo; the study says the same, so nothing need be said."""
    save(tmp_path / "in" / "SC-1" / "cine", cine(phantom((2, 3, 12, 12))))
    place = tmp_path / "in" / "SC-1" / "contours-manual"
    place.mkdir()
    for kind, low, high in (("i", 3.5, 7.5), ("o", 2.5, 8.5)):
        (place / f"IM-0001-0003-{kind}contour-manual.txt").write_text(
            f"{low} {low}\n{high} {low}\n{high} {high}\n{low} {high}\n"
        )
    items = scan(tmp_path / "in", options=options(study))
    assert not study.add_cases(items).failed
    (segmentation,) = study.segmentations()
    labels = study.read_labels(segmentation)
    expected = np.zeros((2, 3, 12, 12), np.uint8)
    expected[0, 1, 3:9, 3:9], expected[0, 1, 4:8, 4:8] = 2, 1  # InstanceNumber 3: second slice, first phase
    assert np.array_equal(labels, expected)
    assert segmentation.frames == (0,)


def test_contours_follow_an_order_that_the_user_gives(study, tmp_path):
    from dataclasses import replace

    save(tmp_path / "in" / "SC-1" / "cine", cine(phantom((2, 3, 12, 12))))
    place = tmp_path / "in" / "SC-1" / "contours-manual"
    place.mkdir()
    (place / "IM-0001-0003-icontour-manual.txt").write_text("3.5 3.5\n7.5 3.5\n7.5 7.5\n3.5 7.5\n")
    (item,) = scan(tmp_path / "in", options=options(study))
    study.add_cases([replace(item, label_order=LabelOrder.parse("1=RV,2=-", study.label_scheme))])
    assert set(np.unique(study.read_labels(study.segmentations()[0]))) == {0, 3}


# the header that lies


def test_an_image_whose_sform_lost_its_scale_gets_its_true_spacing(shared_data, tmp_path):
    """Through the whole import: image and labels, into the study and back out of its label file."""
    with Study.create(tmp_path / "trap", label_scheme=PRESETS["acdc"]) as made:
        report = made.add_cases(scan(shared_data / "header_trap", "plain"))
        assert not report.failed
        (case,) = made.cases()
        assert case.spacing_zyx_mm == (10, 1.5625, 1.5625)
        stored = nibabel.load(made.label_file(made.segmentations()[0]))
        assert np.allclose(stored.header.get_zooms()[:3], (1.5625, 1.5625, 10))


def test_an_image_that_was_lost_is_made_again(study, tmp_path):
    items = scan(save(tmp_path / "in", cine()), "dicom", options(study))
    study.add_cases(items)
    path = Path(study.cases()[0].image_path)
    before = path.read_bytes()
    path.unlink()
    assert study.add_cases(items).added == (items[0].case_id,)
    assert path.read_bytes() == before
    path.unlink()
    from dataclasses import replace

    found = replace(items[0].conversion.stack.grid, pictures=items[0].conversion.stack.grid.pictures[::-1])
    other = replace(items[0].conversion, stack=replace(items[0].conversion.stack, grid=found))
    object.__setattr__(items[0], "conversion", other)
    assert "made of other images" in study.add_cases(items).failed[0][1]
