"""An error in words that a clinician can act on."""

from __future__ import annotations

import errno
import traceback
from typing import Any

from napari_ssl.errors import NapariSslError

__all__ = ["describe", "failure_data"]


def describe(error: BaseException) -> str:
    """Return one sentence or two: what went wrong and what to do."""
    if isinstance(error, NapariSslError):
        return str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "This computer or its graphics card ran out of memory; choose a smaller batch size or network."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full ({error.filename or 'the study folder'}); make room, then resume the job."
    if isinstance(error, ModuleNotFoundError):
        return f"The library {error.name!r} is not installed, which this job needs; install it, then resume the job."
    return f"An unexpected error ended the job: {type(error).__name__}: {error}. The log tells where."


def failure_data(error: BaseException) -> dict[str, Any]:
    """Return the data of a ``failed`` event: ``message, error, traceback``."""
    return {
        "message": describe(error),
        "error": type(error).__name__,
        "traceback": "".join(traceback.format_exception(error)),
    }
