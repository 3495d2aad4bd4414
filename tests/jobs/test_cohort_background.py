"""The window's labelling of a cohort: the command's batches in the background, whatever is killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import threading

import pytest
from noting_kind import add_model, make_study, noted
from server_threads import Serving

from napari_ssl.core.job import EventKind, JobKind, JobState
from napari_ssl.core.resources import Resources
from napari_ssl.core.training import spec_from_dict
from napari_ssl.errors import JobError, SpecError
from napari_ssl.jobs import place
from napari_ssl.jobs.changes import recover
from napari_ssl.jobs.cohort import CohortOrder, label_cohort
from napari_ssl.jobs.cohort_job import cohort_spec
from napari_ssl.jobs.connection import ENGINE_FOLDER_VARIABLE
from napari_ssl.jobs.runner import Runner
from napari_ssl.jobs.spec import TEST_KINDS_VARIABLE, read_spec
from napari_ssl.jobs.supervise import supervise

N = 7
ALL = [f"c{n:03d}" for n in range(N)]


@pytest.fixture(scope="module")
def labels_are_noted(jobs_environment):
    """What computes notes; the engine that this file starts knows it by its environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TEST_KINDS_VARIABLE, "noting_kind")
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture
def study(labels_are_noted, tmp_path):
    with make_study(tmp_path, N) as made:
        yield made


@pytest.fixture
def runner(study):
    with Runner(study.folder) as made:
        yield made


def ask(study, **how):
    (study.folder / "behaviour.json").write_text(json.dumps(how))


def order(study, **how):
    return cohort_spec(study, **{"batch_size": 3, **how})


def over(runner, job, eventually):
    return eventually(lambda: (j := runner.job(job.id)).state.is_over and j, 60)


def told(runner, job, kind):
    return [e.data for e in runner.events(job.id) if e.kind is kind]


def labelled_by(study):
    return {name: made[-1].model_id for name, made in study.proposals_of(ALL).items()}


def pid_of(runner, job):
    return told(runner, job, EventKind.STARTED)[-1]["pid"]


def test_an_order_is_read_back_and_names_no_case_unless_a_person_did(study):
    spec = order(study, workers=2, resources=Resources(memory_mb=2000))
    assert spec.cases is None and spec.model_id == "m1" and spec_from_dict(spec.to_dict()) == spec
    named = order(study, cases=["c001"])
    assert spec_from_dict(json.loads(json.dumps(named.to_dict()))) == named and named.hash != spec.hash
    assert order(study, workers=5).hash == spec.hash  # the same work
    with pytest.raises(SpecError, match="batch_size must be 1 to"):
        order(study, batch_size=0)
    for wrong in (
        {"models": "m1"},
        {"workers": 1.5},
        {"cases": [3]},
        {"cases": []},
        {"cases": 3},
        {"confidence": None},
    ):
        with pytest.raises(SpecError):
            spec_from_dict({"kind": "cohort", "model_id": "m1", **wrong})


def test_batches_are_in_the_study_while_the_cohort_goes_on(study, runner, eventually):
    ask(study, step_s=0.15)
    job = runner.submit(order(study))
    eventually(lambda: told(runner, job, EventKind.CHECKPOINT), 60)
    assert len(labelled_by(study)) >= 3 and not runner.job(job.id).state.is_over
    assert over(runner, job, eventually).state is JobState.DONE
    assert noted(study) == ALL and set(labelled_by(study).values()) == {"m1"}
    batches = [j for j in study.jobs() if j.kind is JobKind.PREDICT]
    assert [len(read_spec(study.job_folder(j.id)).items) for j in batches] == [3, 3, 1]
    assert all(j.state is JobState.DONE for j in batches)
    last = told(runner, job, EventKind.PROGRESS)[-1]
    assert (last["n_done"], last["n_cases"]) == (N, N) and last["cases_per_hour"] > 0
    (result,) = told(runner, job, EventKind.RESULT)
    assert (result["cases"], result["failed"]) == (N, {})
    assert [c["n_in_study"] for c in told(runner, job, EventKind.CHECKPOINT)] == [3, 6, 7]


