"""``jobs list | show | cancel | pause | resume``: the background jobs of a study."""

from __future__ import annotations

from pathlib import Path

import click

from napari_ssl.commands.options import JSON, STUDY, catching, report

__all__ = ["COMMANDS"]


@click.group()
def jobs() -> None:
    """See and control the background jobs of a study."""


@jobs.command("list")
@STUDY
@JSON
@catching
def list_(study: Path, as_json: bool) -> None:
    """List the jobs, newest last."""
    from napari_ssl.study.study import Study

    with Study.open(study, read_only=True) as opened:
        documents = [
            {
                "id": j.id,
                "kind": j.kind.value,
                "state": j.state.value,
                "progress": j.progress,
                "attempts": j.attempts,
                "message": j.message,
                "updated_at": j.updated_at.isoformat(),
            }
            for j in opened.jobs()
        ]
    lines = [
        f"{d['id']}  {d['kind']:8}  {d['state']:11}  {100 * d['progress']:3.0f} %  {d['message']}" for d in documents
    ]
    report({"jobs": documents}, as_json, lines or ["No jobs."])


@jobs.command()
@STUDY
@click.argument("job_id")
@click.option(
    "--log", "n_lines", type=click.IntRange(0, 100_000), default=20, show_default=True, help="Lines of its log."
)
@JSON
@catching
def show(study: Path, job_id: str, n_lines: int, as_json: bool) -> None:
    """Tell of one job: attempts and their processes, memory, states, notices, the end of its log."""
    from napari_ssl.jobs.details import job_details
    from napari_ssl.study.study import Study

    with Study.open(study, read_only=True) as opened:
        details = job_details(opened, job_id, n_log_lines=n_lines)
    job = details.job
    memory = f", {details.memory_mb:,.0f} MB" if details.memory_mb is not None else ""
    lines = [f"{job.id}  {job.kind}  {job.state}  {100 * job.progress:.0f} %  {job.message}{memory}"]
    lines += [
        f"  attempt {a.number} since {a.started_at:%Y-%m-%d %H:%M:%S} UTC: process {a.pid} on {a.host}, {a.device}, "
        f"{a.threads} threads"
        for a in details.attempts
    ]
    lines += [f"  {s['at']:%Y-%m-%d %H:%M:%S} UTC  {s['state']}  {s['message']}" for s in details.states]
    lines += [f"  note: {notice}" for notice in details.notices]
    lines += [f"  | {line}" for line in details.log]
    report(details.to_dict(), as_json, lines)


@jobs.command()
@STUDY
@click.argument("job_id")
@JSON
@catching
def pause(study: Path, job_id: str, as_json: bool) -> None:
    """Stop a job with a checkpoint until it is resumed."""
    from napari_ssl.jobs.runner import Runner

    with Runner(study) as runner:
        runner.pause(job_id)
    report({"id": job_id, "asked": "pause"}, as_json, [f"{job_id}: asked to pause"])


@jobs.command()
@STUDY
@click.argument("job_id")
@click.option("--force", is_flag=True, help="End it at once, without a checkpoint.")
@JSON
@catching
def cancel(study: Path, job_id: str, force: bool, as_json: bool) -> None:
    """Stop a job; its last checkpoint is kept."""
    from napari_ssl.jobs.runner import Runner

    with Runner(study) as runner:
        runner.cancel(job_id, force=force)
    report({"id": job_id, "asked": "cancel"}, as_json, [f"{job_id}: asked to stop"])


@jobs.command()
@STUDY
@click.argument("job_id")
@JSON
@catching
def resume(study: Path, job_id: str, as_json: bool) -> None:
    """Go on with a paused, parked, interrupted, failed or cancelled job from its last checkpoint."""
    from napari_ssl.jobs.runner import Runner

    with Runner(study) as runner:
        runner.resume(job_id)
    report({"id": job_id, "asked": "resume"}, as_json, [f"{job_id}: goes on in the background"])


COMMANDS = (jobs,)
