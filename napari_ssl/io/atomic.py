"""Files that appear whole or not at all: temporary name in the same folder, fsync, rename."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_ssl.errors import StorageError

__all__ = ["TEMPORARY_GLOB", "replacing", "storage_error", "write_bytes"]

TEMPORARY_GLOB = ".tmp-*"
"""Names of the temporary files; what a killed process left can be removed."""


def storage_error(path: Path, reason: str) -> StorageError:
    """Return the error that says what could not be written, the bytes that are free and what to do."""
    folder = path.parent
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return StorageError(
        f"{path}: could not be written whole ({reason}); {free:,} bytes are free on its disk; what was there before is "
        "unchanged; make space or check the permissions of the folder, then try again"
    )


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`, of the same suffix, that takes its place when the block ends well.

    The temporary file exists and is empty when the block begins; it is removed when the block raises.

    Raises
    ------
    StorageError
        The disk is full, the folder is missing or not writable. The old file is intact.
    """
    path = Path(path)
    temporary = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise storage_error(path, error.strerror or str(error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a small file whole or not at all; StorageError as `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
