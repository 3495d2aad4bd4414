from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import ImageError, LabelError
from napari_ssl.io.images import check_grid, read_labels

ACDC = PRESETS["acdc"]


@pytest.fixture
def labels() -> np.ndarray:
    values = np.zeros((3, 4, 5, 6), np.uint8)
    values[1, 2, 3] = (0, 1, 2, 3, 3, 0)
    return values


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_whole_numbers_of_any_type_are_read_as_uint8(nifti, labels, dtype):
    read = read_labels(nifti(labels.astype(dtype).T), expected_shape_tzyx=(3, 4, 5, 6), scheme=ACDC)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, labels)


def test_fractions_are_refused(nifti, labels):
    values = labels.astype(np.float32)
    values[0, 0, 0, :2] = 1.5
    with pytest.raises(LabelError, match=r"image\.nii\.gz: label value 1\.5 is not a whole number \(2 voxels.*nearest"):
        read_labels(nifti(values.T))


@pytest.mark.parametrize(("value", "dtype"), [(-1, np.int16), (256, np.int16), (1000, np.float32)])
def test_values_outside_a_byte_are_refused(nifti, labels, value, dtype):
    values = labels.astype(dtype)
    values[0, 0, 0, 0] = value
    with pytest.raises(LabelError, match=rf"image\.nii\.gz: label value {value:g} is outside 0 to 255; map it"):
        read_labels(nifti(values.T))


def test_nan_is_a_label_error(nifti, labels):
    values = labels.astype(np.float32)
    values[0, 0, 0, 0] = np.nan
    with pytest.raises(LabelError, match=r"image\.nii\.gz.*NaN"):
        read_labels(nifti(values.T))


def test_value_outside_the_scheme_is_refused(nifti, labels):
    labels[0, 0, 0, 0] = 4
    path = nifti(labels.T)
    assert read_labels(path).max() == 4
    with pytest.raises(LabelError, match=r"image\.nii\.gz: label value 4 is not in the label scheme 'acdc'.*correct"):
        read_labels(path, scheme=ACDC)


def test_shape_that_differs_from_the_image_is_refused(nifti, labels):
    with pytest.raises(LabelError, match=r"image\.nii\.gz: label map has shape .*\(3, 4, 5, 6\).*\(1, 4, 5, 6\); name"):
        read_labels(nifti(labels.T), expected_shape_tzyx=(1, 4, 5, 6))


def test_unreadable_file_stays_an_image_error(tmp_path):
    (tmp_path / "x.nii.gz").touch()
    with pytest.raises(ImageError, match="empty"):
        read_labels(tmp_path / "x.nii.gz", expected_shape_tzyx=(1, 1, 1, 1))


def test_labels_elsewhere_in_space_are_refused(nifti, labels):
    image = nifti(labels.T, "image.nii.gz")
    check_grid(nifti(labels[0].T, "same.nii.gz"), image)
    moved = np.diag([-1.5, -1.5, 8.0, 1.0])
    moved[2, 3] = 4.0
    with pytest.raises(LabelError, match=r"moved\.nii\.gz.*grid of image\.nii\.gz: origin.*resample"):
        check_grid(nifti(labels[0].T, "moved.nii.gz", affine=moved), image)
