"""A server that computes for clients: it keeps what they send, runs jobs' processes, gives back what these made.

Every connection is mutual TLS with certificates of the server's own authority (`napari_ssl.jobs.certificates`); a
client without one gets nothing. Whoever has one may run work as the server's user: one server for each user or lab.

::

    server folder/             0700
      ca.pem, server.pem, …    0600
      store/<SHA-256>          what clients sent
      runs/<job>/              the run folder of a job, as on a client; goes on from its checkpoints
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from distributed.core import Server as RpcServer
from distributed.security import Security

from napari_ssl.errors import JobError
from napari_ssl.io.documents import write_document
from napari_ssl.jobs.certificates import ensure_certificates
from napari_ssl.jobs.events import EVENTS_FILE
from napari_ssl.jobs.parcels import PIECE, Store, digest_of, files_of, unpack
from napari_ssl.jobs.place import Server, line_of
from napari_ssl.jobs.process import in_own_group, kill_group, n_threads
from napari_ssl.study.storage import inside

__all__ = ["WorkServer", "open_server"]

_JOB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,120}")


class WorkServer(RpcServer):
    """Answers clients' requests; each is short.

    Parameters
    ----------
    folder : Path
    security : Security
    n_slots : int
        Jobs at a time; others wait.
    """

    def __init__(self, folder: Path, security: Security, n_slots: int) -> None:
        handlers = {
            "missing": self.missing,
            "put": self.put,
            "start": self.start_job,
            "look": self.look,
            "stop": self.stop_job,
            "made": self.made,
            "get": self.get,
        }
        super().__init__(handlers, connection_args=security.get_connection_args("scheduler"))
        self._runs = folder / "runs"
        self._runs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._store = Store(folder / "store")
        self._n_slots = n_slots
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._attempts: dict[str, int] = {}

    def _run_folder(self, job: str) -> Path:
        if not _JOB_ID.fullmatch(job):
            raise JobError(f"{job!r} is no name of a job")
        return self._runs / job

    async def missing(self, digests: list[str]) -> list[str]:
        """Return the digests that the store lacks."""
        return [digest for digest in digests if not self._store.has(digest)]

    async def put(self, digest: str, offset: int, data: bytes, is_last: bool) -> None:
        """Take a piece of a file."""
        await asyncio.to_thread(self._store.put, digest, offset, bytes(data), is_last=is_last)

    async def start_job(self, job: str, attempt: int, documents: str) -> dict[str, Any]:
        """Start a job's process unless it runs; return which attempt is ``running``, or ``waiting`` for a place.

        `documents` is JSON: file name → document, with parcels in the place of paths.
        """
        folder = self._run_folder(job)
        alive = [name for name, child in self._children.items() if child.poll() is None]
        if job in alive:
            return {"state": "running", "attempt": self._attempts[job]}
        if len(alive) >= self._n_slots:
            return {"state": "waiting", "attempt": attempt}
        folder.mkdir(exist_ok=True, mode=0o700)
        for name, document in json.loads(documents).items():
            write_document(inside(folder, name), unpack(document, self._store))
        self._forget_end(folder)
        self._children[job], self._attempts[job] = self._start_child(folder, attempt), attempt
        return {"state": "running", "attempt": attempt}

    @staticmethod
    def _forget_end(folder: Path) -> None:
        """A new attempt tells its own story: the client has what the attempts before told."""
        (folder / EVENTS_FILE).unlink(missing_ok=True)
        (folder / "parked.json").unlink(missing_ok=True)

    @staticmethod
    def _start_child(folder: Path, attempt: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "napari_ssl.jobs.child", str(folder), "--attempt", str(attempt)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(n_threads()), "PYTHONUNBUFFERED": "1"}
        with (folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, **in_own_group()
            )

    async def look(self, job: str, offset: int) -> dict[str, Any]:
        """Return the events from a byte on, whether the process runs, how it ended, and the end of its log."""
        folder, child = self._run_folder(job), self._children.get(job)
        code = child.poll() if child is not None else -9  # before the events are read: none comes afterwards
        events = b""
        if (folder / EVENTS_FILE).is_file():
            with (folder / EVENTS_FILE).open("rb") as file:
                file.seek(offset)
                events = file.read(PIECE)
        log = folder / "log.txt"
        words = log.read_bytes()[-4000:].decode("utf-8", "replace") if log.is_file() else ""
        return {"events": events, "code": code, "log": words, "folder": str(folder)}

    async def stop_job(self, job: str, force: bool) -> None:
        """Ask for a checkpoint and an end; with `force` end the process at once."""
        child = self._children.get(job)
        if child is None or child.poll() is not None:
            return
        if force:
            await asyncio.to_thread(kill_group, child)
        elif child.stdin is not None:
            child.stdin.write(b"stop\n")
            child.stdin.flush()

    async def made(self, job: str) -> list[tuple[str, int, str]]:
        """Return what the run has made: name, bytes, SHA-256."""
        folder = self._run_folder(job)
        found = await asyncio.to_thread(lambda: [(n, p.stat().st_size, digest_of(p)) for n, p in files_of(folder)])
        return found

    async def get(self, job: str, name: str, offset: int) -> bytes:
        """Return a piece of a file of a run."""
        path = inside(self._run_folder(job), name)
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(PIECE)

    async def end(self) -> None:
        """End the processes, each with a checkpoint, and stop listening."""
        for child in self._children.values():
            if child.poll() is None and child.stdin is not None:
                child.stdin.close()  # the end of its standard input: it stops
        await self.close()


async def open_server(folder: Path, *, host: str, names: list[str], port: int, n_slots: int) -> tuple[WorkServer, str]:
    """Return a server that listens, and the line that lets a client use it.

    Parameters
    ----------
    host : str
        Address to listen at.
    names : list of str
        How clients call this computer; the first stands in the line.
    """
    texts = ensure_certificates(folder, names)
    security = Security(
        require_encryption=True,
        tls_ca_file=texts["ca.pem"],
        tls_scheduler_cert=texts["server.pem"],
        tls_scheduler_key=texts["server-key.pem"],
    )
    server = WorkServer(folder, security, n_slots)
    await server.listen(f"tls://{host}:{port}", **security.get_listen_args("scheduler"))
    client = Server(
        address=f"tls://{names[0]}:{server.port}",
        ca_cert=texts["ca.pem"],
        client_cert=texts["client.pem"],
        client_key=texts["client-key.pem"],
    )
    return server, line_of(client)
