"""Which device a run uses, how many threads, which arithmetic; all of it recorded, since it decides rounding."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import torch
import torch.utils.deterministic as fill

from napari_ssl.errors import SpecError

__all__ = ["choose_device", "configure_threads", "deterministic", "device_record", "has_fast_bfloat16", "mixed_dtype"]

_THREAD_VARIABLES = ("NAPARI_SSL_THREADS", "OMP_NUM_THREADS")


def choose_device(name: str) -> torch.device:
    """Return the device called ``"auto"`` (CUDA where there is one), ``"cpu"`` or ``"cuda"``.

    Raises
    ------
    SpecError
        Unknown name, or CUDA asked for where there is none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise SpecError(f"device must be auto, cpu or cuda, got {name!r}")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise SpecError(
            f"device cuda was asked for, but torch {torch.__version__} sees no CUDA device; use auto or cpu"
        )
    if name == "cpu" or not available:
        return torch.device("cpu")
    # Deterministic matrix products on CUDA need this before the first of them.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return torch.device("cuda")


def configure_threads() -> int:
    """Set torch's threads to one fewer than the physical cores, at least one, and return the number.

    A core is left to the window; two threads on busy cores are slower than one. ``NAPARI_SSL_THREADS`` or
    ``OMP_NUM_THREADS`` in the environment decide instead where they are set.
    """
    for variable in _THREAD_VARIABLES:
        text = os.environ.get(variable, "")
        if text.isdigit() and int(text) >= 1:
            torch.set_num_threads(int(text))
            return torch.get_num_threads()
    torch.set_num_threads(max(1, (psutil.cpu_count(logical=False) or 1) - 1))
    return torch.get_num_threads()


def device_record(device: torch.device) -> dict[str, Any]:
    """Return what belongs into a result: device, its name, threads, version of torch."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return {
        "device": device.type,
        "device_name": name,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }


def has_fast_bfloat16() -> bool:
    """Whether the CPU has units for bfloat16 (AVX512-BF16 or AMX); without them it is slower than float32."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def mixed_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the type that mixed arithmetic uses, or None for plain float32.

    ``auto`` is mixed on CUDA only; ``mixed`` on a CPU means bfloat16 where the CPU is fast at it, float32 elsewhere.
    """
    if precision == "float32":
        return None
    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if precision == "mixed" and has_fast_bfloat16() else None


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Ask for deterministic algorithms inside the block; an operation without one only warns.

    New tensors are not filled beforehand, as torch does by default then: nothing here reads one before it is written,
    and a pass over memory for every tensor took 3 % of a step on a CPU.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark, fills = torch.backends.cudnn.benchmark, fill.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    fill.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = benchmark
        fill.fill_uninitialized_memory = fills
