from __future__ import annotations

import dataclasses
import subprocess
import sys
from itertools import permutations, product

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from napari_ssl.core.label_scheme import PRESETS, LabelScheme
from napari_ssl.errors import GeometryError, ImageError, LabelError
from napari_ssl.io.dicom_seg import is_dicom_seg, read_dicom_seg, write_dicom, write_dicom_seg
from napari_ssl.io.dicom_series import SeriesIdentity, derived_series
from napari_ssl.io.geometry import Geometry

SHAPE = (2, 3, 4, 6)  # (T, Z, Y, X); GDCM misreads the last pixel where rows × columns is no multiple of 8
ACDC = PRESETS["acdc"]
IDENTITY = SeriesIdentity(patient_id="s7", description="case7", key="ab" * 32)


def _geometry(order=(0, 1, 2), flips=(1, 1, 1)) -> Geometry:
    turn = np.zeros((3, 3))
    turn[range(3), order] = flips
    matrix = Rotation.from_euler("xyz", (17, -31, 48), degrees=True).as_matrix() @ turn
    return Geometry(
        size_xyz=SHAPE[:0:-1],
        spacing_xyz=(1.25, 1.5, 8.0),
        origin_xyz=(-31.5, 12.25, 77.0),
        direction=tuple(matrix.ravel()),
        is_4d=True,
    )


def _labels(seed: int = 0) -> np.ndarray:
    labels = np.random.default_rng(seed).integers(0, 4, SHAPE[1:]).astype(np.uint8)
    labels[0] = 0  # a slice without labels is a slice all the same
    return labels


def _image() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4000, SHAPE).astype(np.int16)


def _written(folder, geometry, labels, scheme=ACDC, frame=1):
    series = derived_series(_image(), geometry, IDENTITY, frames=[frame])
    sources = [series[frame, z] for z in range(SHAPE[1])]
    path = folder / "seg.dcm"
    about = {"case_id": "case7", "frame": frame, "label_hash": "cd" * 32, "by_hand": False}
    write_dicom_seg(path, labels, sources, scheme, **about)
    return path, sources


def _at(labels, geometry, points_mm):
    """Look labels (Z, Y, X) up at patient coordinates."""
    matrix = np.array(geometry.direction).reshape(3, 3)
    index = np.rint((points_mm - geometry.origin_xyz) @ matrix / geometry.spacing_xyz).astype(int)
    assert (index >= 0).all() and (index < labels.shape[::-1]).all()
    return labels[index[:, 2], index[:, 1], index[:, 0]]


def _points(geometry):
    z, y, x = np.indices(SHAPE[1:]).reshape(3, -1)
    voxels = np.column_stack([x, y, z])
    matrix = np.array(geometry.direction).reshape(3, 3)
    return np.array(geometry.origin_xyz) + (voxels * geometry.spacing_xyz) @ matrix.T


_TURNS = [(order, flips) for order in permutations(range(3)) for flips in product((1, -1), repeat=3)]


@pytest.mark.parametrize(("order", "flips"), _TURNS, ids=str)
def test_labels_come_back_at_their_place_in_all_48_orientations_and_oblique(tmp_path, order, flips):
    geometry, labels = _geometry(order, flips), _labels()
    path, _ = _written(tmp_path, geometry, labels)
    found = read_dicom_seg(path)
    assert found.names == {1: "RV", 2: "Myo", 3: "LV"} and found.frame == 1
    np.testing.assert_array_equal(_at(found.labels, found.geometry, _points(geometry)), labels.ravel())
    x, y, z = np.array(found.geometry.direction).reshape(3, 3).T
    np.testing.assert_allclose(np.cross(x, y), z, atol=1e-6)  # slices run along row × column, as images are sorted


def test_another_reader_finds_the_same_labels_at_the_same_positions(tmp_path):
    """Pixels through SimpleITK (GDCM), positions and segments from the tags: none of our reading is used."""
    geometry, labels = _geometry(flips=(1, -1, -1)), _labels(3)
    path, sources = _written(tmp_path, geometry, labels)
    bits = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    tags = pydicom.dcmread(path)
    found = np.zeros(SHAPE[1:], np.uint8)
    planes = {tuple(np.round([float(v) for v in s.ImagePositionPatient], 6)): z for z, s in enumerate(sources)}
    for plane, groups in zip(bits, tags.PerFrameFunctionalGroupsSequence, strict=True):
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        segment = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found[planes[tuple(np.round([float(v) for v in position], 6))]][plane > 0] = segment
    np.testing.assert_array_equal(found, labels)
    shared = tags.SharedFunctionalGroupsSequence[0]
    assert [float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing] == [1.5, 1.25]  # rows, then columns
    referred = {i.ReferencedSOPInstanceUID for i in tags.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referred == {s.SOPInstanceUID for s in sources}
    meanings = [s.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for s in tags.SegmentSequence]
    assert meanings == ["Right ventricle", "Myocardium", "Left ventricle"]


def test_the_pictures_of_a_phase_are_the_image_for_any_dicom_reader(tmp_path):
    geometry = _geometry()  # right-handed: ITK sorts slices along row × column
    series = derived_series(_image(), geometry, IDENTITY, frames=[1], frame_times_ms=[0.0, 31.25])
    for (_, z), picture in series.items():
        write_dicom(tmp_path / f"{9 - z}.dcm", picture)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    image = sitk.ReadImage(names)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), _image()[1])
    np.testing.assert_allclose(image.GetDirection(), geometry.direction, atol=1e-6)
    np.testing.assert_allclose(image.GetSpacing(), geometry.spacing_xyz, atol=1e-6)
    np.testing.assert_allclose(image.GetOrigin(), geometry.origin_xyz, atol=1e-6)
    assert {float(p.TriggerTime) for p in series.values()} == {31.25}
    assert {int(p.TemporalPositionIdentifier) for p in series.values()} == {2}


