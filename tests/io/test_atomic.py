from __future__ import annotations

import pytest

from napari_ssl.errors import StorageError
from napari_ssl.io.atomic import TEMPORARY_GLOB, replacing, write_bytes


def test_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "x.nii.gz"
    path.write_bytes(b"old")
    with replacing(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(".nii.gz")
        assert list(tmp_path.glob(TEMPORARY_GLOB)) == [temporary]
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_block_that_raises_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise KeyError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_in_the_way_is_a_storage_error(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(StorageError, match=r"could not be written whole.*bytes are free"):
        write_bytes(tmp_path / "x", b"content")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
