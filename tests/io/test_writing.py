from __future__ import annotations

import itertools
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import napari_ssl.io.writing as writing
from napari_ssl.errors import GeometryError, ImageError, StorageError
from napari_ssl.io.images import Geometry, read_header, read_image, write_volume

OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix() @ np.diag([1.3, 1.3, 9.0])
OBLIQUE[:3, 3] = (-77.123, 12.5, 300.7)


def affines():
    for order, signs in itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)):
        affine = np.diag([0.0, 0.0, 0.0, 1.0])
        affine[:3, :3][order, range(3)] = np.array(signs) * (1.5, 2.0, 8.0)
        affine[:3, 3] = (11, -22, 33)
        yield pytest.param(affine, id="".join(nibabel.aff2axcodes(affine)))
    yield pytest.param(OBLIQUE, id="oblique")
    yield pytest.param(OBLIQUE @ np.diag([1, 1, -1, 1]), id="oblique-mirrored")


@pytest.mark.parametrize("affine", list(affines()))
def test_round_trip_keeps_the_place_of_every_voxel(nifti, tmp_path, cine, affine):
    source = nifti(cine.T, affine=affine)
    image = read_image(source)
    write_volume(tmp_path / "copy.nii.gz", image.data, image.geometry)
    copy = nibabel.load(tmp_path / "copy.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(copy.dataobj), cine.T)
    np.testing.assert_allclose(copy.affine, affine, rtol=0, atol=2e-5)
    np.testing.assert_allclose(copy.get_qform(), affine, rtol=0, atol=1e-4)
    assert read_header(tmp_path / "copy.nii.gz").geometry.differs(image.geometry) is None


@pytest.mark.parametrize("n_axes", [2, 3, 4])
def test_number_of_axes_is_kept(nifti, tmp_path, cine, n_axes):
    image = read_image(nifti({2: cine[0, 0], 3: cine[0], 4: cine}[n_axes].T))
    write_volume(tmp_path / "copy.nii.gz", image.data > 50, image.geometry)
    copy = nibabel.load(tmp_path / "copy.nii.gz")
    assert copy.ndim == n_axes
    assert copy.get_data_dtype() == np.uint8
    assert read_header(tmp_path / "copy.nii.gz").geometry == image.geometry


def test_header_trap_is_written_with_the_scale_in_both_places(shared_data, tmp_path):
    image = read_image(shared_data / "header_trap" / "patient045_frame01_gt.nii.gz")
    write_volume(tmp_path / "copy.nii.gz", image.data, image.geometry)
    header = nibabel.load(tmp_path / "copy.nii.gz").header
    np.testing.assert_allclose(header.get_zooms(), (1.5625, 1.5625, 10.0))
    np.testing.assert_allclose(np.linalg.norm(header.get_sform()[:3, :3], axis=0), (1.5625, 1.5625, 10.0))


@pytest.mark.parametrize("interval", [None, 31.25, 42.0])
def test_time_step_is_kept(tmp_path, cine, interval):
    geometry = Geometry(size_xyz=(6, 5, 4), spacing_xyz=(1.5, 1.5, 8), is_4d=True, frame_interval_ms=interval)
    write_volume(tmp_path / "copy.nii.gz", cine, geometry)
    assert read_header(tmp_path / "copy.nii.gz").frame_interval_ms == interval


def test_one_frame_of_a_4d_geometry_can_be_written(tmp_path, cine):
    geometry = Geometry(size_xyz=(6, 5, 4), spacing_xyz=(1.5, 1.5, 8), is_4d=True)
    write_volume(tmp_path / "one.nii.gz", cine[1:2], geometry)
    np.testing.assert_array_equal(read_image(tmp_path / "one.nii.gz").data, cine[1:2])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("name", ["copy.nii", "copy.nii.gz"])
def test_type_is_kept(tmp_path, cine, dtype, name):
    geometry = Geometry(size_xyz=(6, 5, 4), spacing_xyz=(1.5, 1.5, 8), is_4d=True)
    array = (cine % 200).astype(dtype)
    write_volume(tmp_path / name, array, geometry)
    copy = read_image(tmp_path / name).data
    assert copy.dtype == dtype
    np.testing.assert_array_equal(copy, array)


def test_array_that_does_not_fit_is_refused(tmp_path, cine):
    geometry = Geometry(size_xyz=(6, 5, 4), spacing_xyz=(1.5, 1.5, 8))
    for array in (cine, cine[0], cine[:1, :3], cine[:1].swapaxes(2, 3)):
        with pytest.raises(GeometryError, match=r"does not fit the image.*\(1, 4, 5, 6\)"):
            write_volume(tmp_path / "x.nii.gz", array, geometry)
    assert list(tmp_path.iterdir()) == []


def test_values_and_suffixes_that_nifti_cannot_hold_are_refused(tmp_path, cine):
    geometry = Geometry(size_xyz=(6, 5, 4), spacing_xyz=(1.5, 1.5, 8), is_4d=True)
    with pytest.raises(ImageError, match="float16"):
        write_volume(tmp_path / "x.nii.gz", cine.astype(np.float16), geometry)
    with pytest.raises(ImageError, match="NaN"):
        write_volume(tmp_path / "x.nii.gz", np.full(cine.shape, np.nan), geometry)
    with pytest.raises(ImageError, match=r"\.nii\.gz"):
        write_volume(tmp_path / "x.png", cine, geometry)
    assert list(tmp_path.iterdir()) == []


_WRITE_UNDER_A_LIMIT = """
import sys
import numpy as np
from napari_ssl.errors import StorageError
from napari_ssl.io.images import Geometry, write_volume
noise = np.random.default_rng(0).integers(0, 255, (1, 20, 100, 100)).astype(np.uint8)
try:
    geometry = Geometry(size_xyz=(100, 100, 20), spacing_xyz=(1, 1, 1))
    write_volume(sys.argv[1], noise, geometry, verify=sys.argv[2] == "verify")
except StorageError as error:
    print(error)
    sys.exit(7)
"""


def _write_in_a_process(path: Path, verify: str, limit: int | None) -> subprocess.CompletedProcess[str]:
    def restrict() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-c", _WRITE_UNDER_A_LIMIT, str(path), verify]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=restrict, check=False)


@pytest.mark.parametrize("verify", ["verify", "no"])
@pytest.mark.parametrize("name", ["labels.nii.gz", "labels.nii"])
def test_file_that_cannot_be_written_whole_leaves_the_old_one(tmp_path, name, verify):
    path = tmp_path / name
    path.write_bytes(b"the old one")
    result = _write_in_a_process(path, verify, limit=50_000)
    assert result.returncode == 7, result.stderr
    assert str(path) in result.stdout
    assert "could not be written whole" in result.stdout
    assert "bytes are free" in result.stdout
    assert "make space" in result.stdout
    assert path.read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_full_disk_leaves_the_old_file(tmp_path):
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or not mount or not umount:
        pytest.skip("only root can mount a small disk; the test with a file size limit stands in")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=100k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here; the test with a file size limit stands in")
    try:
        path = disk / "labels.nii.gz"
        path.write_bytes(b"the old one")
        result = _write_in_a_process(path, "verify", limit=None)
        assert result.returncode == 7, result.stderr
        assert str(path) in result.stdout
        assert path.read_bytes() == b"the old one"
        assert [p.name for p in disk.iterdir()] == [path.name]
    finally:
        subprocess.run([umount, disk], check=True)


def test_missing_folder_is_a_storage_error(tmp_path, cine):
    geometry = Geometry(size_xyz=(6, 5, 4), spacing_xyz=(1.5, 1.5, 8), is_4d=True)
    with pytest.raises(StorageError, match=r"absent/x\.nii\.gz.*No such file"):
        write_volume(tmp_path / "absent" / "x.nii.gz", cine, geometry)


def test_folder_without_permission_is_a_storage_error(tmp_path, cine, monkeypatch):
    def refuse(*_args: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("napari_ssl.io.atomic.os.open", refuse)
    geometry = Geometry(size_xyz=(6, 5, 4), spacing_xyz=(1.5, 1.5, 8), is_4d=True)
    with pytest.raises(StorageError, match=r"x\.nii\.gz.*Permission denied.*check the permissions"):
        write_volume(tmp_path / "x.nii.gz", cine, geometry)


def test_what_is_read_back_is_compared(tmp_path, cine, monkeypatch):
    geometry = Geometry(size_xyz=(6, 5, 4), spacing_xyz=(1.5, 1.5, 8), is_4d=True)
    path = tmp_path / "x.nii.gz"
    write_volume(path, cine, geometry)
    before = path.read_bytes()

    def other_pixels(read: Path):
        image = read_image(read)
        image.data[0, 0, 0, 0] += 1
        return image

    def other_place(read: Path):
        image = read_image(read)
        image.geometry = replace(image.geometry, origin_xyz=(0, 0, 5))
        return image

    for reader, message in ((other_pixels, "read back differs"), (other_place, "origin")):
        monkeypatch.setattr(writing, "read_image", reader)
        with pytest.raises(StorageError, match=message):
            write_volume(path, cine + 1, geometry)
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_file_that_came_out_empty_is_told_in_words_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_ssl.io.writing.sitk.WriteImage", lambda *_args, **_kwargs: None)  # as on a full disk
    with pytest.raises(StorageError) as error:
        write_volume(
            tmp_path / "a.nii.gz", np.zeros((1, 2, 2, 2), np.uint8), Geometry(size_xyz=(2, 2, 2), spacing_xyz=(1, 1, 1))
        )
    assert str(error.value).startswith(
        f"{tmp_path / 'a.nii.gz'}: could not be written whole (the new file is empty (0 bytes));"
    )
