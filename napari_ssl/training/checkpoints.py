"""Where a stopped or killed run goes on: written whole, checked when read, two kept."""

from __future__ import annotations

import hashlib
import io
import logging
from pathlib import Path
from typing import Any

import torch

from napari_ssl.errors import CheckpointError
from napari_ssl.io.atomic import TEMPORARY_GLOB, storage_error, write_bytes

__all__ = ["latest_checkpoint", "read_checkpoint", "write_checkpoint"]

_log = logging.getLogger(__name__)
_KEPT = 2
_PATTERN = "checkpoint-*.pt"
_DIGEST_BYTES = 32


def write_checkpoint(folder: Path, iteration: int, state: dict[str, Any]) -> Path:
    """Write `state` (tensors, numbers, strings, lists and dicts of these) and drop all but the two newest.

    The file ends with the SHA-256 of what stands before. Raises StorageError; older checkpoints stay.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    path = folder / f"checkpoint-{iteration:09d}.pt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(path, error.strerror or str(error)) from error
    for stale in folder.glob(TEMPORARY_GLOB):
        stale.unlink(missing_ok=True)
    write_bytes(path, data + hashlib.sha256(data).digest())
    for old in sorted(folder.glob(_PATTERN))[:-_KEPT]:
        old.unlink(missing_ok=True)
    return path


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read one checkpoint onto the CPU; CheckpointError when it is damaged. Nothing in it is ever executed."""
    try:
        data = path.read_bytes()
        payload, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
        if hashlib.sha256(payload).digest() != digest:
            raise CheckpointError(f"{path}: damaged checkpoint (the checksum differs)")
        return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # a pickle that was made up can make torch's reader raise anything
        raise CheckpointError(f"{path}: cannot read the checkpoint ({type(error).__name__}: {error})") from error


def latest_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the newest checkpoint that is whole, or None when there is no checkpoint at all.

    Raises
    ------
    CheckpointError
        There are checkpoints and none of them can be read.
    """
    paths = sorted(folder.glob(_PATTERN), reverse=True) if folder.is_dir() else []
    errors = []
    for path in paths:
        try:
            return read_checkpoint(path)
        except CheckpointError as error:
            _log.warning("%s; trying the one before", error)
            errors.append(str(error))
    if errors:
        raise CheckpointError(
            f"{folder}: no checkpoint can be read ({'; '.join(errors)}); remove the folder to start from the beginning"
        )
    return None