def test_its_process_is_killed_in_the_middle_and_no_case_is_done_twice(study, runner, eventually):
    ask(study, step_s=0.15)
    job = runner.submit(order(study))
    for n in (2, 5):
        eventually(lambda n=n: len(noted(study)) >= n, 60)
        os.kill(pid_of(runner, job), signal.SIGKILL)
        eventually(lambda n=n: len(noted(study)) > n or runner.job(job.id).state.is_over, 60)
    assert over(runner, job, eventually).state is JobState.DONE, runner.job(job.id).message
    assert sorted(noted(study)) == ALL == sorted(labelled_by(study))
    assert runner.job(job.id).attempts == 3


def test_after_a_reboot_any_window_finds_it_and_it_goes_on(study, eventually, processes):
    ask(study, step_s=0.15)
    with Runner(study.folder) as runner:
        job = runner.submit(order(study))
        eventually(lambda: len(noted(study)) >= 4, 60)
    for process in processes():  # engine, worker, the cohort's process: everything at once
        os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: not processes(), 20)
    with Runner(study.folder) as runner:
        assert over(runner, job, eventually).state is JobState.DONE
        assert sorted(noted(study)) == ALL == sorted(labelled_by(study))
        assert {j.state for j in study.jobs()} == {JobState.DONE}  # batches, too, and none was run by itself


def test_a_stop_is_kept_and_the_next_order_goes_on_with_it_in_the_window_or_by_command(study, runner, eventually):
    ask(study, step_s=0.15)
    job = runner.submit(order(study))
    eventually(lambda: len(noted(study)) >= 4, 60)
    runner.cancel(job.id)
    assert over(runner, job, eventually).state is JobState.CANCELLED
    before = len(noted(study))
    assert before < N and len(labelled_by(study)) == 3
    ask(study)
    result = label_cohort(study, CohortOrder(batch_size=3), lambda _event: None, lambda: False)  # the command
    assert result["n_done_before"] == 3 and noted(study)[:before] + ALL[before:] == noted(study)
    assert sorted(noted(study)) == ALL


def test_a_case_that_breaks_is_left_out_and_told_with_its_reason(study, runner, eventually):
    ask(study, broken=["c001", "c006"])
    job = runner.submit(order(study))
    assert over(runner, job, eventually).state is JobState.DONE
    notices = told(runner, job, EventKind.NOTICE)
    assert {n["case_id"] for n in notices if "left_out" in n} == {"c001", "c006"}
    assert list(told(runner, job, EventKind.RESULT)[0]["failed"]) == ["c001", "c006"]
    assert sorted(noted(study)) == [name for name in ALL if name not in ("c001", "c006")]


def test_a_full_disk_fails_it_in_words_and_trying_again_goes_on(study, runner, eventually):
    ask(study, full=["c004"])
    (study.folder / "disk is full").touch()
    job = runner.submit(order(study))
    failed = over(runner, job, eventually)
    assert failed.state is JobState.FAILED and "make space on the disk" in failed.message
    assert len(labelled_by(study)) == 3  # the first batch
    (study.folder / "disk is full").unlink()
    runner.resume(job.id)
    eventually(lambda: runner.job(job.id).state is JobState.DONE, 60)
    assert noted(study) == ALL


def test_two_windows_order_it_once(study, monkeypatch):
    monkeypatch.setattr(Runner, "_hand_over", lambda *_: None)
    monkeypatch.setattr(Runner, "_recover", lambda *_: None)
    monkeypatch.setattr(Runner, "_settle", lambda *_: None)
    with Runner(study.folder) as runner, Runner(study.folder) as other:
        jobs = {runner.submit(order(study)).id, other.submit(order(study, workers=2)).id}
        assert len(jobs) == 1
        assert other.submit(order(study, cases=["c002"])).id not in jobs
        for job in study.jobs():
            runner.cancel(job.id)
        assert runner.submit(order(study)).id not in jobs  # one that is being stopped is not that order


