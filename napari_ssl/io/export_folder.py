"""The folder that an export writes into: all of it or nothing, nothing outside it, nothing replaced unasked."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from napari_ssl.errors import StorageError
from napari_ssl.io.atomic import replacing, storage_error, write_bytes

__all__ = ["ExportFolder", "exporting_to"]

_STAGING = ".tmp-export-"
_LOCK = ".lock"


class ExportFolder:
    """Collects files in a hidden folder inside the target; `commit` moves them into place.

    Use `exporting_to`, which commits or discards. What an export that was killed left behind is removed by the next one
    into the same folder: a running export holds a lock, which ends with its process.

    Parameters
    ----------
    folder : path
        Made when absent.
    overwrite : bool
        Whether files of the same name are replaced; without it the first one ends the export.
    protected : iterable of path
        Files (original images) and folders (the study) that no export may touch, whatever `overwrite` says.

    Raises
    ------
    StorageError
        The folder cannot be made or lies in a protected one.
    """

    def __init__(self, folder: str | Path, *, overwrite: bool = False, protected: Iterable[str | Path] = ()) -> None:
        self.folder = Path(folder).absolute()
        self._overwrite = overwrite
        self._protected = frozenset(Path(p).resolve() for p in protected)
        self._names: list[str] = []
        self._check_place(self.folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _sweep(self.folder)
            self.staging = self.folder / f"{_STAGING}{os.getpid()}-{secrets.token_hex(4)}"
            self._lock = _lock_of(self.staging)
            with suppress(OSError, NotImplementedError):  # a disk without locks: nothing is ever swept there
                self._lock.acquire(timeout=0)
            self.staging.mkdir()
        except FileExistsError as error:
            raise StorageError(f"{self.folder}: is a file; choose a folder to export to") from error
        except OSError as error:
            raise storage_error(self.folder, error.strerror or str(error)) from error

    def file(self, name: str) -> Path:
        """Return where to write the file that is to be called `name` (relative, with ``/``); its folder is there.

        Raises
        ------
        StorageError
            The name leads out of the folder, was given before, exists already, or belongs to a protected file.
        """
        self._check_name(name)
        self._names.append(name)
        path = self.staging / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(path, error.strerror or str(error)) from error
        return path

    def write(self, name: str, content: bytes | str) -> None:
        """Write a small file; StorageError as `file`, or when the disk is full."""
        write_bytes(self.file(name), content.encode() if isinstance(content, str) else content)

    def copy(self, source: Path, name: str) -> None:
        """Write a copy of a file; StorageError as `write`."""
        with replacing(self.file(name)) as temporary:
            shutil.copyfile(source, temporary)

    def staged(self, name: str) -> Path:
        """Return where a file that was named lies until the export has ended."""
        return self.staging / name

    @property
    def files(self) -> tuple[Path, ...]:
        """Where the files are, or are going to be, in the order they were named."""
        return tuple(self.folder / name for name in self._names)

    def commit(self) -> None:
        """Move everything into place.

        Raises
        ------
        StorageError
            A name was taken meanwhile, or the disk refuses. Files that were moved by then are whole.
        """
        for target in self.files:
            self._check_target(target)
        for name, target in zip(self._names, self.files, strict=True):
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(self.staging / name, target)
            except OSError as error:
                raise storage_error(target, error.strerror or str(error)) from error
        self.discard()

    def discard(self) -> None:
        """Remove what was collected."""
        shutil.rmtree(self.staging, ignore_errors=True)
        _let_go(self._lock)

    def _check_name(self, name: str) -> None:
        pure = PurePosixPath(name)
        if not pure.parts or pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
            raise StorageError(f"{name!r}: leads out of {self.folder}; an export writes only inside its folder")
        if name in self._names:
            raise StorageError(f"{name!r}: two things of this export have the same name; export them one by one")
        self._check_target(self.folder / name)

    def _check_target(self, target: Path) -> None:
        resolved = target.resolve()
        if not resolved.is_relative_to(self.folder.resolve()):
            raise StorageError(
                f"{target}: leads out of {self.folder} through a link; remove the link or choose another folder"
            )
        self._check_place(target)
        if target.is_dir():
            raise StorageError(f"{target}: is a folder; remove it or export to another folder")
        if os.path.lexists(target) and not self._overwrite:
            raise StorageError(
                f"{target}: exists already and nothing was written; export to another folder, or let files be "
                "replaced (--force)"
            )

    def _check_place(self, path: Path) -> None:
        resolved = path.resolve()
        for place in (resolved, *resolved.parents):
            if place in self._protected:
                raise StorageError(
                    f"{path}: belongs to the study or is one of its images, which an export never changes; "
                    "choose another folder"
                )


def _lock_of(staging: Path) -> FileLock:
    return FileLock(staging.with_name(staging.name + _LOCK), thread_local=False)


def _let_go(lock: FileLock) -> None:
    lock.release(force=True)
    with suppress(OSError):
        os.unlink(lock.lock_file)


def _sweep(folder: Path) -> None:
    """Remove what exports into this folder left behind whose process was killed."""
    for stale in folder.glob(f"{_STAGING}*"):
        if not stale.is_dir():
            continue
        lock = _lock_of(stale)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError, NotImplementedError):
            continue  # it runs, or nobody can tell
        shutil.rmtree(stale, ignore_errors=True)
        _let_go(lock)


@contextmanager
def exporting_to(
    folder: str | Path, *, overwrite: bool = False, protected: Iterable[str | Path] = ()
) -> Iterator[ExportFolder]:
    """Yield an `ExportFolder` whose files take their places when the block ends well and vanish when it raises.

    A folder that the export made is removed again when nothing came of it.
    """
    existed = Path(folder).exists()
    target = ExportFolder(folder, overwrite=overwrite, protected=protected)
    try:
        try:
            yield target
            target.commit()
        except StorageError as error:  # files are named as they are to be called, not as they were collected
            raise type(error)(str(error).replace(str(target.staging), str(target.folder))) from error
    except BaseException:
        target.discard()
        if not existed:
            with suppress(OSError):  # others put something there meanwhile
                target.folder.rmdir()
        raise
