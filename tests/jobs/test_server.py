"""A server that computes for clients: TLS with its own certificates, files by content, results checked."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
import ssl
import stat
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.job import JobState
from napari_ssl.errors import EngineError, StorageError
from napari_ssl.jobs import place
from napari_ssl.jobs.connection import ENGINE_FOLDER_VARIABLE
from napari_ssl.jobs.events import read_events
from napari_ssl.jobs.parcels import Store, digest_of, pack, unpack
from napari_ssl.jobs.server import open_server
from napari_ssl.jobs.server_connection import Connection
from napari_ssl.jobs.supervise import supervise


@pytest.fixture
def serving(tmp_path, jobs_environment):
    """Start servers in threads; give their line and folder."""
    opened = []

    def start(name="server", slots=1):
        folder = tmp_path / name
        ready = threading.Event()
        box = {}

        async def run():
            stop = asyncio.Event()
            server, line = await open_server(
                folder, host="127.0.0.1", names=["127.0.0.1", "localhost"], port=0, n_slots=slots
            )
            box.update(line=line, loop=asyncio.get_running_loop(), stop=stop, port=server.port)
            ready.set()
            await stop.wait()
            await server.end()

        thread = threading.Thread(target=lambda: asyncio.run(run()))
        thread.start()
        assert ready.wait(60)
        opened.append((box, thread))
        return box["line"], folder, box["port"]

    yield start
    for box, thread in opened:
        box["loop"].call_soon_threadsafe(box["stop"].set)
        thread.join()


@pytest.fixture
def at_home(tmp_path, monkeypatch):
    """An engine folder of this test's own, so that its choice of a server is nobody else's."""
    monkeypatch.setenv(ENGINE_FOLDER_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_job_runs_at_the_server_and_its_files_come_back_checked(serving, at_home, study, order, tmp_path):
    line, folder, _port = serving()
    image = tmp_path / "image.nii.gz"
    image.write_bytes(b"voxels" * 1000)
    spec = order(count=3, step_s=0, reads=True)
    item = dataclasses.replace(spec.items[0], image_path=str(image))
    spec = dataclasses.replace(spec, items=(item,))
    place.use_server(place.read_line(line))
    job = study.create_job("predict", spec.to_dict())
    assert supervise(str(study.folder), job.id) == "done"
    run_folder = study.job_folder(job.id)
    assert (run_folder / "output" / "read.bin").read_bytes() == image.read_bytes()
    assert json.loads((run_folder / "output" / "where.json").read_text()) == {"folder": str(run_folder)}
    assert not (run_folder / "count.json").exists()  # computed elsewhere
    assert (folder / "runs" / job.id / "count.json").exists()
    kinds = [e.kind.value for e in read_events(run_folder)]
    assert kinds.count("started") == kinds.count("result") == 1 and kinds[-1] == "result"
    assert [p.name for p in (folder / "store").glob("*") if len(p.name) == 64] == [digest_of(image)]
    again = study.create_job("predict", dataclasses.replace(spec, memory_limit_mb=200).to_dict())
    before = (folder / "store" / digest_of(image)).stat().st_mtime_ns
    assert supervise(str(study.folder), again.id) == "done"
    assert (folder / "store" / digest_of(image)).stat().st_mtime_ns == before  # sent once


def test_a_server_that_is_gone_is_told_in_words(at_home, serving, study, order):
    line, _folder, _port = serving()
    server = dataclasses.replace(place.read_line(line), address="tls://127.0.0.1:1")
    place.use_server(server)
    job = study.create_job("predict", order().to_dict())
    assert supervise(str(study.folder), job.id) == "failed"
    assert "tls://127.0.0.1:1 does not answer" in study.job(job.id).message
    assert study.job(job.id).state is JobState.FAILED


def test_nobody_without_the_right_certificate_gets_anything(serving, at_home):
    line, _folder, port = serving()
    other_line, _other_folder, _other_port = serving("other")
    right, foreign = place.read_line(line), place.read_line(other_line)
    Connection(right).close()
    for wrong in (
        dataclasses.replace(foreign, address=right.address),  # all of another server's
        dataclasses.replace(right, client_cert=foreign.client_cert, client_key=foreign.client_key),
        dataclasses.replace(right, ca_cert=foreign.ca_cert),  # the client refuses the server
    ):
        connection = Connection(wrong)
        with pytest.raises(EngineError, match="does not answer"):
            connection("missing", digests=[])
        connection.close()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:  # no TLS at all
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        plain.settimeout(10)
        assert b"HTTP" not in _received(plain)
    context = ssl.create_default_context(cadata=right.ca_cert)
    context.check_hostname = False
    without = socket.create_connection(("127.0.0.1", port), timeout=10)
    with without, pytest.raises((ssl.SSLError, ConnectionError)):  # TLS without a certificate
        if context.wrap_socket(without).recv(64) == b"":
            raise ConnectionError


def _received(plain: socket.socket) -> bytes:
    try:
        return plain.recv(1000)
    except ConnectionError:
        return b""


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_certificates_and_the_choice_of_a_server_are_for_their_owner_alone(serving, at_home):
    line, folder, _port = serving()
    assert _mode(folder) == 0o700
    assert {_mode(p) for p in folder.glob("*.pem")} == {0o600} and len(list(folder.glob("*.pem"))) == 5
    assert _mode(place.use_server(place.read_line(line))) == 0o600 and _mode(at_home) == 0o700


@pytest.mark.parametrize("change", [lambda t: t[:-40], lambda t: "x" + t, lambda t: t[:60] + "AAAA" + t[64:]])
def test_a_damaged_line_is_refused(serving, at_home, change):
    line, _folder, _port = serving()
    assert place.read_line(f"  {line[:80]}\n{line[80:]} ") == place.read_line(line)  # as a terminal wraps it
    with pytest.raises(EngineError, match="line"):
        place.read_line(change(line))


def test_a_client_cannot_leave_the_run_folder(serving, at_home):
    line, folder, _port = serving()
    call = Connection(place.read_line(line))
    (folder / "runs" / "job1").mkdir()
    (folder / "runs" / "job1" / "link").symlink_to("/etc")
    try:
        for job, name in (("job1", "../../ca.pem"), ("..", "ca.pem"), ("job1", "/etc/passwd"), ("job1", "link/passwd")):
            with pytest.raises(Exception, match=r"leaves the study folder|no name of a job|link"):
                call("get", job=job, name=name, offset=0)
        with pytest.raises(StorageError, match="no SHA-256"):
            call("put", digest="../evil", offset=0, data=b"x", is_last=True)
        with pytest.raises(StorageError, match="arrived damaged"):
            call("put", digest="0" * 64, offset=0, data=b"x", is_last=True)
    finally:
        call.close()
    assert not list((folder / "store").iterdir())


def test_paths_of_an_order_travel_as_parcels(tmp_path):
    image = tmp_path / "a.nii.gz"
    image.write_bytes(b"abc")
    packed, files = pack({"items": [{"image_path": str(image), "case_id": str(image)}], "label_path": None})
    assert str(image) not in json.dumps(packed["items"][0]["image_path"])
    assert packed["items"][0]["case_id"] == str(image)  # no path by its key
    store = Store(tmp_path / "store")
    ((digest, path),) = files.items()
    store.put(digest, 0, b"ab", is_last=False)
    with pytest.raises(StorageError, match="a piece is missing"):
        store.put(digest, 3, b"c", is_last=True)
    store.put(digest, 2, b"c", is_last=True)
    there = Path(unpack(packed, store)["items"][0]["image_path"])
    assert there.read_bytes() == path.read_bytes() and there.name.endswith(".nii.gz")


def test_engine_use_and_status(serving, at_home):
    line, _folder, _port = serving()
    runner = CliRunner()
    assert runner.invoke(main, ["engine", "use", line]).exit_code == 0
    told = runner.invoke(main, ["engine", "status", "--json"])
    assert json.loads(told.stdout)["server_answers"] is True
    assert runner.invoke(main, ["engine", "use", "here"]).exit_code == 0
    assert json.loads(runner.invoke(main, ["engine", "status", "--json"]).stdout)["place"] == "here"
    assert "no line of" in runner.invoke(main, ["engine", "use", "nonsense"]).stderr