def test_a_paused_cohort_goes_on_when_it_is_ordered_again(study, monkeypatch):
    monkeypatch.setattr(Runner, "_hand_over", lambda *_: None)
    monkeypatch.setattr(Runner, "_recover", lambda *_: None)
    with Runner(study.folder) as runner:
        job = runner.submit(order(study))
        study.update_job(job.id, state=JobState.PAUSED)
        again = runner.submit(order(study))
    assert (again.id, again.state) == (job.id, JobState.QUEUED) and len(study.jobs()) == 1


def test_two_processes_do_not_label_the_same_cohort(study):
    entered, leave, failed = threading.Event(), threading.Event(), []

    def waits() -> bool:
        entered.set()
        return leave.wait(60)

    def first() -> None:
        with pytest.raises(KeyboardInterrupt):
            label_cohort(study, CohortOrder(), lambda _event: None, waits)

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(60)
    try:
        label_cohort(study, CohortOrder(), lambda _event: None, lambda: False)
    except JobError as error:
        failed.append(str(error))
    leave.set()
    thread.join()
    assert failed and "labelled by another window or command already" in failed[0]


def test_cases_that_another_model_labelled_meanwhile_are_done_again(study, tmp_path):
    seen = []

    def stops() -> bool:
        return len(seen) >= 1

    def note(event):
        if event.kind is EventKind.CHECKPOINT:
            seen.append(event)

    with pytest.raises(KeyboardInterrupt):
        label_cohort(study, CohortOrder(batch_size=3), note, stops)
    assert noted(study) == ALL[:3]
    add_model(study, tmp_path, "m2")
    label_cohort(study, CohortOrder(cases=ALL[1:2]), lambda _event: None, lambda: False)
    study.promote("m1", by="test")
    (study.folder / "noted.txt").unlink()
    label_cohort(study, CohortOrder(batch_size=3), lambda _event: None, lambda: False)
    assert sorted(noted(study)) == ALL[1:2] + ALL[3:]
    assert set(labelled_by(study).values()) == {"m1"}


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.INTERRUPTED])
def test_a_batch_whose_cohort_is_gone_waits_for_it_and_is_nobody_elses(study, state, monkeypatch):
    from napari_ssl.jobs import changes
    from napari_ssl.rounds import prediction_spec

    monkeypatch.setattr(changes, "_IN_TRANSIT_S", 0.0)
    batch = study.create_job("predict", prediction_spec(study, cases=ALL[:3], part=(1, 3)).to_dict())
    study.update_job(batch.id, state=state)
    assert recover(study) == [] and study.job(batch.id).state is JobState.PAUSED
    assert "goes on with this batch" in study.job(batch.id).message
    with Runner(study.folder) as runner:
        for action in (runner.cancel, runner.resume):
            with pytest.raises(JobError, match="is a batch of a cohort"):
                action(batch.id)
    result = label_cohort(study, CohortOrder(batch_size=3), lambda _event: None, lambda: False)
    assert result["cases"] == ALL and study.job(batch.id).state is JobState.DONE


def test_its_batches_run_at_a_server_and_the_cohort_itself_here(study, tmp_path, monkeypatch):
    monkeypatch.setenv(ENGINE_FOLDER_VARIABLE, str(tmp_path / "home"))
    server = Serving(tmp_path / "server")
    try:
        place.use_server(place.read_line(server.line))
        job = study.create_job("cohort", order(study, batch_size=4).to_dict())
        assert supervise(str(study.folder), job.id) == "done", study.job(job.id).message
        at_server = {path.name for path in (server.folder / "runs").iterdir()}
    finally:
        server.close()
    batches = {j.id for j in study.jobs() if j.kind is JobKind.PREDICT}
    assert at_server == batches and len(batches) == 2
    assert set(labelled_by(study)) == set(ALL)
