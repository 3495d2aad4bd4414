"""Headers that SimpleITK takes for something else, or tells about in the terminal only."""

from __future__ import annotations

import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from napari_ssl.errors import GeometryError, ImageError
from napari_ssl.io.images import read_header, read_image

FIELDS = {"NDims": "3", "DimSize": "4 4 4", "ElementType": "MET_SHORT", "ElementDataFile": "LOCAL"}


def meta(path: Path, data: bytes = b"\0" * 128, **changes: str | None) -> Path:
    fields = {"ObjectType": "Image", **FIELDS, **changes}
    lines = [f"{k} = {v}\n" for k, v in fields.items() if v is not None]
    path.write_bytes("".join(lines).encode() + data)
    return path


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"DimSize": None}, "no DimSize"),
        ({"ElementType": None}, "no ElementType"),
        ({"DimSize": "-4 4 4"}, "-4 4 4"),
        ({"NDims": "99"}, "NDims '99'"),
        ({"DimSize": "100000 100000 100000"}, "truncated: holds 128 of 2000000000000000 bytes"),
        ({"ElementDataFile": "gone.raw"}, "gone.raw"),
    ],
)
def test_damaged_meta_headers_are_one_message(tmp_path: Path, capfd, changes: dict, part: str):
    path = meta(tmp_path / "image.mha", **changes)
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert str(path) in str(error.value) and part in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_a_whole_meta_image_reads(tmp_path: Path):
    assert read_image(meta(tmp_path / "image.mha")).data.shape == (1, 4, 4, 4)


@pytest.mark.parametrize(
    ("offset", "kind", "value", "error", "part"),
    [
        (40, "h", 9, ImageError, "9 axes"),
        (70, "h", 999, ImageError, "data type 999"),
        (280, "f", np.nan, GeometryError, "sform holds nan"),
        (292, "f", np.inf, GeometryError, "sform holds inf"),
    ],
)
def test_damaged_nifti_headers_are_one_message(tmp_path: Path, capfd, offset, kind, value, error, part):
    image = nibabel.Nifti1Image(np.ones((4, 4, 4), np.int16), np.eye(4))
    image.set_sform(np.eye(4), code=1)
    raw = bytearray(image.to_bytes())
    struct.pack_into("<" + kind, raw, offset, value)
    path = tmp_path / "image.nii"
    path.write_bytes(raw)
    with pytest.raises(error, match=part) as raised:
        read_header(path)
    assert str(path) in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_values_beyond_32_bits_are_refused(tmp_path: Path):
    path = tmp_path / "image.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(np.full((2, 4, 4), 1e300)), str(path))
    with pytest.raises(ImageError, match=r"1e\+300.*scale the values"):
        read_image(path)


def test_messages_name_no_address_of_memory(tmp_path: Path):
    path = tmp_path / "image.nrrd"
    path.write_text(
        "NRRD0004\ntype: short\ndimension: 3\nsizes: 300000 300000 300000\nspacings: 1 1 1\nencoding: raw\n\n"
    )
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert "0x" not in str(error.value)
