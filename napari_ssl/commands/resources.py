"""Options that say what a job needs of the computer that does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from napari_ssl.core.resources import Resources

__all__ = ["RESOURCES", "as_resources"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--gpus", type=click.IntRange(0, 64), help="GPUs that it needs; by default what the device says."),
    click.option("--memory", "memory_gb", type=click.FloatRange(0, 16_000), metavar="GB", help="Memory that it needs."),
    click.option("--cores", type=click.IntRange(0, 4096), help="Cores that it needs."),
    click.option("--hours", type=click.FloatRange(0, 8760), help="Longest time, for a cluster's queue."),
)


def RESOURCES(command: _Command) -> _Command:  # noqa: N802 - stands among options that are constants
    """Add ``--gpus``, ``--memory``, ``--cores`` and ``--hours``; `as_resources` takes their values."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def as_resources(
    gpus: int | None = None, memory_gb: float | None = None, cores: int | None = None, hours: float | None = None
) -> Resources:
    """Return what the options say."""
    return Resources(gpus=gpus, memory_mb=round(1000 * (memory_gb or 0)), cores=cores or 0, hours=hours or 0.0)
