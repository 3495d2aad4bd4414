"""Files of a study: paths that cannot leave the folder, writes that happen whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from napari_ssl.core.case import is_device_name
from napari_ssl.errors import StorageError, StudyError
from napari_ssl.io.atomic import replacing, storage_error

__all__ = ["inside", "is_device_name", "make_folder", "place_file", "relative_name", "storage_errors"]


def inside(folder: Path, relative: str) -> Path:
    """Return the absolute path of a file that a study names relative to its folder.

    Raises
    ------
    StudyError
        The path is absolute, climbs with ``..``, names a device or another stream or drive of Windows, or leaves the
        folder through a symbolic link.
    """
    pure = PurePosixPath(relative)
    climbs = not pure.parts or pure.is_absolute() or ".." in pure.parts
    if climbs or any(c in relative for c in "\\\0:") or any(is_device_name(part) for part in pure.parts):
        raise StudyError(f"path {relative!r} leaves the study folder {folder}; a study may name only files inside it")
    path = folder / relative
    if not path.resolve().is_relative_to(folder.resolve()):
        raise StudyError(
            f"path {relative!r} leads through a symbolic link out of the study folder {folder}; "
            "replace the link by the files themselves"
        )
    return path


def relative_name(path: Path, folder: Path) -> str | None:
    """Return `path` as seen from `folder` (may climb with ``..``), None on another drive."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return None


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write into a StorageError about `path`."""
    try:
        yield
    except OSError as error:
        raise storage_error(path, error.strerror or str(error)) from error


def make_folder(folder: Path) -> None:
    """Make a folder and its parents; StorageError when that is refused."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise StorageError(
            f"{folder}: cannot be made a folder, a file (or a link that leads nowhere) is in its place or above it; "
            "choose another place or move that file away"
        ) from error
    except OSError as error:
        raise storage_error(folder, error.strerror or str(error)) from error


def place_file(source: Path, target: Path, *, link: bool = False) -> None:
    """Bring a copy of `source` to `target` whole or not at all.

    With `link` both become one file where the file system can (no bytes are written): only for a source that is removed
    afterwards, since changing the one changes the other.
    """
    make_folder(target.parent)
    with replacing(target) as temporary:
        if not (link and _link(source, temporary)):
            shutil.copyfile(source, temporary)


def _link(source: Path, temporary: Path) -> bool:
    """Put a hard link to `source` in the place of `temporary`; False where that cannot be."""
    linked = temporary.with_name(temporary.name + "-link")
    try:
        os.link(source, linked)
        os.replace(linked, temporary)
    except OSError:
        with suppress(OSError):
            linked.unlink(missing_ok=True)
        return False
    return True
