"""What travels between a client and servers: once, checked by hash, and nothing at all where a folder is shared."""

from __future__ import annotations

import dataclasses
import json

import pytest
from click.testing import CliRunner
from server_threads import Counted, Serving

from napari_ssl.cli import main
from napari_ssl.core.job import JobState
from napari_ssl.core.resources import Resources
from napari_ssl.errors import EngineError
from napari_ssl.jobs import connection, place
from napari_ssl.jobs.foreground import run_here
from napari_ssl.jobs.offers import GPUS_VARIABLE
from napari_ssl.jobs.runner import Runner
from napari_ssl.jobs.shared_folder import SharedFolder, check_shared, fingerprint
from napari_ssl.jobs.supervise import supervise

PEM = "-----BEGIN X-----"


@pytest.fixture
def at_home(tmp_path, monkeypatch, jobs_environment):
    monkeypatch.setenv(connection.ENGINE_FOLDER_VARIABLE, str(tmp_path / "home"))


@pytest.fixture
def serving(at_home, tmp_path):
    opened = []

    def start(name="server", slots=1):
        opened.append(Serving(tmp_path / name, slots=slots))
        return opened[-1]

    yield start
    for server in opened:
        server.close()


@pytest.fixture
def reading(order, tmp_path):
    """An order to read an image of 6,000 bytes."""
    image = tmp_path / "image.nii.gz"
    image.write_bytes(b"voxels" * 1000)

    def make(**changes):
        spec = order(count=2, step_s=0, reads=True)
        item = dataclasses.replace(spec.items[0], image_path=str(image))
        return dataclasses.replace(spec, items=(item,), **changes)

    return make


def carried_out(study, spec):
    job = study.create_job("predict", spec.to_dict())
    supervise(str(study.folder), job.id)
    ended = study.job(job.id)
    assert ended.state is JobState.DONE, ended.message
    output = study.job_folder(job.id) / "output"
    assert (output / "read.bin").read_bytes() == b"voxels" * 1000
    assert json.loads((output / "where.json").read_text()) == {"folder": str(study.job_folder(job.id))}
    return job


def test_a_second_prediction_sends_no_image_again(serving, study, reading, monkeypatch):
    place.use_server(place.read_line(serving().line))
    counted = Counted(monkeypatch)
    carried_out(study, reading())
    assert counted.n_bytes["sent"] == 6000 and counted.requests["put"] == 1
    counted.forget()
    carried_out(study, reading(memory_limit_mb=200))
    assert counted.n_bytes["sent"] == 0 and counted.requests["put"] == 0 and counted.requests["start"] == 1


def test_a_result_that_arrives_damaged_is_refused_and_asked_for_again(serving, study, reading, monkeypatch):
    place.use_server(place.read_line(serving().line))
    counted, damage = Counted(monkeypatch), [True]

    def changed(handler, answer):
        if handler == "get" and len(answer) == 6000 and damage:
            damage.pop()
            return b"x" + answer[1:]
        return answer

    counted.changed = changed
    carried_out(study, reading())
    assert not damage and counted.n_bytes["received"] > 2 * 6000


def test_a_result_that_always_arrives_damaged_fails_the_job_in_words_and_is_not_kept(
    serving, study, reading, monkeypatch
):
    place.use_server(place.read_line(serving().line))
    counted = Counted(monkeypatch)
    counted.changed = lambda handler, answer: b"x" * 6000 if handler == "get" and len(answer) == 6000 else answer
    job = study.create_job("predict", reading().to_dict())
    supervise(str(study.folder), job.id)
    assert study.job(job.id).state is JobState.FAILED and "arrived damaged" in study.job(job.id).message
    assert not (study.job_folder(job.id) / "output" / "read.bin").exists()


