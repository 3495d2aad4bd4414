"""What is told of a job: its attempts, its process while it runs, its log, its history."""

from __future__ import annotations

import json
import platform

import pytest
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.job import JobState
from napari_ssl.errors import JobError
from napari_ssl.jobs.details import job_details, log_lines
from napari_ssl.jobs.foreground import run_here


def test_a_job_tells_its_attempts_states_memory_and_log(study, order):
    seen = []

    def look(event):
        if event.kind.value == "checkpoint" and not seen:
            seen.append(job_details(study, study.jobs()[0].id))

    with pytest.raises(KeyboardInterrupt):
        run_here(study, order(count=3, step_s=0), look, lambda: bool(seen))
    (job,) = study.jobs()
    run_here(study, order(count=3, step_s=0), lambda event: None, lambda: False)
    (study.job_folder(job.id) / "log.txt").write_text("".join(f"line {n}\n" for n in range(50)))
    details = job_details(study, job.id, n_log_lines=2)
    assert [a.number for a in details.attempts] == [1, 2]
    assert details.attempts[0].host == platform.node() and details.attempts[0].pid > 0
    assert seen[0].memory_mb > 10 and details.memory_mb is None  # while it ran, and now
    assert [s["state"] for s in details.states] == ["queued", "running", "paused", "running", "done"]
    assert details.log == ("line 48", "line 49")
    told = CliRunner().invoke(main, ["jobs", "show", str(study.folder), job.id, "--log", "1", "--json"])
    document = json.loads(told.stdout)
    assert document["state"] == JobState.DONE and document["log"] == ["line 49"] and len(document["attempts"]) == 2
    spoken = CliRunner().invoke(main, ["jobs", "show", str(study.folder), job.id]).stdout
    assert "attempt 2 since" in spoken and "| line 49" in spoken


def test_a_job_that_does_not_exist_or_has_no_log(study, tmp_path):
    with pytest.raises(JobError):
        job_details(study, "nothing")
    assert log_lines(tmp_path, 5) == []
