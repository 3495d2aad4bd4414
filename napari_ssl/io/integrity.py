"""Is a MetaImage file whole? SimpleITK reads damaged compressed ones without a word (NRRD it checks itself).

Of damaged headers and missing voxels it says no more than "cannot be read", and prints the rest to the terminal.
"""

from __future__ import annotations

import math
import re
import zlib
from pathlib import Path

from napari_ssl.errors import ImageError

__all__ = ["check_meta_header", "check_meta_image"]

_BLOCK = 1 << 20


_BYTES = {
    "MET_CHAR": 1,
    "MET_UCHAR": 1,
    "MET_SHORT": 2,
    "MET_USHORT": 2,
    "MET_INT": 4,
    "MET_UINT": 4,
    "MET_LONG": 4,
    "MET_ULONG": 4,
    "MET_LONG_LONG": 8,
    "MET_ULONG_LONG": 8,
    "MET_FLOAT": 4,
    "MET_DOUBLE": 8,
}


def check_meta_header(path: Path) -> None:
    """Check what the header of a ``.mha`` or ``.mhd`` file says about its voxels, and that these are all there.

    Raises
    ------
    ImageError
        A field is missing or damaged, the file of the voxels is absent, or uncompressed voxels are truncated.
    """
    remedy = "copy it again from its source"
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error
    fields: dict[str, re.Match[bytes]] = {}
    for field in re.finditer(rb"^(\w+)\s*=\s*([^\r\n]*)\r?\n?", head, re.MULTILINE):
        fields[field[1].decode()] = field
        if "ElementDataFile" in fields:  # voxels may follow
            break
    for name in ("NDims", "DimSize", "ElementType", "ElementDataFile"):
        if name not in fields:
            raise ImageError(f"{path}: its header has no {name}; the file is truncated or no MetaImage; {remedy}")
    text = {name: m[2].decode("latin-1").strip() for name, m in fields.items()}
    sizes = text["DimSize"].split()
    if not all(s.isdigit() for s in sizes) or text["NDims"] != str(len(sizes)):
        raise ImageError(f"{path}: its header says NDims {text['NDims']!r} and DimSize {text['DimSize']!r}; {remedy}")
    data = path if text["ElementDataFile"].upper() == "LOCAL" else path.parent / text["ElementDataFile"]
    if "%" in data.name or data.name.upper().startswith("LIST"):
        return  # many files: SimpleITK looks for them
    if not data.is_file():
        raise ImageError(f"{path}: its voxels, {data.name}, are not beside it; copy both files")
    start = fields["ElementDataFile"].end() if data == path else max(0, int(text.get("HeaderSize", "0") or 0))
    if text.get("CompressedData", "False").lower() == "true" or text["ElementType"] not in _BYTES:
        return
    expected = math.prod(map(int, sizes)) * _BYTES[text["ElementType"]]
    there = data.stat().st_size - start
    if there < expected:
        raise ImageError(f"{path}: truncated: holds {there} of {expected} bytes of voxels; {remedy}")


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
