"""Faults that are injected: a window that is killed, two windows on one study, a clock set back, a full database."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import timedelta

import pytest
import sqlalchemy as sa

from napari_ssl.core.job import JobState
from napari_ssl.errors import StorageError
from napari_ssl.jobs.changes import recover
from napari_ssl.jobs.events import read_events
from napari_ssl.jobs.runner import Runner
from napari_ssl.study import schema
from napari_ssl.study.base import now


def _queue(study, order, age_s):
    job = study.create_job("predict", order().to_dict())
    with study._database.write() as connection:
        values = {"updated_at": now() - timedelta(seconds=age_s)}
        connection.execute(sa.update(schema.jobs).where(schema.jobs.c.id == job.id).values(values))
    return job


@pytest.mark.parametrize(("age_s", "is_taken_up"), [(-3600 * 24, True), (0, False), (60, True)])
def test_a_queued_job_is_taken_up_though_the_clock_was_set_back(study, order, age_s, is_taken_up):
    job = _queue(study, order, age_s)
    assert [j.id for j in recover(study)] == ([job.id] if is_taken_up else [])


def test_a_full_database_is_said_in_words_and_nothing_is_half_written(study, order):
    before = study.jobs()
    pages = sqlite3.connect(study.folder / "study.db").execute("PRAGMA page_count").fetchone()[0]

    def limit(connection, _record):
        connection.execute(f"PRAGMA max_page_count={pages}")

    writer = study._database._writer
    sa.event.listen(writer, "connect", limit)
    writer.dispose()
    with pytest.raises(StorageError, match="free space on the disk, then try again"):
        for _ in range(200):
            study.create_job("predict", order().to_dict())
    sa.event.remove(writer, "connect", limit)
    writer.dispose()
    made = study.jobs()
    assert all((study.folder / job.folder / "spec.json").is_file() for job in made[len(before) :])
    assert study.create_job("predict", order().to_dict()).state is JobState.QUEUED  # there is room again
    assert not [f for f in study.check() if "damaged" in f.message]


WINDOW = """
import os, signal, sys
from napari_ssl.core.training import spec_from_dict
from napari_ssl.jobs.runner import Runner
from napari_ssl.core.job import JobState
import json, time
runner = Runner(sys.argv[1])
job = runner.submit(spec_from_dict(json.loads(sys.argv[2])))
while runner.job(job.id).state is not JobState.RUNNING:
    time.sleep(0.02)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_window_that_is_killed_leaves_its_job_running_and_two_new_windows_see_it_end_once(study, order, eventually):
    import json

    document = json.dumps(order(count=30, step_s=0.05).to_dict())
    window = subprocess.run([sys.executable, "-c", WINDOW, str(study.folder), document], timeout=120)
    assert window.returncode == -signal.SIGKILL
    with Runner(study.folder) as first, Runner(study.folder) as second:
        (job,) = first.jobs()
        ended = eventually(lambda: (j := second.job(job.id)).state.is_over and j, 60)
        assert (ended.state, ended.attempts) == (JobState.DONE, 1)
        time.sleep(0.5)  # both look after jobs meanwhile: neither runs it again
        assert [e.kind.value for e in first.events(job.id)].count("started") == 1
    assert read_events(study.job_folder(job.id))[-1].data["n"] == 30


def test_orders_of_two_windows_are_all_carried_out_once(study, order, eventually):
    with Runner(study.folder) as first, Runner(study.folder) as second:
        jobs = [runner.submit(order(count=2)) for runner in (first, second, first)]
        eventually(lambda: all(first.job(job.id).state is JobState.DONE for job in jobs), 60)
        for job in jobs:
            assert [e.kind.value for e in second.events(job.id)].count("started") == 1
            assert second.job(job.id).attempts == 1


def test_after_a_reboot_a_job_goes_on_where_it_was(study, order, eventually, processes):
    with Runner(study.folder) as runner:
        job = runner.submit(order(count=20, step_s=0.1))
        eventually(lambda: runner.job(job.id).progress > 0.2 or runner.job(job.id).state.is_over, 60)
    for process in processes():  # everything at once, as when the power fails
        os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: not processes(), 20)
    assert study.job(job.id).state is JobState.RUNNING  # nobody was left to say otherwise
    with Runner(study.folder) as runner:
        ended = eventually(lambda: (j := runner.job(job.id)).state.is_over and j, 90)
        assert (ended.state, ended.attempts) == (JobState.DONE, 2)
    steps = [e.data["iteration"] for e in read_events(study.job_folder(job.id)) if e.kind.value == "checkpoint"]
    assert steps == sorted(set(steps)) == list(range(1, 21))  # no step twice
