"""What there is to know of a job: attempts, the process that works on it, its memory, its log, its history."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from napari_ssl.core.job import EventKind, Job
from napari_ssl.jobs.events import read_events
from napari_ssl.study.study import Study

__all__ = ["Attempt", "JobDetails", "job_details", "log_lines"]

_LOG = "log.txt"
_LOG_BYTES = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One process that worked on a job: which attempt, since when, on which computer, as what."""

    number: int
    started_at: datetime
    host: str
    pid: int
    device: str
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetails:
    """A job with its attempts (oldest first), states, notices and the end of its log.

    `memory_mb` is the resident memory of the newest attempt's process and of those that it started, None where it has
    ended or runs on another computer.
    """

    job: Job
    attempts: tuple[Attempt, ...]
    memory_mb: float | None
    states: tuple[dict[str, Any], ...]
    notices: tuple[str, ...]
    log: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "id": self.job.id,
            "kind": self.job.kind.value,
            "state": self.job.state.value,
            "progress": self.job.progress,
            "message": self.job.message,
            "attempts": [
                {
                    "number": a.number,
                    "started_at": a.started_at.isoformat(),
                    "host": a.host,
                    "pid": a.pid,
                    "device": a.device,
                    "threads": a.threads,
                }
                for a in self.attempts
            ],
            "memory_mb": self.memory_mb,
            "states": [{**s, "at": s["at"].isoformat()} for s in self.states],
            "notices": list(self.notices),
            "log": list(self.log),
        }


def job_details(study: Study, job_id: str, *, n_log_lines: int = 20) -> JobDetails:
    """Gather what is known of a job; JobError when there is none of that name."""
    job = study.job(job_id)
    folder = study.job_folder(job_id)
    events = read_events(folder)
    attempts = tuple(_attempt(e.data, e.time) for e in events if e.kind is EventKind.STARTED)
    return JobDetails(
        job=job,
        attempts=attempts,
        memory_mb=None if job.state.is_over else _memory_mb(attempts),
        states=tuple(study.job_states(job_id)),
        notices=tuple(str(e.data.get("message", "")) for e in events if e.kind is EventKind.NOTICE),
        log=tuple(log_lines(folder, n_log_lines)),
    )


def log_lines(run_folder: Path, n: int) -> list[str]:
    """Return the last `n` lines that the job's processes wrote."""
    try:
        with (run_folder / _LOG).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _LOG_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()[-n:]
    except FileNotFoundError:
        return []


def _attempt(data: Any, at: datetime) -> Attempt:
    return Attempt(
        number=int(data.get("attempt") or 0),
        started_at=at,
        host=str(data.get("host") or ""),  # runs of before it was noted
        pid=int(data.get("pid") or 0),
        device=str(data.get("device") or ""),
        threads=int(data.get("threads") or 0),
    )


def _memory_mb(attempts: Sequence[Attempt]) -> float | None:
    """A process of that number that began before it told so is the one; another may have its number by now."""
    if not attempts or attempts[-1].host != platform.node():
        return None
    newest = attempts[-1]
    with suppress(psutil.Error):
        process = psutil.Process(newest.pid)
        if process.create_time() <= newest.started_at.timestamp() + 1:
            every = [process, *process.children(recursive=True)]
            return round(sum(p.memory_info().rss for p in every) / 2**20, 1)
    return None
