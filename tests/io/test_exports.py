from __future__ import annotations

import csv
import math
from itertools import permutations, product

import nibabel
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_ssl.core.curve import ClinicalIndices
from napari_ssl.errors import GeometryError, ImageError, StorageError
from napari_ssl.io.export_folder import exporting_to
from napari_ssl.io.exports import INDEX_COLUMNS, MeasuredCase, export_csv, export_nifti

INDICES = ClinicalIndices(
    lv_edv_ml=150,
    lv_esv_ml=60,
    lv_sv_ml=90,
    lv_ef_percent=60,
    lv_mass_g=120.12345,
    rv_edv_ml=160,
    rv_ef_percent=math.nan,
)


def test_table_has_the_columns_of_ukbb_cardiac(tmp_path):
    rows = [
        MeasuredCase(case_id="p1", indices=INDICES, cycle_ms=1000.0, facts={"subject": "s, 1", "decision": "accepted"}),
        MeasuredCase(case_id="p2", indices=ClinicalIndices(), facts={"subject": "s2"}),
    ]
    path = export_csv(tmp_path / "indices.csv", rows)
    with path.open(newline="", encoding="utf-8") as file:
        header, one, two = csv.reader(file)
    assert header == ["case", "subject", "decision", *INDEX_COLUMNS]
    assert header[3:9] == ["LVEDV (mL)", "LVESV (mL)", "LVSV (mL)", "LVEF (%)", "LVCO (L/min)", "LVM (g)"]
    assert (
        one
        == ["p1", "s, 1", "accepted", "150.000", "60.000", "90.000", "60.000", "5.400", "120.123", "160.000"] + [""] * 3
    )
    assert two == ["p2", "s2", ""] + [""] * 10


def test_cardiac_output_needs_the_duration_of_the_beat():
    assert math.isnan(MeasuredCase(case_id="p", indices=INDICES).values()[4])
    # 90 ml at 60 beats per minute
    assert MeasuredCase(case_id="p", indices=INDICES, cycle_ms=1000.0).values()[4] == pytest.approx(5.4)


def test_table_without_a_folder_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match=r"indices\.csv"):
        export_csv(tmp_path / "absent" / "indices.csv", [])


def _export(folder, case_id, labels, **more):
    with exporting_to(folder, protected=(more["image_path"],), overwrite=True) as target:
        export_nifti(target, case_id, labels, **more)
    return sorted(folder.glob("*_seg.nii.gz"))


def test_labels_lie_on_the_grid_of_their_image(nifti, tmp_path, cine):
    image = nifti(cine.T)
    labels = (cine % 4).astype(np.uint8)
    (path,) = _export(tmp_path / "out", "p1", labels, image_path=image)
    assert path.name == "p1_seg.nii.gz"
    written = nibabel.load(path)
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), labels.T)
    np.testing.assert_allclose(written.affine, nibabel.load(image).affine)


_TURNS = [(order, flips) for order in permutations(range(3)) for flips in product((1, -1), repeat=3)]


@pytest.mark.parametrize(("order", "flips"), _TURNS, ids=str)
def test_labels_keep_their_place_in_all_48_orientations_and_oblique(nifti, tmp_path, cine, order, flips):
    turn = np.zeros((3, 3))
    turn[range(3), order] = flips
    oblique = Rotation.from_euler("xyz", (17, -31, 48), degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = oblique @ turn @ np.diag([1.25, 1.5, 8.0])
    affine[:3, 3] = (-31.5, 12.25, 77.0)
    labels = (cine % 5).astype(np.uint8)  # no axis or direction is like another
    (path,) = _export(tmp_path / "out", "p1", labels, image_path=nifti(cine.T, affine=affine))
    written = nibabel.load(path)
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), labels.T)
    np.testing.assert_allclose(written.affine, affine, atol=1e-4)


def test_labels_of_a_header_with_a_unit_sform_get_its_pixdim(nifti, tmp_path, cine):
    """The trap of the original ACDC files: an sform of unit scale beside a true pixdim."""
    unit = nifti(cine.T, affine=np.eye(4), pixdim=(1.5625, 1.5625, 10.0))
    (path,) = _export(tmp_path / "out", "p1", (cine % 4).astype(np.uint8), image_path=unit)
    assert nibabel.load(path).header.get_zooms()[:3] == pytest.approx((1.5625, 1.5625, 10.0))


def test_only_labelled_frames_are_written_counted_from_one(nifti, tmp_path, cine):
    labels = (cine % 4).astype(np.uint8)
    first, third = _export(tmp_path / "out", "p1", labels, image_path=nifti(cine.T), frames=[2, 0])
    assert (first.name, third.name) == ("p1_frame01_seg.nii.gz", "p1_frame03_seg.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(nibabel.load(third).dataobj), labels[2].T)


def test_labels_of_another_shape_are_refused(nifti, tmp_path, cine):
    with pytest.raises(GeometryError, match=r"case p1: labels have shape \(1, 4, 5, 6\).*put the original back"):
        _export(tmp_path, "p1", np.zeros((1, 4, 5, 6), np.uint8), image_path=nifti(cine.T))


def test_original_is_never_replaced(nifti, tmp_path, cine):
    image = nifti(cine.T, "p1_seg.nii.gz")
    before = image.read_bytes()
    with pytest.raises(StorageError, match="is one of its images, which an export never changes"):
        _export(tmp_path, "p1", np.zeros(cine.shape, np.uint8), image_path=image)
    assert image.read_bytes() == before


def test_missing_original_and_blocked_folder(nifti, tmp_path, cine):
    labels = np.zeros(cine.shape, np.uint8)
    with pytest.raises(ImageError, match="no such file"):
        _export(tmp_path, "p1", labels, image_path=tmp_path / "absent.nii.gz")
    (tmp_path / "blocked").touch()
    with pytest.raises(StorageError, match="blocked"):
        _export(tmp_path / "blocked" / "out", "p1", labels, image_path=nifti(cine.T))