@pytest.mark.parametrize(
    "image", [_image() - 2000.0, _image() / 7.0, _image() * 40.0], ids=["negative", "float", "wide"]
)
def test_values_that_are_no_16_bit_integers_come_back_through_the_rescale(image):
    series = derived_series(image, _geometry(), IDENTITY, frames=[0])
    for (_, z), picture in series.items():
        values = picture.pixel_array * float(picture.RescaleSlope) + float(picture.RescaleIntercept)
        np.testing.assert_allclose(values, image[0, z], atol=np.ptp(image) / 65535)


def test_an_object_names_nobody_and_keeps_its_identity_when_written_again(tmp_path):
    path, sources = _written(tmp_path, _geometry(), _labels())
    first = pydicom.dcmread(path)
    for tags in (first, *sources):
        assert tags.PatientID == "s7" and str(tags.PatientName) == "s7^" and tags.PatientIdentityRemoved == "YES"
        people = {str(e.value) for e in tags.iterall() if e.VR == "PN"}
        assert people <= {"s7^", ""}
        assert not tags.PatientBirthDate
    assert pydicom.dcmread(_written(tmp_path, _geometry(), _labels())[0]).SOPInstanceUID == first.SOPInstanceUID


def test_uids_of_the_original_series_are_kept(tmp_path):
    own = dataclasses.replace(
        IDENTITY,
        study_uid="2.25.1",
        series_uid="2.25.2",
        frame_of_reference_uid="2.25.3",
        instance_uids=[[f"2.25.{10 * t + z + 100}" for z in range(3)] for t in range(2)],
    )
    picture = derived_series(_image(), _geometry(), own, frames=[1])[1, 2]
    uids = (picture.StudyInstanceUID, picture.SeriesInstanceUID, picture.FrameOfReferenceUID, picture.SOPInstanceUID)
    assert uids == ("2.25.1", "2.25.2", "2.25.3", "2.25.112")


def test_label_values_with_gaps_come_back_by_the_names_of_the_structures(tmp_path):
    scheme = LabelScheme.parse("10=LV:lv_cavity,200=Scar tissue")
    labels = np.array([0, 10, 200], np.uint8)[_labels() % 3]
    path, _ = _written(tmp_path, _geometry(), labels, scheme)
    found = read_dicom_seg(path)
    assert found.names == {1: "LV", 2: "Scar tissue"}
    np.testing.assert_array_equal(np.sort(np.unique(found.in_scheme(scheme, "x"))), [0, 10, 200])
    np.testing.assert_array_equal(
        _at(found.in_scheme(scheme, "x"), found.geometry, _points(_geometry())), labels.ravel()
    )
    with pytest.raises(LabelError, match="segment 'Scar tissue' is no structure of the label scheme 'acdc'"):
        found.in_scheme(ACDC, "seg.dcm")


def test_labels_that_do_not_fit_their_pictures_are_refused(tmp_path):
    series = derived_series(_image(), _geometry(), IDENTITY, frames=[0])
    about = {"case_id": "c", "frame": 0, "label_hash": "x", "by_hand": True}
    with pytest.raises(GeometryError, match=r"frame 0: labels \(Z, Y, X\) = \(3, 4, 6\).*got 2"):
        write_dicom_seg(tmp_path / "s.dcm", _labels(), [series[0, 0], series[0, 1]], ACDC, **about)
    with pytest.raises(LabelError, match="label value 9"):
        write_dicom_seg(tmp_path / "s.dcm", np.full(SHAPE[1:], 9, np.uint8), list(series.values()), ACDC, **about)
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_no_segmentation(tmp_path):
    picture = derived_series(_image(), _geometry(), IDENTITY, frames=[0])[0, 0]
    write_dicom(tmp_path / "picture.dcm", picture)
    (tmp_path / "text.dcm").write_text("no DICOM")
    for name in ("picture.dcm", "text.dcm", "absent.dcm"):
        assert not is_dicom_seg(tmp_path / name)
        with pytest.raises(ImageError, match="is no DICOM Segmentation object"):
            read_dicom_seg(tmp_path / name)


def test_a_damaged_segmentation_is_refused_in_words(tmp_path):
    path, _ = _written(tmp_path, _geometry(), _labels())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ImageError, match=r"seg\.dcm: this DICOM Segmentation cannot be read"):
        read_dicom_seg(path)


_FULL_DISK = """
import resource, sys
import pydicom
from napari_ssl.errors import StorageError
from napari_ssl.io.dicom_seg import write_dicom

picture = pydicom.dcmread(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_dicom(sys.argv[2], picture)
except StorageError as error:
    print(error)
"""


def test_a_disk_that_is_full_is_told_in_words(tmp_path):
    pytest.importorskip("resource")  # limits of a process are Unix's
    series = derived_series(
        np.zeros((1, 1, 160, 160), np.int16),
        Geometry(size_xyz=(160, 160, 1), spacing_xyz=(1.0, 1.0, 1.0)),
        SeriesIdentity(patient_id="p", description="d", key="k"),
        frames=[0],
    )
    write_dicom(tmp_path / "source.dcm", series[0, 0])
    command = [sys.executable, "-c", _FULL_DISK, str(tmp_path / "source.dcm"), str(tmp_path / "out.dcm")]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    assert said.startswith(f"{tmp_path / 'out.dcm'}: could not be written whole (File too large);")
    assert "Errno" not in said and "With tag" not in said
    assert not (tmp_path / "out.dcm").exists()
