"""A folder with one fault each: refused with what is wrong, or handled as stated."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import NAME, PATIENT, cine, phantom, save

from napari_ssl.errors import ImageError, LabelError
from napari_ssl.io.dicom.redaction import Redaction
from napari_ssl.io.layouts import ScanOptions, scan

SHAPE = (3, 4, 4, 5)


def each(pictures):
    return [p for row in pictures for p in row]


def remove_one_phase(pictures):
    del pictures[1][2]


def remove_slice(pictures):
    for row in pictures:
        del row[2]


def shift_slice(pictures):
    for row in pictures:
        row[3].ImagePositionPatient[2] += 3


def move_in_plane(pictures):
    for row in pictures:
        row[3].ImagePositionPatient[0] += 3


def turn_one(pictures):
    pictures[0][1].ImageOrientationPatient = [0, 1, 0, 1, 0, 0]


def without(keyword):
    def change(pictures):
        delattr(pictures[1][1], keyword)

    return change


def with_value(keyword, value, all_of=False):
    def change(pictures):
        for one in each(pictures) if all_of else [pictures[1][1]]:
            setattr(one, keyword, value)

    return change


def other_size(pictures):
    one = pictures[1][1]
    one.Rows, one.Columns, one.PixelData = 2, 2, b"\0" * 8


def same_time(pictures):
    pictures[1][2].TriggerTime = pictures[0][2].TriggerTime


def same_uid(pictures):
    pictures[1][2].SOPInstanceUID = pictures[0][2].SOPInstanceUID


FAULTS = {
    "a picture missing": (remove_one_phase, r"slice 2 \(at 46\.00 mm\) has 2 phases, most have 3; missing: phase 1"),
    "a slice missing": (remove_slice, r"1 slice\(s\) missing between slices 1 and 2, at 46\.00 mm"),
    "unequal spacing": (shift_slice, r"slices 2 and 3 are 11\.00 mm apart, the others 8\.00 mm"),
    "shifted within the plane": (move_in_plane, r"slice 3 is shifted by 3\.00 mm within its plane"),
    "wrong orientation": (turn_one, r"its images are of 2 orientations \(11, 1 images\).*missing: phase 0"),
    "different matrix sizes": (other_size, r"different matrix sizes \(2 × 2 and 4 × 5\)"),
    "different pixel spacings": (with_value("PixelSpacing", [1, 1]), r"different pixel spacings"),
    "zero spacing": (with_value("PixelSpacing", [0, 1.25]), r"has a pixel spacing of 0 × 1\.25 mm"),
    "no spacing": (without("PixelSpacing"), r"pixel spacing of absent"),
    "no position": (without("ImagePositionPatient"), r"has no position in the patient"),
    "no orientation": (without("ImageOrientationPatient"), r"has no orientation in the patient"),
    "skewed orientation": (
        with_value("ImageOrientationPatient", [1, 0, 0, 0.7, 0.7, 0]),
        r"no pair of perpendicular directions",
    ),
    "a trigger time missing": (without("TriggerTime"), r"1 of 12 images have no trigger time .*phases by instance"),
    "two phases with the same time": (same_time, r"slice 2 has 2 images with the same trigger time 10 ms"),
    "two files with one UID": (same_uid, r"have the same SOPInstanceUID and differ"),
    "a colour image": (with_value("PhotometricInterpretation", "RGB"), r"is a colour image \(RGB\)"),
    "no pixel data": (without("PixelData"), r"holds no pixel data"),
    "too few pixels": (with_value("PixelData", b"\0" * 30), r"is truncated: 30 of 40 bytes of pixels"),
    "text in the pixels": (with_value("BurnedInAnnotation", "YES"), r"text is burned into its pixels"),
    "mixed patients": (with_value("PatientID", "ID-0815"), r"its images are of 2 patients though of one series"),
    "mixed studies": (with_value("StudyInstanceUID", "1.9"), r"its images are of 2 studies"),
    "frames nowhere described": (with_value("NumberOfFrames", 2), r"holds 2 frames without saying|is truncated"),
    "no rows": (with_value("Rows", 0), r"has 0 rows and 5 columns"),
}


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_folder_with_a_fault_is_refused_and_says_what_is_wrong(tmp_path, name):
    change, message = FAULTS[name]
    pictures = cine(phantom(SHAPE))
    change(pictures)
    items = scan(save(tmp_path / "a", pictures), "dicom", ScanOptions())
    refused = [i for i in items if i.conversion.problem]
    assert refused
    for use in (refused[0].conversion.header, refused[0].conversion.convert):
        with pytest.raises(ImageError, match=message):
            use()


HANDLED = {
    "a file there twice": r"1 file\(s\) are there twice; each was taken once",
    "a compressed syntax": "",
    "nothing wrong": "",
}
TRUNCATED = r"is truncated: 33 of 40 bytes"


@pytest.fixture(scope="module")
def faulty_folder(tmp_path_factory):
    """One folder as a bad day brings it: a series with each fault, those that can be handled, and a good one."""
    folder = tmp_path_factory.mktemp("faulty")
    for number, (name, (change, _)) in enumerate(sorted(FAULTS.items())):
        pictures = cine(phantom(SHAPE), series=f"1.2.40.{number}")
        change(pictures)
        save(folder / name, pictures, seed=number)
    truncated = save(folder / "a truncated file", cine(series="1.2.41")) / "0002.dcm"
    truncated.write_bytes(truncated.read_bytes()[:-7])
    twice = save(folder / "a file there twice", cine(series="1.2.42"))
    (twice / "copy.dcm").write_bytes((twice / "0003.dcm").read_bytes())
    compressed(folder / "a compressed syntax", "JPEG2000")
    save(folder / "nothing wrong", cine(series="1.2.43"))
    (folder / "notes.txt").write_text("no image")
    return folder


def test_a_folder_with_every_fault_at_once_is_sorted_into_refused_and_handled(faulty_folder):
    assert len(FAULTS) + 1 >= 15
    found: dict[str, list] = {}
    for item in scan(faulty_folder, "dicom", ScanOptions()):
        found.setdefault(item.image_path.relative_to(faulty_folder).parts[0], []).append(item)
    assert set(found) == {*FAULTS, "a truncated file", *HANDLED}
    for name, message in {**{n: m for n, (_, m) in FAULTS.items()}, "a truncated file": TRUNCATED}.items():
        problems = [i.conversion.problem for i in found[name]]
        assert any(re.search(message, p) for p in problems), (name, problems)
    for name, note in HANDLED.items():
        (item,) = found[name]
        assert not item.conversion.problem and re.search(note, "; ".join(item.conversion.notes)), name
        assert item.conversion.convert().data.max() > 0


def test_a_good_series_beside_a_bad_one_is_taken(tmp_path):
    bad = cine(SeriesInstanceUID="1.2.3.99")
    remove_one_phase([bad[0], bad[1]])
    save(tmp_path / "bad", bad)
    save(tmp_path / "good", cine())
    assert sorted(bool(i.conversion.problem) for i in scan(tmp_path, "dicom", ScanOptions())) == [False, True]


def test_a_file_that_is_there_twice_is_taken_once(tmp_path):
    folder = save(tmp_path / "a", cine())
    (folder / "copy.dcm").write_bytes((folder / "0003.dcm").read_bytes())
    (item,) = scan(folder, "dicom", ScanOptions())
    assert np.array_equal(item.conversion.convert().data, phantom())
    assert item.conversion.notes == ("1 file(s) are there twice; each was taken once",)


def test_a_file_cut_short_is_refused(tmp_path):
    folder = save(tmp_path / "a", cine())
    whole = (folder / "0002.dcm").read_bytes()
    (folder / "0002.dcm").write_bytes(whole[:-7])
    (item,) = scan(folder, "dicom", ScanOptions())
    assert "0002.dcm is truncated: 33 of 40 bytes" in item.conversion.problem
    for length in (140, 400, 600):
        (folder / "0002.dcm").write_bytes(whole[:length])
        assert all(i.conversion.problem for i in scan(folder, "dicom", ScanOptions())), length


def test_a_file_that_changes_after_it_was_looked_at_is_refused(tmp_path):
    folder = save(tmp_path / "a", cine())
    (item,) = scan(folder, "dicom", ScanOptions())
    (folder / "0002.dcm").write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(ImageError, match=r"0002\.dcm: its pixels cannot be decoded.*gdcmconv --raw"):
        item.conversion.convert()


def test_nothing_but_other_files_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("no image")
    with pytest.raises(ImageError, match=r"none of its 1 files is a DICOM image \(1 file left out: no DICOM\)"):
        scan(tmp_path, "dicom", ScanOptions())


def compressed(folder: Path, use: str) -> Path:
    """Write the phantom through GDCM with a compressed transfer syntax."""
    folder.mkdir()
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetImageIO("GDCMImageIO")
    writer.UseCompressionOn()
    writer.SetCompressor(use)
    data = phantom((1, 3, 16, 16))[0]
    for z in range(3):
        image = sitk.GetImageFromArray(data[z : z + 1])
        for tag, value in {
            "0008|0060": "MR",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.4",
            "0008|0018": f"1.2.5.{z + 1}",
            "0020|000d": "1.2.3",
            "0020|000e": "1.2.3.4",
            "0020|0032": f"0\\0\\{8 * z}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0028|0030": "1.5\\1.25",
            "0010|0020": PATIENT,
        }.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{z}.dcm"))
        writer.Execute(image)
    return folder


@pytest.mark.parametrize("syntax", ["JPEG", "JPEG2000", "JPEGLS", "RLE"])
def test_compressed_files_are_decoded(tmp_path, syntax):
    folder = compressed(tmp_path / syntax, syntax)
    (item,) = scan(folder, "dicom", ScanOptions())
    written = item.conversion.stack.files[0].syntax
    if written in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1"):
        pytest.skip(f"the installed SimpleITK cannot write {syntax}")
    assert np.array_equal(item.conversion.convert().data, phantom((1, 3, 16, 16)))


def test_a_syntax_that_cannot_be_decoded_is_named_with_a_remedy(tmp_path):
    pictures = cine()
    for one in each(pictures):
        one.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
        one["PixelData"].VR = "OB"
        one.PixelData = (
            b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x04\x00\x00\x00\0\0\0\1\xfe\xff\xdd\xe0\0\0\0\0"
        )
        one["PixelData"].is_undefined_length = True
    (item,) = scan(save(tmp_path / "a", pictures), "dicom", ScanOptions())
    with pytest.raises(ImageError, match=r"MPEG-4.*1\.2\.840\.10008\.1\.2\.4\.102.*gdcmconv --raw"):
        item.conversion.convert()


def test_no_message_names_the_patient_even_where_folders_do(tmp_path, caplog):
    for n, name in enumerate(("a slice missing", "two files with one UID", "no pixel data", "mixed patients")):
        change, _ = FAULTS[name]
        pictures = cine(phantom(SHAPE), SeriesInstanceUID=f"1.7.{n}")
        change(pictures)
        save(tmp_path / "Surname_Given" / PATIENT / str(n), pictures)
    (tmp_path / "Surname_Given" / "notes.txt").write_text(NAME)
    items = scan(tmp_path, "dicom", ScanOptions())
    told = repr(items) + caplog.text + "".join(i.conversion.problem + i.shown + str(i.conversion.notes) for i in items)
    told = told.replace(str(tmp_path / "Surname_Given"), "")  # paths of `Picture`s, which no message shows
    for item in items:
        shown = item.conversion.problem + item.shown
        for word in ("surname", "given", "4711"):
            assert word not in shown.lower()
    assert NAME not in told


def test_messages_about_contours_name_no_patient(tmp_path):
    save(tmp_path / "in", cine())
    (tmp_path / "in" / "Surname Given.cvi42wsx").write_text("<broken")
    with pytest.raises(LabelError) as error:
        scan(tmp_path / "in", "cvi42", ScanOptions())
    assert "is no cvi42 workspace" in str(error.value) and "urname" not in str(error.value).replace(str(tmp_path), "")


def test_a_short_name_is_taken_out_of_paths_and_not_out_of_words():
    redaction = Redaction(frozenset({"doe"}))
    assert redaction.text("Doe does; doe_1") == "… does; …_1"
    assert redaction.path(Path("a") / "JohnDoe" / "x.dcm") == "a/…/x.dcm"
