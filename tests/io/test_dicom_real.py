from __future__ import annotations

import tarfile

import nibabel
import numpy as np

from napari_ssl.io.layouts import ScanOptions, scan


def test_the_real_cine_equals_its_nifti(shared_data, tmp_path):
    """The NIfTI file is a crop of 128 × 128 pixels, its labels lie on it; found by the crop's own values."""
    with tarfile.open(shared_data / "sunnybrook_dicom" / "SCD0000301_dicom.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    (item,) = scan(tmp_path, options=ScanOptions())
    converted = item.conversion.convert()
    image = nibabel.load(shared_data / "sunnybrook_cine" / "SCD0000301_4d_crop.nii.gz")
    expected = np.asarray(image.dataobj).T
    row, column = 61, 68  # where the crop begins
    assert np.array_equal(converted.data[:, :, row : row + 128, column : column + 128], expected)
    assert np.allclose(converted.geometry.spacing_xyz, image.header.get_zooms()[:3], atol=1e-3)
    assert converted.source["frame_times_ms"][:3] == [10, 56, 102]
    assert converted.geometry.frame_interval_ms == np.float64(876 / 19).round(6)  # heart rate 65: 923 ms in 20 phases
    # Position and directions as the files of the first and last slice state them.
    assert converted.geometry.origin_xyz == (16.6662, -247.248, 81.9175)
    matrix = np.array(converted.geometry.direction).reshape(3, 3)
    last = np.array(converted.geometry.origin_xyz) + matrix[:, 2] * converted.geometry.spacing_xyz[2] * 9
    assert np.allclose(last, (-28.7592, -199.666, 111.184), atol=2e-3)
    assert np.isclose(np.linalg.det(matrix), 1)
