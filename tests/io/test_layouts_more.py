"""What each layout says about its folder, beyond the contract that all keep."""

from __future__ import annotations

import json

import numpy as np
import pytest
from dicom_files import cine, save
from test_layouts import make, make_bids, make_cvi42, make_mnms, make_msd, make_nnunet, make_sunnybrook

from napari_ssl.core.case import Split
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import ImageError, LabelError
from napari_ssl.io.geometry import Geometry
from napari_ssl.io.images import write_volume
from napari_ssl.io.layouts import ScanOptions, detect, scan

LINE = Geometry(size_xyz=(4, 4, 2), spacing_xyz=(1.8, 1.8, 10), is_4d=True)
STILL = Geometry(size_xyz=(4, 4, 2), spacing_xyz=(1.8, 1.8, 10))


# UK Biobank


def make_phases(folder, es_frame=2):
    """A cine, its ED and ES pictures and their labels."""
    one = folder / "1000001"
    one.mkdir(parents=True)
    data = np.arange(4 * 2 * 4 * 4, dtype=np.int16).reshape(4, 2, 4, 4)
    write_volume(one / "sa.nii.gz", data, LINE)
    for name, frame, value in (("ED", 0, 1), ("ES", es_frame, 3)):
        write_volume(one / f"sa_{name}.nii.gz", data[frame : frame + 1], STILL)
        write_volume(one / f"label_sa_{name}.nii.gz", np.full((1, 2, 4, 4), value, np.uint8), STILL)
    return one


def test_ukbb_labels_of_phases_are_laid_on_the_frames_they_were_drawn_on(tmp_path):
    make_phases(tmp_path)
    (item,) = scan(tmp_path, "ukbb")
    labels, frames = item.drawn.labels((4, 2, 4, 4))
    assert frames == (0, 2)
    assert [np.unique(f).tolist() for f in labels] == [[1], [0], [3], [0]]
    assert item.label_proposal.text() == "1=LV, 2=Myo, 3=RV"


def test_ukbb_end_systole_without_its_picture_is_refused(tmp_path):
    one = make_phases(tmp_path)
    (one / "sa_ES.nii.gz").unlink()
    (item,) = scan(tmp_path, "ukbb")
    with pytest.raises(LabelError, match=r"label_sa_ES\.nii\.gz: labels end-systole, and sa_ES\.nii.*not beside it"):
        item.drawn.labels((4, 2, 4, 4))


def test_ukbb_a_picture_of_no_frame_is_refused(tmp_path):
    one = make_phases(tmp_path)
    write_volume(one / "sa_ES.nii.gz", np.zeros((1, 2, 4, 4), np.int16), STILL)
    (item,) = scan(tmp_path, "ukbb")
    with pytest.raises(LabelError, match=r"sa_ES\.nii\.gz: equals 0 frames of sa\.nii\.gz"):
        item.drawn.labels((4, 2, 4, 4))


def test_ukbb_phases_without_a_cine_are_cases_of_one_subject(tmp_path):
    make(tmp_path, "7/sa_ED.nii.gz", "7/sa_ES.nii.gz", "7/label_sa_ED.nii.gz")
    ed, es = scan(tmp_path, "ukbb")
    assert (ed.case_id, ed.subject_id, ed.ed_frame, bool(ed.label_paths)) == ("7_sa_ED", "7", 0, True)
    assert (es.case_id, es.subject_id, es.es_frame, bool(es.label_paths)) == ("7_sa_ES", "7", 0, False)


def test_ukbb_a_folder_of_both_views_asks_which(tmp_path):
    make(tmp_path, "7/sa.nii.gz", "7/ao.nii.gz")
    with pytest.raises(ImageError, match="fits the layouts ukbb, ukbb-aorta; name the one"):
        detect(tmp_path)
    (item,) = scan(tmp_path, "ukbb-aorta")
    assert item.label_proposal.text() == "1=Ascending aorta, 2=Descending aorta"
    assert not item.label_proposal.agrees_with(PRESETS["aorta"])


# M&Ms


