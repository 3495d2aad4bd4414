"""Memory of a job that goes on for long: kept between steps instead of given back and asked for again.

glibc maps every large block anew and gives it back when it is freed. Each batch then touches fresh pages, and the
kernel's work on them was up to a fifth of the time of a prediction (`benchmarks/inference.py`). Only processes that
compute may keep it; the window never calls this.
"""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory", "return_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_NEVER = 2**31 - 1
_LARGEST = 2**30


def _library() -> ctypes.CDLL | None:
    """glibc, or None where the memory is managed by something else."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


def keep_freed_memory() -> bool:
    """Let blocks of up to 1 GiB be used again instead of going back to the system; whether that could be had."""
    library = _library()
    if library is None:
        return False
    return bool(library.mallopt(_MMAP_THRESHOLD, _LARGEST)) and bool(library.mallopt(_TRIM_THRESHOLD, _NEVER))


def return_freed_memory() -> None:
    """Give what is free back to the system now, for instance before memory is measured against a limit."""
    library = _library()
    if library is not None:
        library.malloc_trim(0)
