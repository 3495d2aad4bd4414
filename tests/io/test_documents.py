from __future__ import annotations

import math

import pytest

from napari_ssl.errors import StorageError
from napari_ssl.io.documents import read_document, write_document


def test_document_comes_back(tmp_path):
    path = tmp_path / "new" / "x.json"
    write_document(path, {"dice": 0.9, "frames": [0, 8], "text": "Ä"})
    assert read_document(path) == {"dice": 0.9, "frames": [0, 8], "text": "Ä"}


def test_absent_or_damaged_document_reads_as_none(tmp_path):
    assert read_document(tmp_path / "absent.json") is None
    (tmp_path / "x.json").write_text('{"half": ')
    assert read_document(tmp_path / "x.json") is None


def test_nan_is_refused_and_the_old_document_kept(tmp_path):
    write_document(tmp_path / "x.json", 1)
    with pytest.raises(ValueError, match="JSON"):
        write_document(tmp_path / "x.json", {"dice": math.nan})
    assert read_document(tmp_path / "x.json") == 1


def test_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "blocked").touch()
    with pytest.raises(StorageError, match="blocked"):
        write_document(tmp_path / "blocked" / "x.json", 1)
