"""How far a cohort is, for a person at a terminal: a line now and then, with throughput and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from napari_ssl.commands.options import say
from napari_ssl.core.job import Event, EventKind
from napari_ssl.gui.run_progress import duration_text

__all__ = ["cohort_line", "cohort_teller"]

_EVERY_S = 5.0


def cohort_teller(quiet: bool) -> Callable[[Event], None]:
    """Return what says a cohort's events: every notice, progress every few seconds and at the end."""
    told_at = -_EVERY_S

    def tell(event: Event) -> None:
        nonlocal told_at
        if quiet:
            return
        if event.kind is EventKind.NOTICE:
            say(f"note: {event.data['message']}")
        elif event.kind is EventKind.PROGRESS and "n_cases" in event.data:
            now = time.monotonic()
            if now - told_at >= _EVERY_S or event.data["n_done"] == event.data["n_cases"]:
                told_at = now
                say(cohort_line(event.data))

    return tell


def cohort_line(data: Mapping[str, Any]) -> str:
    """Return one line: share, cases, throughput, time left."""
    line = f"{100 * data['fraction']:3.0f} %  {data['step']}"
    if "cases_per_hour" in data:
        line += f", {data['cases_per_hour']:,.0f} cases an hour"
    if data.get("seconds_left"):
        line += f", {duration_text(data['seconds_left'])} left"
    return line
