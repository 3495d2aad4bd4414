from __future__ import annotations

import json

import pytest

from napari_ssl.core.job import JobKind, JobState
from napari_ssl.errors import JobError, StudyError
from napari_ssl.study import Study


def test_a_new_job_is_queued_and_has_its_order_in_its_folder(study: Study):
    job = study.create_job(JobKind.TRAIN, {"kind": "train", "seed": 3})
    assert (job.state, job.progress, job.attempts, job.folder) == (JobState.QUEUED, 0.0, 0, f"runs/{job.id}")
    assert json.loads((study.job_folder(job.id) / "spec.json").read_text()) == {"kind": "train", "seed": 3}
    assert study.jobs() == [job] == [study.job(job.id)]


def test_changes_of_state_are_appended(study: Study):
    job = study.create_job("predict", {}, "job1")
    study.update_job("job1", state=JobState.RUNNING, attempts=1)
    study.update_job("job1", progress=0.25, message="frame 3 of 12")
    after = study.update_job("job1", state=JobState.FAILED, message="out of memory")
    assert (after.state, after.progress, after.attempts) == (JobState.FAILED, 0.25, 1)
    assert after.created_at == job.created_at and after.updated_at > job.updated_at
    assert [(e["state"], e["message"]) for e in study.job_states("job1")] == [
        ("queued", ""),
        ("running", ""),
        ("failed", "out of memory"),
    ]


def test_jobs_that_cannot_be_are_refused(study: Study):
    study.create_job("train", {}, "job1")
    with pytest.raises(JobError, match=r"job1 exists already"):
        study.create_job("train", {"other": 1}, "job1")
    assert json.loads((study.job_folder("job1") / "spec.json").read_text()) == {}
    with pytest.raises(JobError, match=r"cannot be written as JSON"):
        study.create_job("train", {"x": float("nan")})
    with pytest.raises(StudyError, match=r"job '../x'"):
        study.create_job("train", {}, "../x")
    with pytest.raises(JobError, match=r"no job 'nope'"):
        study.update_job("nope", progress=0.5)
    with pytest.raises(JobError, match=r"must be in \[0, 1\], got 1.5"):
        study.update_job("job1", progress=1.5)
    assert len(study.jobs()) == 1 and len(list((study.folder / "runs").iterdir())) == 1
