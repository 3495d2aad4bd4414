"""Files that travel between a client and a server: named by their content, sent once, checked on arrival.

An order names files by path. For the journey every path becomes ``parcel:<SHA-256>``, at the server a path in its
store; a file that the server sees by itself becomes ``there:<its path there>`` and does not travel.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from napari_ssl.errors import StorageError

__all__ = ["PIECE", "Store", "digest_of", "files_of", "pack", "paths_of", "unpack"]

PIECE = 8 << 20
"""Bytes in a message."""
_MARK = "parcel:"
_THERE = "there:"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEPT_THERE = ("checkpoints", "store")


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file; remembered while the file's size and time stay."""
    stat = os.stat(path)
    return _digest(str(path), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _digest(path: str, size: int, modified_ns: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _change_paths(document: Any, change: Callable[[str], str], key: str = "") -> Any:
    if isinstance(document, dict):
        return {k: _change_paths(v, change, str(k)) for k, v in document.items()}
    if isinstance(document, list | tuple):
        return [_change_paths(v, change, key) for v in document]
    return change(document) if isinstance(document, str) and key.endswith("path") else document


def paths_of(document: Any) -> list[Path]:
    """Return the files that a document names; a text counts as one when its key ends in ``path`` and there is such."""
    found: dict[Path, None] = {}

    def note(text: str) -> str:
        if (path := Path(text)).is_file():
            found[path] = None
        return text

    _change_paths(document, note)
    return list(found)


def pack(document: Any, there: Mapping[Path, str] | None = None) -> tuple[Any, dict[str, Path]]:
    """Return plain JSON with parcels in the place of the paths of files (`paths_of`), and the files by digest.

    Parameters
    ----------
    there : mapping, optional
        Files that the server sees by itself → their paths there.
    """
    files: dict[str, Path] = {}
    seen = there or {}

    def change(text: str) -> str:
        path = Path(text)
        if path in seen:
            return f"{_THERE}{seen[path]}"
        if not path.is_file():
            return text
        digest = digest_of(path)
        files[digest] = path
        return f"{_MARK}{digest}{''.join(path.suffixes[-2:])}"

    return _change_paths(document, change), files


def unpack(document: Any, store: Store) -> Any:
    """Put paths of the store in the place of parcels, and this computer's own in that of files that it sees."""

    def change(text: str) -> str:
        if text.startswith(_THERE):
            return _own_path(text.removeprefix(_THERE))
        return str(store.path(text.removeprefix(_MARK))) if text.startswith(_MARK) else text

    return _change_paths(document, change)


def _own_path(text: str) -> str:
    path = Path(text)
    if not path.is_absolute() or ".." in PurePath(text).parts or not path.is_file():
        raise StorageError(f"{text!r} is no file of a folder that both computers share; look where it is mounted")
    return text


class Store:
    """Files of a server, named by their content; readers need the suffix, so links bear it.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _place(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise StorageError(f"{digest!r} is no SHA-256; nothing was stored")
        return self.folder / digest

    def has(self, digest: str) -> bool:
        """Whether a file of that content is there."""
        return self._place(digest).is_file()

    def put(self, digest: str, offset: int, data: bytes, *, is_last: bool) -> None:
        """Take a piece of a file; the last one makes it appear, if its content is what its name says.

        Raises
        ------
        StorageError
            It is not, or a piece is missing.
        """
        path = self._place(digest)
        part = path.with_suffix(".part")
        with part.open("wb" if offset == 0 else "r+b") as file:
            if file.seek(0, os.SEEK_END) != offset:
                raise StorageError(f"parcel {digest[:12]}: a piece is missing before byte {offset}; it is sent again")
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if is_last:
            if digest_of(part) != digest:
                part.unlink()
                raise StorageError(f"parcel {digest[:12]}: arrived damaged; it is sent again")
            os.replace(part, path)

    def path(self, name: str) -> Path:
        """Return where a parcel lies, under a name with its suffix.

        Raises
        ------
        StorageError
            There is no such parcel.
        """
        digest, dot, suffix = name.partition(".")
        path = self._place(digest)
        if not path.is_file() or (dot and not re.fullmatch(r"[\w.]{1,20}", suffix)):
            raise StorageError(f"parcel {name!r} is not in the store; send it first")
        if not dot:
            return path
        named = path.with_name(f"{digest}.{suffix}")
        if not named.exists():
            os.link(path, named)
        return named


def files_of(run_folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield what a run has made, by relative name: everything but checkpoints, logs and locks."""
    for path in sorted(run_folder.rglob("*")):
        name = path.relative_to(run_folder)
        kept = any(part in _KEPT_THERE or part.startswith(".") for part in name.parts)
        wanted = len(name.parts) > 1 or name.name == "parked.json"
        if wanted and not kept and path.is_file() and not path.is_symlink():
            yield name.as_posix(), path
