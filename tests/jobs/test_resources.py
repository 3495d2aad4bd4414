"""What jobs need and workers have: orders, places, words of a job that nobody can serve, several servers."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.job import EventKind, JobState
from napari_ssl.core.resources import Resources
from napari_ssl.core.training import spec_from_dict
from napari_ssl.errors import SpecError
from napari_ssl.jobs import connection, offers, place
from napari_ssl.jobs.connection import ensure_engine, security, stop_engine
from napari_ssl.jobs.desk import Desk
from napari_ssl.jobs.offers import GPUS_VARIABLE, Offer, lacking, needs_of, offer_here, resolved
from napari_ssl.jobs.runner import Runner
from napari_ssl.study import schema
from napari_ssl.study.base import now

PLAIN = Offer(gpus=0, memory_mb=8000, cores=4)
GPU = Offer(gpus=1, memory_mb=64_000, cores=16)


def test_an_order_keeps_what_it_needs_and_its_name_does_not_change_with_it(order):
    plain = order()
    asking = dataclasses.replace(plain, resources=Resources(gpus=1, memory_mb=9000, cores=2, hours=3))
    again = spec_from_dict(json.loads(json.dumps(asking.to_dict())))
    assert again.resources == asking.resources and again.hash == plain.hash
    old = {k: v for k, v in plain.to_dict().items() if k != "resources"}  # as written before there were such
    assert spec_from_dict(old).resources == Resources()


@pytest.mark.parametrize("wrong", [{"gpus": -1}, {"memory_mb": 1.5}, {"cores": "2"}, {"hours": float("nan")}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(SpecError, match=next(iter(wrong))):
        Resources(**wrong)


@pytest.mark.parametrize(
    ("device", "asked", "here", "at_a_gpu"),
    [("cpu", None, 0, 0), ("auto", None, 0, 1), ("cuda", None, 1, 1), ("auto", 2, 2, 2), ("cuda:0", 0, 0, 0)],
)
def test_the_device_says_whether_a_gpu_is_needed(order, device, asked, here, at_a_gpu):
    spec = dataclasses.replace(order(), device=device, resources=Resources(gpus=asked))
    assert [resolved(needs_of(spec), offer).gpus for offer in (PLAIN, GPU)] == [here, at_a_gpu]


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (Resources(gpus=0, memory_mb=8000, cores=4), ""),
        (Resources(gpus=1), "needs 1 GPU; no worker of this engine has one (a has no GPU, 8,000 MB, 4 cores)"),
        (Resources(gpus=2), "needs 2 GPUs; no worker of this engine has any"),
        (Resources(memory_mb=9000), "needs 9,000 MB of memory; no worker of this engine has that"),
        (Resources(gpus=1, cores=8), "needs 1 GPU and 8 cores; no worker of this engine has that"),
    ],
)
def test_what_is_lacking_is_said_in_words(needs, words):
    assert lacking(needs, {"a": PLAIN}).startswith(words) and bool(lacking(needs, {"a": PLAIN})) == bool(words)
    if (needs.gpus or 0) < 2:
        assert lacking(needs, {"a": PLAIN, "b": GPU}) == ""


def test_gpus_that_the_user_hides_are_not_announced(monkeypatch):
    monkeypatch.delenv(GPUS_VARIABLE, raising=False)
    monkeypatch.setattr(offers.sys, "platform", "linux")
    monkeypatch.setattr(offers, "_n_nvidia", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert offer_here().gpus == 4
    for chosen, n in (("2,3", 2), ("", 0), ("-1", 0), ("GPU-1a", 1)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
        assert offer_here().gpus == n


def test_the_engines_worker_announces_what_there_is(jobs_environment):
    from distributed import Client

    engine = ensure_engine()
    with Client(engine.address, security=security(engine), set_as_default=False) as client:
        (worker,) = client.scheduler_info()["workers"].values()
    offer = offer_here()
    assert worker["resources"] == {
        "HERE": 1, "GPU": offer.gpus, "MEMORY": offer.memory_mb, "AWAY": connection.AWAY,
    }  # fmt: skip
    assert engine.offer == offer.to_dict()


def test_a_job_that_nobody_can_serve_waits_with_words_and_runs_when_somebody_can(
    study, order, eventually, monkeypatch, jobs_environment
):
    stop_engine()
    monkeypatch.setattr("napari_ssl.jobs.runner._RETRY_S", 0.2)
    monkeypatch.setenv(GPUS_VARIABLE, "0")
    spec = dataclasses.replace(order(count=2), resources=Resources(gpus=1))
    with Runner(study.folder) as runner:
        job = runner.submit(spec)
        words = "needs 1 GPU; no worker of this engine has one"
        eventually(lambda: words in runner.job(job.id).message)
        eventually(lambda: len(runner.events(job.id)) == 1)  # it is told once, however often it is tried again
        assert runner.job(job.id).state is JobState.QUEUED
        spoken = CliRunner().invoke(main, ["jobs", "list", str(study.folder)]).stdout
        assert words in spoken and "engine use" in spoken
        assert connection.read_credentials(jobs_environment) is None  # no engine comes up for nothing
        with study._database.write() as writing:  # long ago, as `recover` leaves new ones to who made them
            writing.execute(sa.update(schema.jobs).values(updated_at=now() - timedelta(seconds=60)))
        monkeypatch.setenv(GPUS_VARIABLE, "1")
        done = eventually(lambda: (j := runner.job(job.id)).state.is_over and j, 40)
    assert done.state is JobState.DONE
    assert [e.kind for e in runner.events(job.id)].count(EventKind.NOTICE) == 1
    stop_engine()  # it believes in a GPU


def test_a_waiting_job_can_be_stopped(study, order, eventually, monkeypatch):
    stop_engine()
    monkeypatch.setenv(GPUS_VARIABLE, "0")
    with Runner(study.folder) as runner:
        job = runner.submit(dataclasses.replace(order(), resources=Resources(memory_mb=15_000_000)))
        eventually(lambda: "15,000,000 MB of memory" in runner.job(job.id).message)
        runner.cancel(job.id)
        eventually(lambda: runner.job(job.id).state is JobState.CANCELLED)


@pytest.mark.parametrize(
    ("running", "new", "fits"),
    [
        ([], {"gpus": 2}, True),
        ([{"gpus": 1}], {"gpus": 2}, False),
        ([{"gpus": 1}, {"gpus": 1}], {"gpus": 0}, True),
        ([{"memory_mb": 6000}], {"memory_mb": 3000}, False),
        ([{"cores": 3}], {"cores": 1}, True),
        ([{}, {}, {}], {}, False),
    ],
)
def test_jobs_share_what_a_server_has(tmp_path, monkeypatch, running, new, fits):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    desk = Desk(tmp_path, Offer(gpus=2, memory_mb=8000, cores=4, slots=3))

    class Running:
        def poll(self):
            return None

    for number, needs in enumerate(running):
        gpus = desk._room_for(Resources(**needs))
        desk._children[str(number)], desk._taken[str(number)] = Running(), (Resources(**needs), gpus)
    given = desk._room_for(Resources(**new))
    assert (given is not None) == fits
    taken = [name for _, gpus in desk._taken.values() for name in gpus]
    assert not fits or not set(given) & set(taken)
    assert not fits or len(given) == new.get("gpus", 0)


def test_a_place_of_before_there_were_several_is_still_read(tmp_path, monkeypatch):
    monkeypatch.setenv(connection.ENGINE_FOLDER_VARIABLE, str(tmp_path / "home"))
    pem = "-----BEGIN X-----"
    old = {"address": "tls://gpu.lab:8786", "ca_cert": pem, "client_cert": pem, "client_key": pem}
    (connection.engine_folder() / "place.json").write_text(json.dumps(old))
    assert place.server_in_use() == place.Server(**old)
    place.add_server(place.Server(**{**old, "address": "tls://other.lab:8786"}))
    assert [s.address for s in place.place_in_use().servers] == ["tls://gpu.lab:8786", "tls://other.lab:8786"]
    assert "BEGIN" not in place.place_name(place.place_in_use())


def test_a_command_says_what_its_job_needs(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from cohort_study import make_study

    from napari_ssl.jobs.spec import read_spec

    monkeypatch.delenv("NAPARI_SSL_TEST_KINDS", raising=False)
    monkeypatch.setenv(connection.ENGINE_FOLDER_VARIABLE, str(tmp_path / "home"))
    with make_study(tmp_path, 1) as study:
        words = [
            "predict",
            str(study.folder),
            "--no-crf",
            "--gpus",
            "0",
            "--memory",
            "1.5",
            "--cores",
            "1",
            "--hours",
            "2",
        ]
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
        (job,) = study.jobs()
        asked = read_spec(study.job_folder(job.id)).resources
    assert asked == Resources(gpus=0, memory_mb=1500, cores=1, hours=2)
    assert CliRunner().invoke(main, ["train", str(tmp_path), "--gpus", "-1"]).exit_code == 2
