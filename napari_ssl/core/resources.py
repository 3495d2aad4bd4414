"""What a job needs of the computer that does it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from napari_ssl.errors import SpecError

__all__ = ["Resources", "resources_from_dict"]

_MOST_GPUS = 64
_MOST_CORES = 4096
_MOST_MEMORY_MB = 16_000_000
_MOST_HOURS = 24.0 * 365


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a job asks for; nothing that is left out is asked for.

    Parameters
    ----------
    gpus : int or None
        None: one for each process where the job's device is a GPU, otherwise whatever there is.
    memory_mb : int
        Memory of the computer in MB, 0: any.
    cores : int
        Processor cores, 0: any.
    hours : float
        Longest time, for queues that want to know; 0: the place's own.

    Raises
    ------
    SpecError
        A number below zero or beyond reason.
    """

    gpus: int | None = None
    memory_mb: int = 0
    cores: int = 0
    hours: float = 0.0

    def __post_init__(self) -> None:
        limits = {"gpus": _MOST_GPUS, "memory_mb": _MOST_MEMORY_MB, "cores": _MOST_CORES, "hours": _MOST_HOURS}
        for name, most in limits.items():
            value = getattr(self, name)
            if value is None and name == "gpus":
                continue
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not is_number or not 0 <= value <= most or (name != "hours" and value != int(value)):
                raise SpecError(f"resources: {name} must be 0 to {most:,.0f}, got {value!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


def resources_from_dict(document: Mapping[str, Any] | None) -> Resources:
    """Read what `Resources.to_dict` wrote; None, as in orders of before, asks for nothing."""
    return Resources() if document is None else Resources(**document)
