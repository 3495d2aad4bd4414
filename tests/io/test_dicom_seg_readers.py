"""Where other programs put a segmentation that was written here: SimpleITK (GDCM) and dcmqi (DCMTK, as in 3D Slicer).

GDCM 3.0 knows the distance of slices only where every position is there once. An object of several segments holds every
position once a segment; GDCM then falls back to a spacing of 1 mm on all three axes, though PixelMeasuresSequence
states it (ImageHelper::GetSpacingValue; also ITK-Wasm issue 991). Position and directions are right all the same.
"""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from napari_ssl.core.label_scheme import PRESETS, LabelScheme
from napari_ssl.io.dicom_seg import write_dicom_seg
from napari_ssl.io.dicom_series import SeriesIdentity, derived_series
from napari_ssl.io.geometry import Geometry

SHAPE = (3, 4, 6)  # (Z, Y, X); GDCM misreads the last pixels where rows × columns is no multiple of 8
GEOMETRY = Geometry(
    size_xyz=SHAPE[::-1],
    spacing_xyz=(1.25, 1.5, 8.0),
    origin_xyz=(-31.5, 12.25, 77.0),
    direction=tuple(Rotation.from_euler("xyz", (17, -31, 48), degrees=True).as_matrix().ravel()),
)
LABELS = np.random.default_rng(3).integers(0, 4, SHAPE).astype(np.uint8)


def write(path, labels, scheme):
    identity = SeriesIdentity(patient_id="s7", description="case7", key="k")
    series = derived_series(np.zeros((1, *SHAPE), np.int16), GEOMETRY, identity, frames=[0])
    sources = [series[0, z] for z in range(SHAPE[0])]
    write_dicom_seg(path, labels, sources, scheme, case_id="case7", frame=0, label_hash="x", by_hand=True)
    return path


def voxels_at(image, labels):
    """Labels that lie at the places of an image's voxels, looked up through its own geometry."""
    z, y, x = np.indices(sitk.GetArrayViewFromImage(image).shape).reshape(3, -1)
    turn = np.array(image.GetDirection()).reshape(3, 3)
    points = np.array(image.GetOrigin()) + (np.column_stack([x, y, z]) * image.GetSpacing()) @ turn.T
    matrix = np.array(GEOMETRY.direction).reshape(3, 3)
    index = (points - GEOMETRY.origin_xyz) @ matrix / GEOMETRY.spacing_xyz
    np.testing.assert_allclose(index, np.rint(index), atol=1e-4)
    i = np.rint(index).astype(int)
    return labels[i[:, 2], i[:, 1], i[:, 0]]


def test_simpleitk_puts_one_structure_where_it_is(tmp_path):
    labels = np.where(LABELS == 3, 3, 0).astype(np.uint8)
    image = sitk.ReadImage(str(write(tmp_path / "one.dcm", labels, LabelScheme.parse("3=LV:lv_cavity"))))
    assert image.GetSpacing() == pytest.approx(GEOMETRY.spacing_xyz)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).ravel() > 0, voxels_at(image, labels) == 3)


def test_simpleitk_knows_place_and_directions_of_several_structures_and_no_spacing(tmp_path):
    image = sitk.ReadImage(str(write(tmp_path / "three.dcm", LABELS, PRESETS["acdc"])))
    assert image.GetSize() == (6, 4, 9)
    corners = [GEOMETRY.origin_xyz, np.array(GEOMETRY.origin_xyz) + 16 * np.array(GEOMETRY.direction[2::3])]
    assert min(np.abs(np.array(image.GetOrigin()) - c).max() for c in corners) < 1e-4
    columns = np.array(image.GetDirection()).reshape(3, 3)[:, :2]
    np.testing.assert_allclose(columns, np.array(GEOMETRY.direction).reshape(3, 3)[:, :2], atol=1e-6)
    assert image.GetSpacing() == (1, 1, 1)  # the limit that docs/file_formats.md tells; when this fails, tell otherwise


@pytest.mark.skipif(shutil.which("segimage2itkimage") is None, reason="dcmqi is not installed (pip install dcmqi)")
def test_dcmqi_puts_all_structures_where_they_are(tmp_path):
    path = write(tmp_path / "three.dcm", LABELS, PRESETS["acdc"])
    command = ["segimage2itkimage", "--inputDICOM", str(path), "--outputDirectory", str(tmp_path), "-t", "nifti"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    names = [s[0]["SegmentLabel"] for s in json.loads((tmp_path / "meta.json").read_text())["segmentAttributes"]]
    assert names == ["RV", "Myo", "LV"]
    for value in (1, 2, 3):
        image = sitk.ReadImage(str(tmp_path / f"{value}.nii.gz"))
        assert image.GetSpacing() == pytest.approx(GEOMETRY.spacing_xyz)
        assert image.GetOrigin() == pytest.approx(GEOMETRY.origin_xyz, abs=1e-4)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image).ravel() == value, voxels_at(image, LABELS) == value)
