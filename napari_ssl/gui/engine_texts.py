"""What the window says about jobs. Free of Qt."""

from __future__ import annotations

from napari_ssl.core.job import Job
from napari_ssl.jobs.cluster_settings import Kubernetes, Slurm
from napari_ssl.jobs.details import JobDetails
from napari_ssl.jobs.place import Place, Servers

__all__ = ["details_text", "job_cells", "page_of"]


def job_cells(job: Job) -> tuple[str, str, str, str, str]:
    """Return a row of the table: kind and time, state, share, attempts, message."""
    return (
        f"{job.kind.value} {job.created_at:%Y-%m-%d %H:%M}",
        job.state.value,
        f"{100 * job.progress:.0f} %",
        str(job.attempts),
        job.message,
    )


def details_text(details: JobDetails) -> str:
    """Return attempts with their worker, memory, states, notices and the end of the log."""
    lines = [details.job.id]
    if details.memory_mb is not None:
        lines.append(f"Memory: {details.memory_mb:,.0f} MB")
    lines += [
        f"Attempt {a.number}, {a.started_at:%Y-%m-%d %H:%M:%S} UTC: process {a.pid} on {a.host or 'this computer'}, "
        f"{a.device}, {a.threads} threads"
        for a in details.attempts
    ]
    lines += [f"{s['at']:%Y-%m-%d %H:%M:%S} UTC  {s['state']}  {s['message']}".rstrip() for s in details.states]
    lines += [f"Note: {notice}" for notice in details.notices]
    if details.log:
        lines += ["", "Log:", *details.log]
    return "\n".join(lines)


def page_of(place: Place) -> int:
    """Return which page of the form shows a place: 0 here, 1 servers, 2 SLURM, 3 Kubernetes."""
    return 0 if place is None else (Servers, Slurm, Kubernetes).index(type(place)) + 1
