"""What a place of work has, what a job needs of it, and words for what is lacking."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import psutil

from napari_ssl.core.resources import Resources
from napari_ssl.jobs.spec import Spec

__all__ = [
    "GPUS_VARIABLE",
    "Offer",
    "gpu_names",
    "lacking",
    "needs_of",
    "offer_from_dict",
    "offer_here",
    "offer_words",
    "resolved",
]

GPUS_VARIABLE = "NAPARI_SSL_GPUS"
"""Number of GPUs to announce, where asking the driver gives a wrong answer."""
_ASK_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a worker has: GPUs, memory of the computer in MB, processor cores, jobs at a time."""

    gpus: int
    memory_mb: int
    cores: int
    slots: int = 1

    def to_dict(self) -> dict[str, int]:
        """Return plain JSON."""
        return asdict(self)

    @property
    def dask_resources(self) -> dict[str, float]:
        """What a worker of dask announces."""
        return {"HERE": self.slots, "GPU": self.gpus, "MEMORY": self.memory_mb}


def gpu_names() -> list[str]:
    """Return what ``CUDA_VISIBLE_DEVICES`` calls the GPUs of this computer that the user has left to use."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for part in chosen.split(",") if (name := part.strip()) and name != "-1"]
    return [str(n) for n in range(_n_nvidia())]


@cache
def _n_nvidia() -> int:
    """Ask the driver rather than torch, which takes seconds and memory to import."""
    with suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=_ASK_S, check=True)
        return sum(line.startswith(b"GPU ") for line in told.stdout.splitlines())
    return 0


def _n_gpus() -> int:
    told = os.environ.get(GPUS_VARIABLE, "")
    if told.isdigit():
        return int(told)
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return 1
    return len(gpu_names())


def offer_here(slots: int = 1) -> Offer:
    """Return what this computer has."""
    return Offer(
        gpus=_n_gpus(),
        memory_mb=psutil.virtual_memory().total >> 20,
        cores=psutil.cpu_count() or 1,
        slots=slots,
    )


def needs_of(spec: Spec) -> Resources:
    """Return what an order asks for: what it says, and GPUs where it names such a device."""
    asked = getattr(spec, "resources", None) or Resources()
    if asked.gpus is not None:
        return asked
    if spec.device.startswith(("cuda", "mps")):
        return replace(asked, gpus=max(1, getattr(spec, "processes", 1)))
    return replace(asked, gpus=0) if spec.device == "cpu" else asked


def resolved(needs: Resources, offer: Offer) -> Resources:
    """Return the needs at a place: who takes a GPU where there is one, needs one there."""
    return needs if needs.gpus is not None else replace(needs, gpus=min(1, offer.gpus))


def lacking(needs: Resources, offers: Mapping[str, Offer]) -> str:
    """Return in words why no worker can ever serve the job, an empty text when one can.

    Parameters
    ----------
    offers : mapping
        Name of the worker → what it has.
    """
    if any(not _lacks(needs, offer) for offer in offers.values()):
        return ""
    asked = [
        text
        for text in (
            f"{needs.gpus} GPU{'s' if needs.gpus != 1 else ''}" if needs.gpus else "",
            f"{needs.memory_mb:,} MB of memory" if needs.memory_mb else "",
            f"{needs.cores} cores" if needs.cores else "",
        )
        if text
    ]
    has = "; ".join(f"{name} has {offer_words(offer)}" for name, offer in offers.items()) or "there is none"
    single = {"gpus": needs.gpus, "memory_mb": needs.memory_mb, "cores": needs.cores}
    if len([v for v in single.values() if v]) == 1 and needs.gpus:
        none = all(offer.gpus == 0 for offer in offers.values())
        tail = "has one" if needs.gpus == 1 and none else f"has {'any' if none else 'so many'}"
        return f"needs {asked[0]}; no worker of this engine {tail} ({has})"
    return f"needs {' and '.join(asked)}; no worker of this engine has that ({has})"


def _lacks(needs: Resources, offer: Offer) -> bool:
    return (needs.gpus or 0) > offer.gpus or needs.memory_mb > offer.memory_mb or needs.cores > offer.cores


def offer_words(offer: Offer) -> str:
    """Return what a worker has, for people."""
    gpus = "no GPU" if offer.gpus == 0 else f"{offer.gpus} GPU{'s' if offer.gpus != 1 else ''}"
    return f"{gpus}, {offer.memory_mb:,} MB, {offer.cores} cores"


def offer_from_dict(document: Mapping[str, Any]) -> Offer:
    """Read what `Offer.to_dict` wrote, also at another computer."""
    return Offer(**{name: int(document[name]) for name in ("gpus", "memory_mb", "cores", "slots")})
