"""``napari-ssl engine serve`` as a process of a shell, and a client with another home."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys

import pytest
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.jobs import place
from napari_ssl.jobs.connection import ENGINE_FOLDER_VARIABLE
from napari_ssl.study.study import Study

pytest.importorskip("torch")
from cohort_study import make_study

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture
def line(tmp_path, monkeypatch):
    """The one line that a server prints; the server runs until the test ends."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("NAPARI_SSL_TEST_KINDS", raising=False)
    words = ["engine", "serve", "--host", "127.0.0.1", "--name", "127.0.0.1", "--port", "0"]
    folder = tmp_path / "server"
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_ssl", *words, "--folder", str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    printed = process.stdout.readline()
    yield printed
    process.send_signal(signal.SIGTERM)
    rest, spoken = process.communicate(timeout=120)
    assert process.returncode == 0 and rest == "", spoken  # one line, and a clean end
    assert "Whoever has this line may run work here" in spoken


def test_a_client_pastes_the_line_and_has_a_cohort_labelled_there(line, tmp_path, monkeypatch):
    monkeypatch.setenv(ENGINE_FOLDER_VARIABLE, str(tmp_path / "home"))
    used = CliRunner().invoke(main, ["engine", "use", line])
    assert used.exit_code == 0, used.output
    assert stat.S_IMODE((tmp_path / "home" / "place.json").stat().st_mode) == 0o600
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "server").glob("*.pem")} == {0o600}
    told = json.loads(CliRunner().invoke(main, ["engine", "status", "--json"]).stdout)
    assert told["server_answers"] and told["servers"][0]["workers"]["cores"] == os.cpu_count()
    with make_study(tmp_path, 2) as study:
        folder = study.folder
    done = CliRunner().invoke(main, ["predict", str(folder), "--no-crf", "--json"])
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["cases"]) == 2
    (run,) = (tmp_path / "server" / "runs").iterdir()
    assert len(list((run / "output").glob("c*.json"))) == 2  # it was computed there
    with Study.open(folder) as again:
        assert all(again.proposal(name).model_id == "m1" for name in ("c000", "c001"))  # and came back


def test_who_has_no_certificate_of_the_servers_gets_nothing(line):
    server = place.read_line(line)
    port = int(server.address.rpartition(":")[2])
    for message in (b"GET / HTTP/1.0\r\n\r\n", b"\0" * 64, bytes(range(256))):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            plain.settimeout(10)
            plain.sendall(message)
            assert _received(plain) == b""
    context = ssl.create_default_context(cadata=server.ca_cert)
    context.check_hostname = False
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
        pytest.raises((ssl.SSLError, ConnectionError)),
        context.wrap_socket(raw) as wrapped,
    ):
        wrapped.sendall(b"x")
        if wrapped.recv(64) == b"":
            raise ConnectionError


def _received(plain: socket.socket) -> bytes:
    """What a server that was told nonsense answers; an alert of TLS says no more than that."""
    try:
        answer = plain.recv(1000)
    except ConnectionError:
        return b""
    return b"" if answer[:1] == b"\x15" else answer