def test_mnms_counts_frames_from_zero_and_takes_the_vendor(tmp_path):
    by_id = {i.case_id: i for i in scan(make_mnms(tmp_path), "mnms")}
    one, two = by_id["A0S9"], by_id["B1T0"]
    assert (one.ed_frame, one.es_frame, one.group, one.split) == (0, 9, "Philips", None)
    assert (two.ed_frame, two.es_frame, two.group, two.split) == (2, 11, "Siemens", Split.TEST)
    assert (one.body.sex, one.body.height_cm, one.body.weight_kg) == ("F", 165, 70)
    assert (two.body.sex, two.body.height_cm) == ("M", None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("A0S9,Philips,A,1,x,9,F,,\nB1T0,S,B,2,2,11,M,,\n", "ED of subject A0S9 is 'x'"),
        ("A0S9,P,A,1,0,9,F,,\n", "no row"),
    ],
)
def test_mnms_with_a_mistake_in_the_table_is_refused(tmp_path, rows, message):
    with pytest.raises(ImageError, match=message):
        scan(make_mnms(tmp_path, rows), "mnms")


# data sets with a dataset.json


def test_nnunet_names_labels_subjects_and_the_test_split(tmp_path):
    train, test = scan(make_nnunet(tmp_path))
    assert (train.case_id, train.subject_id, train.split) == ("p1_frame01", "p1", None)
    assert (test.case_id, test.split, test.label_paths) == ("p2", Split.TEST, ())
    assert train.label_proposal.meanings == ((1, "RV"), (2, "Myo"))
    assert str(tmp_path / "dataset.json") in train.label_proposal.source