def test_what_lies_in_a_shared_folder_travels_neither_there_nor_back(serving, study, reading, monkeypatch, tmp_path):
    server = place.read_line(serving().line)
    (tmp_path / "mounted").symlink_to(tmp_path)  # what the server calls it
    shared = SharedFolder(here=str(tmp_path), there=str(tmp_path / "mounted"))
    place.use_server(dataclasses.replace(server, shared=shared))
    counted = Counted(monkeypatch)
    job = carried_out(study, reading())
    assert counted.n_bytes == {"sent": 0, "received": 0} and counted.requests["deliver"] == 2
    assert not list(study.job_folder(job.id).glob(".incoming-*"))
    written = (tmp_path / "server" / "runs" / job.id / "spec.json").read_text()
    assert str(tmp_path / "mounted" / "image.nii.gz") in written


def test_a_file_that_the_server_sees_differently_is_sent_all_the_same(serving, study, reading, monkeypatch, tmp_path):
    server = place.read_line(serving().line)
    other = tmp_path / "other"
    other.mkdir()
    (other / "image.nii.gz").write_bytes(b"others" * 1000)  # same name, same size
    shared = SharedFolder(here=str(tmp_path), there=str(other))
    place.use_server(dataclasses.replace(server, shared=shared))
    counted = Counted(monkeypatch)
    carried_out(study, reading())
    assert counted.n_bytes["sent"] == 6000


def test_the_command_looks_at_a_shared_folder_from_both_sides(serving, tmp_path):
    line, folder = serving().line, tmp_path / "data"
    folder.mkdir()
    (tmp_path / "mounted").symlink_to(folder)
    done = CliRunner().invoke(main, ["engine", "use", line, "--shared", f"{folder}={tmp_path / 'mounted'}"])
    assert done.exit_code == 0, done.output
    assert place.server_in_use().shared == SharedFolder(here=str(folder), there=str(tmp_path / "mounted"))
    assert f"shares {folder}" in CliRunner().invoke(main, ["engine", "status"]).stdout
    wrong = CliRunner().invoke(main, ["engine", "use", line, "--shared", f"{folder}={tmp_path / 'nowhere'}"])
    assert wrong.exit_code != 0 and "does not see" in wrong.stderr and "--shared HERE=THERE" in wrong.stderr
    assert place.server_in_use().shared.there == str(tmp_path / "mounted")  # as before
    assert not list(folder.iterdir())  # the token is gone


def test_a_token_that_only_looks_the_same_does_not_pass(tmp_path):
    with pytest.raises(EngineError, match="does not see"):
        check_shared(SharedFolder(here=str(tmp_path), there="/data"), lambda handler, paths: ["0" * 64])
    with pytest.raises(EngineError, match="absolute"):
        SharedFolder(here="data", there="/data")
    assert SharedFolder.parse("/data") == SharedFolder(here="/data", there="/data")
    assert fingerprint(tmp_path / "absent") is None


@pytest.mark.parametrize("path", ["relative/.incoming-1", "/tmp/../etc/.incoming-1", "/tmp/passwd"])
def test_a_server_delivers_to_no_other_place(serving, path):
    from napari_ssl.jobs.server_connection import Connection

    server = serving()
    ask = Connection(place.read_line(server.line))
    run = server.folder / "runs" / "job1"
    run.mkdir()
    (run / "a").write_bytes(b"a")
    try:
        with pytest.raises(Exception, match="no place in a shared folder"):
            ask("deliver", job="job1", name="a", path=path)
    finally:
        ask.close()


