"""``jobs list | cancel | resume``: the background jobs of a study."""

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
