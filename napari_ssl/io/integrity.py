"""Is a MetaImage file whole? SimpleITK reads damaged compressed ones without a word (NRRD it checks itself)."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from napari_ssl.errors import ImageError

__all__ = ["check_meta_image"]

_BLOCK = 1 << 20


def check_meta_image(path: Path) -> None:
    """Unpack the compressed voxels of a ``.mha`` or ``.mhd`` file to the end; ImageError when it cannot be done."""
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
        match = re.search(rb"^ElementDataFile\s*=\s*(\S+)[^\n]*\n?", head, re.MULTILINE)
        if match is None or not re.search(rb"^CompressedData\s*=\s*True", head, re.MULTILINE | re.IGNORECASE):
            return
        name = match.group(1).decode("utf-8", "replace")
        if name.upper() == "LOCAL":
            _unpack(path, match.end())
        else:
            _unpack(path.parent / name, 0)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error}); copy all its files again from their source") from error


def _unpack(path: Path, offset: int) -> None:
    unpacker = zlib.decompressobj(wbits=47)  # zlib or gzip, by its header
    with path.open("rb") as file:
        file.seek(offset)
        while not unpacker.eof:
            block = file.read(_BLOCK)
            if not block:
                raise ImageError(f"{path}: truncated: its compressed data end early; copy it again from its source")
            try:
                unpacker.decompress(block)
            except zlib.error as error:
                raise ImageError(f"{path}: damaged ({error}); copy it again from its source") from error
