"""The engine: who may talk to it, when it ends, and what becomes of its jobs when it is lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys

import psutil
import pytest
from cryptography import x509
from distributed import Client
from distributed.comm import connect
from distributed.security import Security

from napari_ssl.core.job import EventKind, JobState
from napari_ssl.errors import EngineError
from napari_ssl.jobs import connection
from napari_ssl.jobs.connection import ensure_engine, is_running, read_credentials, security, stop_engine
from napari_ssl.jobs.engine import IDLE_VARIABLE
from napari_ssl.jobs.runner import Runner

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="permissions and signals of POSIX")


@pytest.fixture
def engine(jobs_environment):
    return ensure_engine()


def test_credentials_are_for_their_owner_alone(engine, jobs_environment):
    assert stat.S_IMODE(jobs_environment.stat().st_mode) == 0o700
    assert stat.S_IMODE((jobs_environment / "engine.json").stat().st_mode) == 0o600


def test_a_folder_that_others_can_enter_is_closed(tmp_path, monkeypatch):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    monkeypatch.setenv(connection.ENGINE_FOLDER_VARIABLE, str(folder))
    assert stat.S_IMODE(connection.engine_folder().stat().st_mode) == 0o700


def test_a_second_engine_leaves_the_place_to_the_first(engine):
    done = subprocess.run(
        [sys.executable, "-m", "napari_ssl.jobs.engine"], capture_output=True, check=False, timeout=30
    )
    assert done.returncode == 0
    assert b"another engine is running" in done.stderr
    assert ensure_engine() == engine


def test_everything_listens_on_this_machine_alone(engine, processes):
    listening = [c.laddr.ip for p in processes() for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert listening
    assert set(listening) == {"127.0.0.1"}


async def _reach(address, **arguments):
    comm = await connect(address, timeout=2, **arguments)
    try:
        await comm.write({"op": "identity", "reply": True})
        return await comm.read()
    finally:
        comm.abort()


def test_a_client_without_or_with_foreign_certificates_gets_nothing(engine):
    foreign = Security.temporary()
    nothing = ssl.create_default_context()
    nothing.check_hostname, nothing.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(OSError):
        asyncio.run(_reach(engine.address.replace("tls://", "tcp://")))
    with pytest.raises(OSError):
        asyncio.run(_reach(engine.address, ssl_context=nothing))
    with pytest.raises(OSError):
        asyncio.run(_reach(engine.address, **foreign.get_connection_args("client")))
    known = security(engine).get_connection_args("client")
    assert asyncio.run(_reach(engine.address, **known))["type"] == "Scheduler"


def test_a_certificate_of_the_right_name_that_the_engine_has_not_signed_is_refused(engine):
    impostor = Security.temporary()
    mixed = Security(
        require_encryption=True,
        tls_ca_file=engine.ca_cert,  # believes the engine, but the engine does not believe it
        tls_client_cert=impostor.tls_client_cert,
        tls_client_key=impostor.tls_client_key,
    )
    with pytest.raises(OSError):
        asyncio.run(_reach(engine.address, **mixed.get_connection_args("client")))


def test_the_engine_is_reached_when_the_clock_is_set_back(engine):
    """A certificate counts from the year 1970 on: the hour that it was made at may come once more."""
    for text in (engine.ca_cert, engine.client_cert):
        certificate = x509.load_pem_x509_certificate(text.encode())
        assert certificate.not_valid_before_utc.year == 1970 and certificate.not_valid_after_utc.year > 2026


def test_plain_http_finds_no_page_on_any_port(engine, processes):
    ports = [c.laddr.port for p in processes() for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    for port in ports:
        for path in ("/", "/status", "/info/main/workers.html", "/metrics", "/json/counts.json"):
            with socket.create_connection(("127.0.0.1", port), timeout=3) as plain:
                plain.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                try:
                    answer = plain.recv(4096)
                except OSError:
                    answer = b""
            assert answer == b"" or b" 404 " in answer.splitlines()[0] or not answer.startswith(b"HTTP"), (port, path)


def test_an_engine_that_is_killed_takes_the_job_along_and_the_next_one_resumes_it(study, order, eventually, processes):
    with Runner(study.folder) as runner:
        job = runner.submit(order(count=30, step_s=0.05))
        eventually(lambda: len(runner.events(job.id)) > 5)
        before = set(processes())
        os.kill(ensure_engine().pid, signal.SIGKILL)
        eventually(lambda: not any(p.is_running() for p in before), 4)
        done = eventually(lambda: (j := runner.job(job.id)).state.is_over and j, 30)
        notices = [e.data["message"] for e in runner.events(job.id) if e.kind is EventKind.NOTICE]
    assert (done.state, done.attempts) == (JobState.DONE, 2)
    assert "engine or the computer was shut down" in notices[0]
    assert "interrupted" in [s["state"] for s in study.job_states(job.id)]
    result = json.loads((study.folder / f"adopted-{job.id}.json").read_text())
    total = 0
    for n in range(30):
        total = total * 3 % 10007 + n
    assert result == {"kind": "predict", "n": 30, "sum": total}


def test_a_window_that_opens_after_an_engine_was_lost_finds_and_resumes_the_job(study, order, eventually):
    with Runner(study.folder) as first:
        job = first.submit(order(count=25, step_s=0.05))
        eventually(lambda: len(first.events(job.id)) > 3)
    os.kill(ensure_engine().pid, signal.SIGKILL)
    with Runner(study.folder) as second:
        done = eventually(lambda: (j := second.job(job.id)).state.is_over and j, 30)
    assert (done.state, done.attempts) == (JobState.DONE, 2)


def test_a_killed_worker_is_replaced_and_its_job_goes_on(engine, study, order, eventually):
    with Runner(study.folder) as runner, Client(engine.address, security=security(engine), set_as_default=False) as c:
        job = runner.submit(order(count=25, step_s=0.05))
        eventually(lambda: len(runner.events(job.id)) > 3)
        worker = next(iter(c.run(os.getpid).values()))
        os.kill(worker, signal.SIGKILL)
        done = eventually(lambda: (j := runner.job(job.id)).state.is_over and j, 40)
    assert (done.state, done.attempts) == (JobState.DONE, 2)


def test_an_idle_engine_ends_by_itself_and_withdraws_its_credentials(jobs_environment, monkeypatch, eventually):
    stop_engine()
    monkeypatch.setenv(IDLE_VARIABLE, "0.5")
    pid = ensure_engine().pid
    eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    eventually(lambda: not is_running(jobs_environment))
    assert read_credentials(jobs_environment) is None
    assert not (jobs_environment / "engine.json").exists()


def test_an_engine_that_cannot_start_fails_the_job_in_words(study, order, eventually, monkeypatch):
    stop_engine()
    monkeypatch.setattr(
        connection, "_start", lambda folder: subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    )
    with pytest.raises(EngineError, match="does not start"):
        ensure_engine()
    with Runner(study.folder) as runner:
        job = runner.submit(order())
        job = eventually(lambda: (j := runner.job(job.id)).state.is_over and j)
        assert job.state is JobState.FAILED
        assert "engine does not start" in job.message
        assert runner.events(job.id)[-1].kind is EventKind.FAILED
