from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from dicom_files import cine, save

from napari_ssl.core.case import CASE_ID_PATTERN, Split
from napari_ssl.errors import ImageError
from napari_ssl.io.layouts import LAYOUTS, ImportItem, ScanOptions, detect, scan
from napari_ssl.io.layouts.acdc import PROPOSAL
from napari_ssl.io.layouts.item import parse_split, sanitise_id, split_of_folder

ACDC_SUBJECT = ("_4d.nii.gz", "_frame01.nii.gz", "_frame01_gt.nii.gz", "_frame09.nii.gz", "_frame09_gt.nii.gz")


def make(folder: Path, *names: str) -> Path:
    """Make empty files: a scan looks at names only."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def make_acdc(
    folder: Path, subject: str = "patient023", endings=ACDC_SUBJECT, info="ED: 1\nES: 9\nGroup: HCM\n"
) -> Path:
    make(folder, *(f"{subject}/{subject}{ending}" for ending in endings))
    if info:
        (folder / subject / "Info.cfg").write_text(info)
    return folder


def make_nnunet(folder: Path, **changes) -> Path:
    """A data set of nnU-Net v2 of one channel."""
    make(folder, "imagesTr/p1_frame01_0000.nii.gz", "labelsTr/p1_frame01.nii.gz", "imagesTs/p2_0000.nii.gz")
    document = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "RV": 1, "Myo": 2}, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(document | changes))
    return folder


def make_msd(folder: Path, **changes) -> Path:
    """A data set of the Decathlon of two channels."""
    make(folder, "imagesTr/p_01.nii.gz", "labelsTr/p_01.nii.gz", "imagesTs/p_02.nii.gz")
    document = {
        "modality": {"0": "T2", "1": "ADC"},
        "labels": {"0": "background", "1": "PZ"},
        "training": [{"image": "./imagesTr/p_01.nii.gz", "label": "./labelsTr/p_01.nii.gz"}],
        "test": ["./imagesTs/p_02.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps(document | changes))
    return folder


def make_mnms(folder: Path, rows="A0S9,Philips,A,1,0,9,F,165,70\nB1T0,Siemens,B,2,2,11,M,,\n") -> Path:
    """Two subjects of M&Ms with the table."""
    make(folder, "Training/Labeled/A0S9/A0S9_sa.nii.gz", "Training/Labeled/A0S9/A0S9_sa_gt.nii.gz")
    make(folder, "Testing/B1T0/B1T0_sa.nii.gz", "Testing/B1T0/B1T0_sa_gt.nii.gz")
    (folder / "M&Ms_Dataset_information.csv").write_text(
        "External code,VendorName,Vendor,Centre,ED,ES,Sex,Height,Weight\n" + rows
    )
    return folder


def make_bids(folder: Path) -> Path:
    """Two participants, one with labels in derivatives."""
    make(folder, "sub-01/anat/sub-01_bold.nii.gz", "sub-02/ses-a/anat/sub-02_ses-a_acq-sax_cine.nii.gz")
    make(folder, "derivatives/manual/sub-02/ses-a/anat/sub-02_ses-a_acq-sax_desc-manual_dseg.nii.gz")
    (folder / "derivatives" / "manual" / "dseg.tsv").write_text("index\tname\n0\tbackground\n1\tRV\n3\tLV\n")
    (folder / "participants.tsv").write_text("participant_id\tsex\theight\nsub-02\tF\t170\n")
    return folder


def make_sunnybrook(folder: Path) -> Path:
    """One subject: a cine and the contours of two of its pictures."""
    save(folder / "SC-1" / "cine", cine())
    for number, kind in ((1, "i"), (1, "o"), (4, "i")):
        path = folder / "SC-1" / "contours-manual" / "IRCCI-expert" / f"IM-0001-{number:04d}-{kind}contour-manual.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        outer = 3.4 if kind == "o" else 2.4
        path.write_text(f"0.6 0.6\n{outer} 0.6\n{outer} {outer}\n0.6 {outer}\n")
    return folder


def make_cvi42(folder: Path) -> Path:
    """A cine and a workspace with the contours of one of its pictures."""
    pictures = cine()
    save(folder / "images", pictures)
    points = "".join(
        f"<List:item><Point:x>{x * 4}</Point:x><Point:y>{y * 4}</Point:y></List:item>"
        for x, y in ((0.5, 0.5), (3.5, 0.5), (3.5, 2.5), (0.5, 2.5))
    )
    (folder / "work.cvi42wsx").write_text(
        f"""<?xml version="1.0"?><Workspace xmlns:Hash="h" xmlns:List="l" xmlns:Point="p">
        <Hash:item Hash:key="ImageStates"><Hash:item Hash:key="{pictures[1][2].SOPInstanceUID}">
        <Hash:item Hash:key="Contours"><Hash:item Hash:key="saendocardialContour">
        <Hash:item Hash:key="Points">{points}</Hash:item><Hash:item Hash:key="SubpixelResolution">4</Hash:item>
        </Hash:item><Hash:item Hash:key="laendocardialContour"/></Hash:item></Hash:item></Hash:item></Workspace>"""
    )
    return folder


EXAMPLES = {
    "acdc": lambda folder: make_acdc(folder),
    "ukbb": lambda folder: make(folder, "1000001/sa.nii.gz", "1000001/label_sa.nii.gz", "1000001/seg_sa.nii.gz"),
    "ukbb-aorta": lambda folder: make(folder, "1000001/ao.nii.gz", "1000001/label_ao.nii.gz"),
    "mnms": make_mnms,
    "nnunet": make_nnunet,
    "msd": make_msd,
    "flare22": lambda folder: make(
        folder, "images/FLARE22_Tr_0001_0000.nii.gz", "labels/FLARE22_Tr_0001.nii.gz", "new/Case_00001_0000.nii.gz"
    ),
    "promise12": lambda folder: make(folder, "Case00.mhd", "Case00.raw", "Case00_segmentation.mhd", "Case01.mhd"),
    "bids": make_bids,
    "sunnybrook": make_sunnybrook,
    "cvi42": make_cvi42,
    "dicom": lambda folder: save(folder, cine()),
    "plain": lambda folder: make(folder, "a.nii.gz", "a_seg.nii.gz", "b.nrrd"),
    "files": lambda folder: [make(folder, "a.nii.gz", "a_seg.nii.gz") / n for n in ("a.nii.gz", "a_seg.nii.gz")],
}


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_every_layout_yields_items_that_a_study_can_take(tmp_path, name):
    source = EXAMPLES[name](tmp_path)
    options = ScanOptions(channel="T2" if name == "msd" else None)
    items = scan(source, name, options)
    assert repr(items) == repr(scan(source, options=options)) == repr(LAYOUTS[name](source, options))
    assert detect(source) == name
    assert LAYOUTS[name].title
    for item in items:
        assert isinstance(item, ImportItem)
        assert item.image_path.is_absolute()
        assert item.image_path.is_file()
        assert all(path.is_file() for _, path in item.label_paths)
        assert re.fullmatch(CASE_ID_PATTERN, item.case_id)
        assert re.fullmatch(CASE_ID_PATTERN, item.subject_id)
        assert item.conversion is None or not item.conversion.problem
        assert not item.has_labels or item.label_order is None  # proposed at most, never confirmed by a layout
    assert any(item.has_labels for item in items) or name == "dicom"
    assert len({item.case_id for item in items}) == len(items)


@pytest.mark.parametrize("name", sorted(set(LAYOUTS) - {"files"}))
def test_every_layout_refuses_an_empty_folder_and_says_what_to_do(tmp_path, name):
    with pytest.raises(ImageError, match=r"choose|cannot be read"):
        scan(tmp_path, name)


# ACDC


def test_acdc_counts_frames_from_one(tmp_path):
    (item,) = scan(make_acdc(tmp_path))
    folder = tmp_path / "patient023"
    assert item == ImportItem(
        subject_id="patient023",
        case_id="patient023",
        image_path=folder / "patient023_4d.nii.gz",
        label_paths=((0, folder / "patient023_frame01_gt.nii.gz"), (8, folder / "patient023_frame09_gt.nii.gz")),
        ed_frame=0,
        es_frame=8,
        group="HCM",
        label_proposal=PROPOSAL,
    )


def test_acdc_without_a_cine_makes_a_case_per_frame_of_the_same_subject(tmp_path):
    first, second = scan(make_acdc(tmp_path, endings=ACDC_SUBJECT[1:4]))
    assert (first.case_id, second.case_id) == ("patient023_frame01", "patient023_frame09")
    assert first.subject_id == second.subject_id == "patient023"
    assert (first.ed_frame, first.es_frame, second.ed_frame, second.es_frame) == (0, None, None, 0)
    assert first.label_paths == ((None, tmp_path / "patient023" / "patient023_frame01_gt.nii.gz"),)
    assert second.label_paths == ()


def test_acdc_labels_of_the_whole_cycle_win(tmp_path):
    (item,) = scan(make_acdc(tmp_path, endings=(*ACDC_SUBJECT, "_4d_gt.nii.gz")))
    assert item.label_paths == ((None, tmp_path / "patient023" / "patient023_4d_gt.nii.gz"),)


def test_acdc_takes_a_table_of_cases_and_ignores_other_folders_beside_it(tmp_path):
    make_acdc(tmp_path, "p1", info="")
    make_acdc(tmp_path, "p2", endings=("_4d.nii",), info="ED: 3\n")
    make_acdc(tmp_path, "p3", endings=("_4d.nii",), info="")
    make(tmp_path, "truth/p2_gt.nii.gz")
    (tmp_path / "cases.csv").write_text(
        "patient,group,split,ed_frame,es_frame,n_frames\np1,DCM,val,2,5,9\np2,NOR,test,1,4,9\np3,,train,,,\n"
    )
    one, two, three = scan(tmp_path)
    assert (one.split, one.group, one.ed_frame, one.es_frame) == (Split.VALIDATION, "DCM", 1, 4)
    assert (two.split, two.group, two.ed_frame, two.es_frame) == (Split.TEST, "NOR", 2, 3)
    assert (three.split, three.group, three.ed_frame, three.es_frame) == (Split.TRAIN, None, None, None)


def test_acdc_as_published_in_training_and_testing_folders(tmp_path):
    make_acdc(tmp_path / "training", "patient001")
    make_acdc(tmp_path / "testing", "patient101")
    test, train = scan(tmp_path)
    assert (test.subject_id, test.split) == ("patient101", Split.TEST)
    assert (train.subject_id, train.split) == ("patient001", None)


def test_acdc_one_subject_folder_by_itself(tmp_path):
    (item,) = scan(make_acdc(tmp_path) / "patient023")
    assert item.case_id == "patient023"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: (d / "patient023" / "Info.cfg").write_text("ED: 0\n"), r"patient023: ED frame is '0'.*from 1"),
        (lambda d: (d / "patient023" / "Info.cfg").write_text("ES: nine\n"), r"ES frame is 'nine'.*whole number"),
        (
            lambda d: (d / "cases.csv").write_text("subject,split\npatient023,val\n"),
            r"cases\.csv: has no column 'patient'",
        ),
        (
            lambda d: (d / "cases.csv").write_text("patient,split\npatient023,dev\n"),
            r"cases\.csv.*split 'dev'.*write train",
        ),
        (lambda d: make(d, "patient023/patient023_frame00_gt.nii.gz"), r"frame00_gt.*count from 1"),
        (lambda d: make(d, "patient023/patient023_frame9_gt.nii.gz"), r"frame 9 is also in"),
        (lambda d: make_acdc(d / "more"), r"subject patient023 is also in"),
    ],
)
def test_acdc_with_a_mistake_is_refused(tmp_path, change, message):
    make_acdc(tmp_path)
    change(tmp_path)
    with pytest.raises(ImageError, match=message):
        scan(tmp_path, "acdc")


def test_acdc_labels_without_their_image_are_refused(tmp_path):
    make_acdc(tmp_path, endings=("_frame01.nii.gz", "_frame09_gt.nii.gz"))
    with pytest.raises(ImageError, match=r"frame09_gt\.nii\.gz: there is no image of this frame"):
        scan(tmp_path)


def test_real_acdc_cine(shared_data):
    items = scan(shared_data / "acdc_cine")
    assert len(items) == 31
    assert sum(item.split is Split.VALIDATION for item in items) == 9
    by_id = {item.case_id: item for item in items}
    assert by_id["patient090"].ed_frame == 3
    assert by_id["patient090"].es_frame == 10
    assert [frame for frame, _ in by_id["patient090"].label_paths] == [3, 10]
    assert by_id["patient096"].group == "RV"


def test_real_acdc_without_cine(shared_data):
    items = scan(shared_data / "acdc_ed_es")
    assert len(items) == 160
    assert len({item.subject_id for item in items}) == 80
    assert all(len(item.label_paths) == 1 for item in items)
    assert sum(item.ed_frame == 0 for item in items) == sum(item.es_frame == 0 for item in items) == 80


# plain


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("a.nii.gz", "a_gt.nii.gz"),
        ("a.nii.gz", "a_label.nii.gz"),
        ("a.nrrd", "a-seg.nrrd"),
        ("a.mha", "a_Segmentation.nii.gz"),
        ("image_11.nii.gz", "label_11.nii.gz"),
        ("s1_4d_crop.nii.gz", "s1_4d_gt_crop.nii.gz"),
        ("images/a.nii.gz", "labels/a.nii.gz"),
        ("imagesTr/a.nii.gz", "labelsTr/a.nii.gz"),
        ("images/a.nii.gz", "masks/a_mask.nii.gz"),
        ("a/image.nii.gz", "a/seg.nii.gz"),
    ],
)
def test_plain_pairs_by_name(tmp_path, image, label):
    (item,) = scan(make(tmp_path, image, label), "plain")
    assert item.image_path == tmp_path / image
    assert item.label_paths == ((None, tmp_path / label),)
    assert item.split is None
    assert item.label_proposal is None


def test_plain_keeps_the_frames_of_a_subject_together(tmp_path):
    make(tmp_path, "p1_frame01.nii.gz", "p1_frame12.nii.gz", "p2_ED.nii.gz", "p2_ES.nii.gz", "deep/x.nii", "deep/y.nii")
    assert {item.case_id: item.subject_id for item in scan(tmp_path)} == {
        "p1_frame01": "p1",
        "p1_frame12": "p1",
        "p2_ED": "p2",
        "p2_ES": "p2",
        "deep_x": "deep",
        "deep_y": "deep",
    }


def test_plain_takes_splits_from_folders_of_such_names(tmp_path):
    make(tmp_path, "train/a.nii.gz", "val/b.nii.gz", "test/c.nii.gz")
    assert {item.subject_id: item.split for item in scan(tmp_path)} == {
        "a": Split.TRAIN,
        "b": Split.VALIDATION,
        "c": Split.TEST,
    }


def test_plain_labels_without_an_image_are_refused(tmp_path):
    with pytest.raises(ImageError, match=r"b_gt\.nii\.gz: is a label map by its name, but no image.*rename"):
        scan(make(tmp_path, "a.nii.gz", "b_gt.nii.gz"))


def test_plain_two_label_maps_of_one_image_are_refused(tmp_path):
    with pytest.raises(
        ImageError, match=r"a_seg\.nii\.gz: cannot be told from .*a_gt\.nii\.gz.*one label map per name"
    ):
        scan(make(tmp_path, "a.nii.gz", "a_gt.nii.gz", "a_seg.nii.gz"))


def test_plain_two_images_of_one_name_are_refused(tmp_path):
    with pytest.raises(ImageError, match=r"cannot be told from .*one image per name"):
        scan(make(tmp_path, "a.nii.gz", "a.nrrd"))
    with pytest.raises(ImageError, match=r"its case name 'a_b' is also that of"):
        scan(make(tmp_path / "other", "a b.nii.gz", "a/b.nii.gz"))


def test_hidden_files_are_left_out(tmp_path):
    (item,) = scan(make(tmp_path, "a.nii.gz", ".b.nii.gz", ".cache/c.nii.gz"))
    assert item.case_id == "a"


# files


def test_files_pairs_that_are_named(tmp_path):
    make(tmp_path, "a.nii.gz", "other.nii.gz")
    (item,) = scan([(tmp_path / "a.nii.gz", tmp_path / "other.nii.gz")])
    assert item.label_paths == ((None, tmp_path / "other.nii.gz"),)


def test_files_of_the_same_name_are_told_apart_by_their_folders(tmp_path):
    make(tmp_path, "p1/cine.nii.gz", "p2/cine.nii.gz")
    items = scan([tmp_path / "p1" / "cine.nii.gz", tmp_path / "p2" / "cine.nii.gz"])
    assert [item.subject_id for item in items] == ["p1", "p2"]


def test_one_file_by_itself(tmp_path):
    (item,) = scan(make(tmp_path, "a.nii.gz") / "a.nii.gz")
    assert (item.case_id, item.label_paths) == ("a", ())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no file was named"),
        (["absent.nii.gz"], r"absent\.nii\.gz: no such file"),
        ([("a.nii.gz", "b.nii.gz", "b.nii.gz")], "name an image, or a pair"),
        ([("a.nii.gz", "b.nii.gz"), "a.nii.gz"], "is named twice"),
    ],
)
def test_files_with_a_mistake_are_refused(tmp_path, monkeypatch, names, message):
    make(tmp_path, "a.nii.gz", "b.nii.gz")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError, match=message):
        scan(names)


# choice of the layout


def test_folder_that_fits_two_layouts_is_refused(tmp_path):
    make(make_acdc(tmp_path), "scans/a.nii.gz")
    with pytest.raises(
        ImageError, match=r"1 subject folders .* 1 other images \(e\.g\. scans/a\.nii\.gz\); name the layout"
    ):
        scan(tmp_path)
    assert len(scan(tmp_path, "acdc")) == 1


def test_folder_without_images_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"none of its 1 files is an image.*convert"):
        scan(make(tmp_path, "IM0001.dcm"))
    for layout in ("acdc", "plain"):
        with pytest.raises(ImageError, match="choose"):
            scan(tmp_path, layout)


def test_wrong_arguments_are_refused(tmp_path):
    make(tmp_path, "a.nii.gz")
    for arguments, message in (
        ((tmp_path, "analyze"), "no layout 'analyze'; choose auto"),
        ((tmp_path / "absent",), "no such file or folder"),
        ((tmp_path / "absent", "plain"), "no such folder"),
        ((tmp_path, "files"), "is a folder"),
        (([tmp_path / "a.nii.gz"], "plain"), "takes one folder"),
    ):
        with pytest.raises(ImageError, match=message):
            scan(*arguments)


# identifiers and splits


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("patient001", "patient001"),
        ("Müller, Jörg (2)", "M_ller_J_rg_2-c5aab9"),
        ("../../etc/passwd", "etc_passwd"),
        (".hidden", "hidden"),
        ("x" * 200, "x" * 73 + "-aa20c2"),
        ("日本", "case-cf2abf"),
        ("CON", "case_CON"),
        ("nul.old", "case_nul.old"),
        ("-rf", "rf"),
        ("x" * 72 + "." * 20, "x" * 72),
    ],
)
def test_identifiers_are_made_fit_for_file_names(text, expected):
    assert sanitise_id(text) == expected
    assert re.fullmatch(CASE_ID_PATTERN, sanitise_id(text))


def test_names_that_differ_in_letters_that_are_lost_stay_two():
    names = ["Müller", "Möller", "患者", "病人", "患者1", "x" * 100, "x" * 101, "é" * 120, "\udcff"]
    assert len({sanitise_id(name) for name in names}) == len(names)


def test_item_refuses_an_identifier_that_is_not_fit(tmp_path):
    with pytest.raises(ImageError, match=r"case_id '\.\./x'"):
        ImportItem(subject_id="x", case_id="../x", image_path=tmp_path / "x.nii.gz")


def test_split_names():
    assert parse_split(" Val ", "x") is Split.VALIDATION
    assert parse_split("", "x") is None
    assert split_of_folder(["train"], ["train", "test"]) is None
    assert split_of_folder(["train"], ["train", "val"]) is Split.TRAIN
    assert split_of_folder(["scans"], ["scans"]) is None
