from __future__ import annotations

import hashlib

import numpy as np
import pytest

from napari_ssl.errors import ImageError
from napari_ssl.io.images import hash_file, hash_labels


def test_hash_of_a_file_is_sha256_of_its_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert hash_file(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(ImageError, match="cannot be read"):
        hash_file(tmp_path / "absent")


def test_hash_of_labels_depends_on_shape_and_values_only():
    labels = np.arange(24, dtype=np.uint8).reshape(1, 2, 3, 4)
    assert hash_labels(labels) == hashlib.sha256(b"1,2,3,4;" + labels.tobytes()).hexdigest()
    assert hash_labels(np.asfortranarray(labels)) == hash_labels(labels)
    assert hash_labels(labels.astype(np.int32)) == hash_labels(labels)
    assert hash_labels(labels.reshape(1, 2, 4, 3)) != hash_labels(labels)
    assert hash_labels(labels + 1) != hash_labels(labels)
