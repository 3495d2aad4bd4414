"""NIfTI files made in memory are what SimpleITK writes, and files of a group are whole and synced together."""

from __future__ import annotations

import gzip
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_ssl.errors import GeometryError, StorageError
from napari_ssl.io import group_sync
from napari_ssl.io.group_sync import GroupSync, place_bytes, sync_files
from napari_ssl.io.images import Geometry, read_image, write_volume
from napari_ssl.io.nifti_bytes import nifti_bytes

numbers = st.floats(-300, 300, allow_nan=False)
spacings = st.floats(0.3, 12, allow_nan=False)


@st.composite
def volumes(draw):
    kind = draw(st.sampled_from(["2d", "3d", "4d"]))
    size = (*draw(st.tuples(*[st.integers(1, 9)] * 2)), 1 if kind == "2d" else draw(st.integers(1, 5)))
    angles = (
        [0, 0, draw(st.floats(0, 6.2))] if kind == "2d" else draw(st.lists(st.floats(0, 6.2), min_size=3, max_size=3))
    )
    geometry = Geometry(
        size_xyz=size,
        spacing_xyz=draw(st.tuples(spacings, spacings, st.just(1.0) if kind == "2d" else spacings)),
        origin_xyz=draw(st.tuples(numbers, numbers, st.just(0.0) if kind == "2d" else numbers)),
        direction=tuple(Rotation.from_euler("xyz", angles).as_matrix().ravel()),
        is_2d=kind == "2d",
        is_4d=kind == "4d",
        frame_interval_ms=draw(st.sampled_from([None, 25.0, 43.5])) if kind == "4d" else None,
    )
    n_frames = draw(st.integers(1, 4)) if kind == "4d" else 1
    seed = draw(st.integers(0, 99))
    return np.random.default_rng(seed).integers(0, 4, (n_frames, *size[::-1])).astype(np.uint8), geometry


@settings(max_examples=40, deadline=None)
@given(made=volumes(), is_labels=st.booleans())
def test_the_bytes_are_those_that_simpleitk_writes(tmp_path_factory, made, is_labels):
    array, geometry = made
    path = tmp_path_factory.mktemp("n") / "a.nii.gz"
    write_volume(path, array, geometry)
    content = nifti_bytes(array, geometry, is_labels=is_labels)
    assert gzip.decompress(content) == gzip.decompress(path.read_bytes())
    assert content == nifti_bytes(array.copy(), geometry, is_labels=is_labels)


def test_it_is_read_back_as_it_was(tmp_path):
    geometry = Geometry(size_xyz=(7, 6, 3), spacing_xyz=(1.25, 1.5, 8.0), origin_xyz=(-3.5, 10, 99), is_4d=True)
    array = np.arange(2 * 3 * 6 * 7, dtype=np.uint8).reshape(2, 3, 6, 7)
    (tmp_path / "a.nii.gz").write_bytes(nifti_bytes(array, geometry, is_labels=False))
    again = read_image(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(again.data, array)
    assert geometry.differs(again.geometry) is None


@pytest.mark.parametrize(
    "array",
    [np.zeros((1, 3, 6, 7), np.int16), np.zeros((1, 3, 6, 8), np.uint8), np.zeros((3, 6, 7), np.uint8)],
)
def test_what_does_not_fit_is_refused(array):
    geometry = Geometry(size_xyz=(7, 6, 3), spacing_xyz=(1, 1, 1))
    with pytest.raises(GeometryError, match=r"uint8 of that size"):
        nifti_bytes(array, geometry, is_labels=True)
    with pytest.raises(GeometryError):  # several frames of a 3D image
        nifti_bytes(np.zeros((2, 3, 6, 7), np.uint8), geometry, is_labels=True)


def test_a_file_of_a_group_is_whole_at_once_and_synced_when_its_time_has_come(tmp_path, monkeypatch):
    synced, clock = [], [0.0]
    monkeypatch.setattr(group_sync, "_sync_file", synced.append)
    monkeypatch.setattr(group_sync.time, "monotonic", lambda: clock[0])
    group = GroupSync(interval_s=2.0)
    group.sync_when_due()
    group.write(tmp_path / "a", b"1")
    assert (tmp_path / "a").read_bytes() == b"1" and os.listdir(tmp_path) == ["a"]
    group.sync_when_due()
    clock[0] = 1.9
    group.write(tmp_path / "b", b"2")
    group.sync_when_due()
    assert not synced
    clock[0] = 2.0
    group.sync_when_due()
    assert sorted(synced) == [tmp_path / "a", tmp_path / "b"]
    group.sync()
    assert len(synced) == 2


def test_a_refused_write_leaves_what_was_there(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(group_sync.os, "replace", refuse)
    with pytest.raises(StorageError, match="No space left"):
        place_bytes(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]


def test_a_disk_that_refuses_to_sync_is_told_and_a_file_that_moved_on_is_not(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"1")
    sync_files([tmp_path / "a", tmp_path / "b", tmp_path / "gone"])

    def refuse(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(group_sync.os, "fsync", refuse)
    with pytest.raises(StorageError, match="Input/output error"):
        sync_files([tmp_path / "a", tmp_path / "b"])