def test_nnunet_of_several_channels_asks_which(tmp_path):
    make_nnunet(tmp_path, channel_names={"0": "T2", "1": "ADC"})
    make(tmp_path, "imagesTr/p1_frame01_0001.nii.gz")
    with pytest.raises(ImageError, match=r"2 channels \(0=T2, 1=ADC\); choose one: --channel"):
        scan(tmp_path)
    for wanted in ("ADC", "1"):
        (item,) = scan(tmp_path, "nnunet", ScanOptions(channel=wanted))
        assert item.image_path.name == "p1_frame01_0001.nii.gz"
    with pytest.raises(ImageError, match="no channel 'DWI'"):
        scan(tmp_path, "nnunet", ScanOptions(channel="DWI"))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"labels": {"background": 0, "whole": [1, 2]}}, LabelError, r"'whole' is a region of several values \[1, 2\]"),
        ({"labels": {"RV": "one"}}, LabelError, "has the value 'one'"),
        ({"file_ending": ".png"}, ImageError, r"file_ending '\.png' is not read"),
    ],
)
def test_nnunet_that_cannot_be_taken_is_refused(tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        scan(make_nnunet(tmp_path, **changes), "nnunet")


def test_msd_a_channel_is_never_taken_for_time(tmp_path):
    make_msd(tmp_path)
    data = np.stack([np.full((2, 4, 4), c, np.int16) for c in (5, 7)])
    write_volume(tmp_path / "imagesTr" / "p_01.nii.gz", data, LINE)
    train, test = scan(tmp_path, "msd", ScanOptions(channel="ADC"))
    assert test.split is Split.TEST
    converted = train.conversion.convert()
    assert train.conversion.header().shape_tzyx == converted.data.shape == (1, 2, 4, 4)
    assert (converted.data == 7).all() and not converted.geometry.is_4d
    assert "channel 1 (ADC)" in train.conversion.notes[0]


@pytest.mark.parametrize("entry", ["../secret.nii.gz", "/etc/hostname", 7, "imagesTr/absent.nii.gz"])
def test_msd_a_file_outside_the_data_set_is_refused(tmp_path, entry):
    make_msd(tmp_path / "set", training=[{"image": entry}])
    (tmp_path / "secret.nii.gz").touch()
    with pytest.raises(ImageError, match=r"outside the data set|inside the data set|not there"):
        scan(tmp_path / "set", "msd", ScanOptions(channel="T2"))


# others


def test_flare22_says_its_thirteen_organs_and_the_validation_split(tmp_path):
    make(tmp_path, "x/FLARE22_Tr_0001_0000.nii.gz", "y/FLARE22_Tr_0001.nii.gz", "z/FLARETs_0001_0000.nii.gz")
    one, two = scan(tmp_path)
    assert one.label_proposal.meanings[0] == (1, "liver") and one.label_proposal.meanings[-1] == (13, "left kidney")
    assert (one.split, two.split) == (None, Split.VALIDATION)


def test_promise12_keeps_the_test_cases_that_are_numbered_anew(tmp_path):
    make(tmp_path, "train/Case00.mhd", "train/Case00_segmentation.mhd", "test/Case00.mhd")
    by_id = {i.case_id: i for i in scan(tmp_path, "promise12")}
    assert set(by_id) == {"train_Case00", "test_Case00"}
    assert by_id["test_Case00"].split is Split.TEST and by_id["train_Case00"].label_proposal.text() == "1=prostate"


def test_bids_finds_segmentations_in_derivatives_and_their_table(tmp_path):
    one, two = scan(make_bids(tmp_path))
    assert (one.subject_id, one.label_paths) == ("sub-01", ())
    assert two.label_paths[0][1].name == "sub-02_ses-a_acq-sax_desc-manual_dseg.nii.gz"
    assert two.label_proposal.meanings == ((1, "RV"), (3, "LV"))
    assert (two.body.sex, two.body.height_cm) == ("F", 170)


def test_bids_an_image_of_two_segmentations_asks_which(tmp_path):
    make_bids(tmp_path)
    make(tmp_path, "derivatives/net/sub-02/ses-a/anat/sub-02_ses-a_acq-sax_desc-net_dseg.nii.gz")
    with pytest.raises(ImageError, match="has 2 segmentations"):
        scan(tmp_path)


# contours


def test_sunnybrook_contours_lie_on_the_pictures_of_their_numbers(tmp_path):
    (item,) = scan(make_sunnybrook(tmp_path), options=ScanOptions())
    labels, frames = item.drawn.labels((2, 3, 4, 5))
    assert frames == (0, 1)  # InstanceNumber 1: first slice and phase; 4: second slice, second phase
    assert labels[0, 0].tolist() == [[0, 0, 0, 0, 0], [0, 1, 1, 2, 0], [0, 1, 1, 2, 0], [0, 2, 2, 2, 0]]
    assert labels[1, 1].sum() == 4 and labels.sum() == 4 + 5 * 2 + 4


def test_cvi42_contours_lie_on_the_pictures_of_their_uids(tmp_path):
    (item,) = scan(make_cvi42(tmp_path), options=ScanOptions())
    labels, frames = item.drawn.labels((2, 3, 4, 5))
    assert frames == (1,)
    expected = np.zeros((2, 3, 4, 5), np.uint8)
    expected[1, 2, 1:3, 1:4] = 1
    assert np.array_equal(labels, expected)


def test_cvi42_contours_of_other_pictures_are_refused(tmp_path):
    make_cvi42(tmp_path)
    text = (tmp_path / "work.cvi42wsx").read_text()
    start = text.index("1.2.826")
    (tmp_path / "work.cvi42wsx").write_text(text[:start] + "9.9.9" + text[text.index('"', start) :])
    with pytest.raises(LabelError, match=r"none of its 1 contoured pictures is among the DICOM images"):
        scan(tmp_path, "cvi42", ScanOptions())


def test_a_workspace_with_entities_is_refused(tmp_path):
    save(tmp_path, cine())
    bomb = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;">]><W>&y;</W>'
    (tmp_path / "a.cvi42wsx").write_text(f'<?xml version="1.0"?>{bomb}')
    with pytest.raises(LabelError, match=r"is no cvi42 workspace in XML \(EntitiesForbidden\)"):
        scan(tmp_path, "cvi42", ScanOptions())


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ("1 1\n90 1\n90 90\n", "it is of another picture"),
        ("1.1 1.1\n1.2 1.1\n1.2 1.2\n", "encloses no pixel centre"),
        ("1 1\n2 2\n", "no contour of three points"),
        ("1 1\n2 nan\n3 3\n", "no contour of three points"),
        ("one two\n", "is no contour"),
    ],
)
def test_contours_that_cannot_be_are_refused(tmp_path, points, message):
    make_sunnybrook(tmp_path)
    (tmp_path / "SC-1/contours-manual/IRCCI-expert/IM-0001-0001-icontour-manual.txt").write_text(points)
    with pytest.raises(LabelError, match=message):
        (item,) = scan(tmp_path, options=ScanOptions())
        item.drawn.labels((2, 3, 4, 5))


def test_contours_of_numbers_that_no_picture_has_are_refused(tmp_path):
    make_sunnybrook(tmp_path)
    (tmp_path / "SC-1/contours-manual/IRCCI-expert/IM-0001-0999-icontour-manual.txt").write_text("1 1\n2 1\n2 2\n")
    with pytest.raises(ImageError, match=r"fit 0 of its 1 series by their numbers \(1 to 999\)"):
        scan(tmp_path, options=ScanOptions())


def test_json_of_another_kind_is_no_data_set(tmp_path):
    make(tmp_path, "imagesTr/a_0000.nii.gz")
    (tmp_path / "dataset.json").write_text(json.dumps([1, 2]))
    assert detect(tmp_path) == "plain"