def test_jobs_go_to_the_server_that_has_what_they_need_and_come_back_to_their_checkpoints(
    serving, study, order, monkeypatch
):
    monkeypatch.setenv(GPUS_VARIABLE, "0")
    first = serving("first")
    monkeypatch.setenv(GPUS_VARIABLE, "1")
    second = serving("second")
    place.use_server(place.read_line(first.line))
    place.add_server(place.read_line(second.line))
    spec = dataclasses.replace(order(count=2, step_s=0), resources=Resources(gpus=1))
    job = study.create_job("predict", spec.to_dict())
    assert supervise(str(study.folder), job.id) == "done"
    assert (second.folder / "runs" / job.id).is_dir() and not (first.folder / "runs" / job.id).exists()
    stuck = study.create_job("predict", dataclasses.replace(spec, resources=Resources(gpus=9)).to_dict())
    assert supervise(str(study.folder), stuck.id) == "failed"
    assert "needs 9 GPUs; no worker of this engine has so many" in study.job(stuck.id).message
    study.job_folder(job.id).joinpath(".server").unlink()
    again = study.create_job("predict", order(count=3, step_s=0).to_dict())
    (study.job_folder(again.id) / ".server").write_text(place.read_line(first.line).address)
    assert supervise(str(study.folder), again.id) == "done"
    assert (first.folder / "runs" / again.id).is_dir()  # where it was before


def test_a_command_has_its_work_done_at_the_server_and_a_stop_is_gone_on_with(serving, study, order):
    server = serving()
    place.use_server(place.read_line(server.line))
    heard = []
    with pytest.raises(KeyboardInterrupt):
        run_here(study, order(count=60, step_s=0.05), heard.append, lambda: len(heard) > 3)
    (job,) = study.jobs()
    assert job.state is JobState.PAUSED
    result = run_here(study, order(count=60, step_s=0.05), heard.append, lambda: False)
    assert result["n"] == 60 and study.job(job.id).state is JobState.DONE
    steps = [e.data["iteration"] for e in heard if e.kind.value == "checkpoint"]
    assert steps == list(range(1, 61))  # none twice
    assert (server.folder / "runs" / job.id / "count.json").exists()
    assert not (study.job_folder(job.id) / "count.json").exists()


def test_a_command_whose_work_fails_at_the_server_says_why(serving, study, order):
    place.use_server(place.read_line(serving().line))
    with pytest.raises(Exception, match="the image is truncated; copy it again"):
        run_here(study, order(fail=True), lambda event: None, lambda: False)


def test_the_engine_watches_several_jobs_elsewhere_at_a_time_and_one_here(serving, study, order, eventually):
    place.use_server(place.read_line(serving(slots=2).line))
    try:
        with Runner(study.folder) as runner:
            jobs = [runner.submit(order(count=400 + n, step_s=0.05)) for n in range(2)]
            eventually(lambda: all(len(runner.events(job.id)) > 3 for job in jobs), 60)  # both before either ends
            assert {runner.job(job.id).state for job in jobs} == {JobState.RUNNING}
            third = runner.submit(order(count=1))
            eventually(lambda: "Waits for a place at tls://" in runner.job(third.id).message, 60)
            for job in (*jobs, third):
                runner.cancel(job.id)
            eventually(lambda: all(runner.job(job.id).state is JobState.CANCELLED for job in (*jobs, third)), 60)
    finally:
        connection.stop_engine()


def test_an_engine_of_before_is_replaced_since_it_announces_nothing(study, order, monkeypatch, jobs_environment):
    from napari_ssl.jobs import connection as module

    engines = iter([{}, {"gpus": 0, "memory_mb": 1, "cores": 1, "slots": 1}])
    asked = []

    def engine():
        asked.append("ensure")
        offer = next(engines)
        return module.Credentials(
            address="tls://127.0.0.1:1", pid=1, ca_cert=PEM, client_cert=PEM, client_key=PEM, offer=offer
        )

    monkeypatch.setattr(module, "ensure_engine", engine)
    monkeypatch.setattr(module, "stop_engine", lambda: asked.append("stop"))
    monkeypatch.setattr(module, "security", lambda credentials: None)

    def refuse(*_, **__):
        raise OSError("refused")

    monkeypatch.setattr("distributed.Client", refuse)
    with pytest.raises(EngineError, match="does not answer"):
        module.submit_job(study.folder, "job", {"HERE": 1})
    assert asked == ["ensure", "stop", "ensure"]
