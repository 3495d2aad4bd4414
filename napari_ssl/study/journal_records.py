"""The bytes of a journal of edits: first line, framed records, and the records of version 1."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from napari_ssl.study.edit_history import Edit, Place, Stroke

__all__ = [
    "FRAME",
    "Header",
    "decode",
    "encode_look",
    "frame",
    "has_records_after",
    "kind_of",
    "read_records",
    "upgraded",
]

FRAME = struct.Struct("<II")
"""Length and CRC-32 before each record's content."""

_STROKE_1 = struct.Struct("<iiI")
_KINDS = {b"E": "edit", b"U": "undo", b"R": "redo", b"L": "look"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first line.

    Parameters
    ----------
    case : str
    base : str
        Hash of the stored labels.
    n_past, n_past_bytes : int
        Records that led to them, and the bytes these take.
    cursor : int
        How many of those edits are in the stored labels; the rest was undone.
    unverified : tuple of (frame, slice)
        Places that nobody had looked at when the labels were stored.
    """

    version: ClassVar[int] = 2

    case: str
    base: str
    n_past: int = 0
    n_past_bytes: int = 0
    cursor: int = 0
    unverified: tuple[Place, ...] = ()

    def encode(self) -> bytes:
        """Return the line."""
        past = {"edits": self.n_past, "bytes": self.n_past_bytes, "cursor": self.cursor, "unverified": self.unverified}
        document = {"napari-ssl journal": 2, "case": self.case, "base": self.base, "past": past}
        return json.dumps({**document, "check": _check(document)}).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Header | HeaderOfVersion1:
        """Read a line; ValueError, KeyError or TypeError when it is none."""
        document = json.loads(line)
        if not isinstance(document, dict):
            raise ValueError(f"its first line is no record but {document!r:.40}")
        if document.pop("check", None) not in (None, _check(document)):  # journals of earlier programs have none
            raise ValueError("its first line was changed")
        if document["napari-ssl journal"] == 1:
            return HeaderOfVersion1(case=str(document["case"]), base=str(document["base"]))
        if document["napari-ssl journal"] != cls.version:
            raise ValueError(f"version {document['napari-ssl journal']} is newer than this program")
        past = document["past"]
        numbers = [past[name] for name in ("edits", "bytes", "cursor")]
        if not all(isinstance(n, int) and n >= 0 for n in numbers) or past["cursor"] > past["edits"]:
            raise ValueError(f"a past of {numbers[0]} edits in {numbers[1]} bytes, {numbers[2]} of them done")
        return cls(
            case=str(document["case"]),
            base=str(document["base"]),
            n_past=past["edits"],
            n_past_bytes=past["bytes"],
            cursor=past["cursor"],
            unverified=tuple((int(f), int(z)) for f, z in past["unverified"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderOfVersion1(Header):
    """The first line of a journal without a past."""

    version: ClassVar[int] = 1


def frame(content: bytes) -> bytes:
    """Return a record: length, checksum, content."""
    return FRAME.pack(len(content), zlib.crc32(content)) + content


def _check(document: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(document, sort_keys=True).encode())


def has_records_after(data: bytes, start: int) -> bool:
    """Whether a whole record begins anywhere behind a damaged one, that at byte `start`."""
    for found in re.compile(b"[%s]" % b"".join(_KINDS)).finditer(data, start + 1 + FRAME.size):
        position = found.start() - FRAME.size
        length, crc = FRAME.unpack_from(data, position)
        content = data[position + FRAME.size : position + FRAME.size + length]
        if len(content) == length and zlib.crc32(content) == crc:
            return True
    return False


def read_records(data: bytes) -> Iterator[bytes]:
    """Yield the content of each whole record after the first line; one that is cut off or damaged ends them."""
    position = data.index(b"\n") + 1 if b"\n" in data else len(data)
    while position + FRAME.size <= len(data):
        length, crc = FRAME.unpack_from(data, position)
        content = data[position + FRAME.size : position + FRAME.size + length]
        if not content or len(content) < length or zlib.crc32(content) != crc:
            return
        position += FRAME.size + length
        yield content


def kind_of(content: bytes) -> str:
    """Return "edit", "undo", "redo" or "look"."""
    return _KINDS[content[:1]]


def encode_look(places: Iterable[Place]) -> bytes:
    """Return the record of places that were looked at."""
    return b"L" + json.dumps([list(p) for p in places]).encode()


def decode(content: bytes) -> Edit:
    """Read an edit; the checksum was compared before."""
    return Edit.decode(content[1:])


def upgraded(content: bytes) -> bytes:
    """Return a record of version 1, a stroke, as one of version 2."""
    at_frame, _label, n = _STROKE_1.unpack_from(content)
    raw = zlib.decompress(content[_STROKE_1.size :])
    stroke = Stroke(
        frame=at_frame,
        flat_indices=np.frombuffer(raw, "<i4", n).astype(np.int32),
        before=np.frombuffer(raw, np.uint8, n, 4 * n).copy(),
        after=np.frombuffer(raw, np.uint8, n, 5 * n).copy(),
    )
    return b"E" + Edit(strokes=(stroke,)).encode()
