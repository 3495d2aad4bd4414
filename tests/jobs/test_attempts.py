"""Attempts that get further do not count among the three that a job may be lost."""

from __future__ import annotations

import pytest

from napari_ssl.core.job import Event, EventKind, JobState
from napari_ssl.jobs import supervise as module
from napari_ssl.jobs.attempts import MAX_ATTEMPTS, Furthest, forget_attempts, keep_fruitful, n_fruitless
from napari_ssl.jobs.events import read_events
from napari_ssl.jobs.runner import Runner
from napari_ssl.jobs.supervise import supervise


def checkpoint(iteration, path="/a/steps/0123/checkpoints/c.pt"):
    return Event(kind=EventKind.CHECKPOINT, data={"iteration": iteration, "path": path})


def test_only_a_checkpoint_beyond_all_before_is_further():
    furthest = Furthest([checkpoint(200)])
    assert not furthest.take(checkpoint(100)) and not furthest.take(checkpoint(200))
    assert furthest.take(checkpoint(201)) and not furthest.take(checkpoint(201))


def test_steps_of_a_strategy_are_counted_apart_wherever_they_lie():
    furthest = Furthest([checkpoint(500)])
    assert not furthest.take(checkpoint(400, "/srv/store/steps/0123/checkpoints/c.pt"))  # the same at a server
    assert not furthest.take(checkpoint(400, r"D:\\store\\steps\\0123\\checkpoints\\c.pt"))
    assert furthest.take(checkpoint(1, "/a/steps/4567/checkpoints/c.pt"))
    assert not furthest.take(checkpoint(0, "/a/steps/89ab/checkpoints/c.pt"))


def test_a_labelling_is_further_with_each_case_and_other_words_say_nothing():
    furthest = Furthest()
    assert furthest.take(Event(kind=EventKind.PROGRESS, data={"n_done": 3}))
    assert not furthest.take(Event(kind=EventKind.PROGRESS, data={"n_done": 3}))
    assert not furthest.take(Event(kind=EventKind.PROGRESS, data={"fraction": 0.9}))
    assert not furthest.take(Event(kind=EventKind.NOTICE, data={"n_done": 9}))
    assert not furthest.take(Event(kind=EventKind.CHECKPOINT, data={"path": "c.pt"}))


def test_attempts_since_the_last_that_got_further_are_counted(tmp_path):
    assert n_fruitless(tmp_path, 2) == 2
    keep_fruitful(tmp_path, 4)
    assert [n_fruitless(tmp_path, n) for n in (4, 5, 7)] == [0, 1, 3]
    assert n_fruitless(tmp_path, 2) == 2  # attempts were counted anew meanwhile
    forget_attempts(tmp_path)
    assert n_fruitless(tmp_path, 4) == 4
    (tmp_path / ".fruitful").write_text("many")
    assert n_fruitless(tmp_path, 4) == 4
    keep_fruitful(tmp_path / "absent", 1)  # a full disk, say: it counts as one that did not


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(module, "_RESTART_AFTER_S", 0.0)


def run(study, spec):
    job = study.create_job("predict", spec.to_dict())
    supervise(str(study.folder), job.id)
    return study.job(job.id)


def test_a_job_that_gets_further_each_time_is_never_given_up(study, order, at_once):
    job = run(study, order(count=5, step_s=0, dies_after=[1, 2, 3, 4]))
    assert (job.state, job.attempts) == (JobState.DONE, 5) and job.attempts > MAX_ATTEMPTS
    events = read_events(study.job_folder(job.id))
    assert [e.data["iteration"] for e in events if e.kind is EventKind.CHECKPOINT] == [1, 2, 3, 4, 5]
    notices = [e.data["message"] for e in events if e.kind is EventKind.NOTICE]
    assert len(notices) == 4 and all("got further than before" in text for text in notices)


def test_one_that_is_stuck_is_given_up_after_three_wherever_it_was_lost_before(study, order, at_once):
    job = run(study, order(count=5, step_s=0, dies_after=[1, 2], dies_before=4, times=9))
    assert (job.state, job.attempts) == (JobState.FAILED, 6)  # the third got to 3, the others nowhere
    assert "shorter than that between two checkpoints" in job.message
    notices = [e.data["message"] for e in read_events(study.job_folder(job.id)) if e.kind is EventKind.NOTICE]
    assert ["of 3" in text for text in notices] == [False, False, False, True, True, False]


def test_an_engine_that_comes_later_knows_how_far_the_attempts_came(study, order, at_once):
    job = study.create_job("predict", order(count=3, step_s=0).to_dict())
    keep_fruitful(study.job_folder(job.id), 7)
    study.update_job(job.id, state=JobState.INTERRUPTED, attempts=8)
    supervise(str(study.folder), job.id)
    assert (study.job(job.id).state, study.job(job.id).attempts) == (JobState.DONE, 9)


def test_a_person_who_resumes_gets_three_new_attempts(study, order, monkeypatch):
    job = study.create_job("predict", order().to_dict())
    keep_fruitful(study.job_folder(job.id), 2)
    study.update_job(job.id, state=JobState.FAILED, attempts=5)
    monkeypatch.setattr(Runner, "_hand_over", lambda *_: None)
    monkeypatch.setattr(Runner, "_recover", lambda *_: None)
    with Runner(study.folder) as runner:
        assert runner.resume(job.id).attempts == 0
    assert n_fruitless(study.job_folder(job.id), 2) == 2
