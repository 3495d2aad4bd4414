"""A job's process on a server, with the face of a local one: `napari_ssl.jobs.supervise` cannot tell the difference.

What the order names is sent first (by content, once). Then the process's events are copied into the local run folder
as they come, and when it has ended its files follow, checked by hash, before the last events: whoever reads that the
job is done finds everything there.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from distributed.comm.core import CommClosedError
from distributed.core import rpc
from distributed.security import Security

from napari_ssl.errors import EngineError, NapariSslError, StorageError
from napari_ssl.io.atomic import write_bytes
from napari_ssl.io.documents import read_document
from napari_ssl.jobs.events import EVENTS_FILE
from napari_ssl.jobs.parcels import PIECE, digest_of, pack
from napari_ssl.jobs.place import Server
from napari_ssl.study.storage import inside, make_folder

__all__ = ["Connection", "RemoteChild"]

_CONNECT_S = 10.0
_UNREACHABLE_S = 60.0
_LOST = -9
_POLL_S = 0.3
_DOCUMENTS = ("spec.json", "decisions.json")
_TRIES = 3


class Connection:
    """Calls a server's handlers and waits for the answers.

    Raises
    ------
    EngineError
        The server cannot be reached or refuses the certificate.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        security = Security(
            require_encryption=True,
            tls_ca_file=server.ca_cert,
            tls_client_cert=server.client_cert,
            tls_client_key=server.client_key,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="napari-ssl server", daemon=True)
        self._thread.start()
        self._rpc: Any = self._wait(self._make(security))

    async def _make(self, security: Security) -> Any:
        arguments = security.get_connection_args("client")
        return rpc(self._server.address, connection_args=arguments, timeout=_CONNECT_S)

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def __call__(self, handler: str, **arguments: Any) -> Any:
        """Return the answer of a handler; what it raised is raised here."""

        async def call() -> Any:
            return await getattr(self._rpc, handler)(**arguments)

        try:
            return self._wait(call())
        except (OSError, CommClosedError, TimeoutError) as error:
            raise EngineError(
                f"the server {self._server.address} does not answer ({error}); is 'napari-ssl engine serve' running "
                "there, and may this computer reach it? 'napari-ssl engine use here' works on this computer again"
            ) from error

    def close(self) -> None:
        """Hang up."""

        async def close() -> None:
            await self._rpc.close_rpc()

        self._wait(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class RemoteChild:
    """One attempt of a job on a server.

    Parameters
    ----------
    server : Server
    run_folder : Path
        Of the job, at this computer; its name is the job's.
    attempt : int
    """

    def __init__(self, server: Server, run_folder: Path, attempt: int) -> None:
        self._folder, self._attempt = run_folder, attempt
        self.job = run_folder.name
        self.returncode: int | None = None
        self._call = Connection(server)
        self._offset = 0
        self._mark = run_folder / ".remote"
        self._state = ""
        self._looked_at = 0.0
        self._reached_at = time.monotonic()
        self._documents = self._send()

    def _send(self) -> str:
        """Send what the server lacks; return the order with parcels in the place of paths."""
        packed, files = pack(
            {name: document for name in _DOCUMENTS if (document := read_document(self._folder / name)) is not None}
        )
        for digest in self._call("missing", digests=sorted(files)):
            self._send_file(digest, files[digest])
        return json.dumps(packed)

    def _send_file(self, digest: str, path: Path) -> None:
        size = path.stat().st_size
        with path.open("rb") as file:
            for offset in range(0, max(1, size), PIECE):
                data = file.read(PIECE)
                self._call("put", digest=digest, offset=offset, data=data, is_last=offset + PIECE >= size)

    def poll(self) -> int | None:
        """Copy what is new; return how the process ended, None while it runs or waits."""
        if self.returncode is not None or time.monotonic() - self._looked_at < _POLL_S:
            return self.returncode
        self._looked_at = time.monotonic()
        try:
            if self._state != "running":
                self._begin()
                return None
            self._take(self._call("look", job=self.job, offset=self._offset))
            self._reached_at = time.monotonic()
        except EngineError:
            if time.monotonic() - self._reached_at > _UNREACHABLE_S:
                self.returncode = _LOST
        return self.returncode

    def _begin(self) -> None:
        """Ask for a place; an attempt that an engine before this one began is gone on with."""
        answer = self._call("start", job=self.job, attempt=self._attempt, documents=self._documents)
        self._state = answer["state"]
        if answer["attempt"] != self._attempt:
            self._offset = int(self._mark.read_text()) if self._mark.exists() else 0
        elif self._state == "running":
            self._mark.write_text("0")

    def _take(self, news: dict[str, Any]) -> None:
        events = bytes(news["events"])
        whole = events[: events.rfind(b"\n") + 1]
        is_over = news["code"] is not None and len(events) < PIECE
        if is_over:
            self._fetch(str(news["folder"]))
            with (self._folder / "log.txt").open("a", encoding="utf-8") as log:
                log.write(news["log"])
        if whole:
            with (self._folder / EVENTS_FILE).open("ab") as file:
                file.write(whole)
            self._offset += len(whole)
            self._mark.write_text(str(self._offset))
        if is_over:
            self.returncode = int(news["code"])

    def _fetch(self, remote_folder: str) -> None:
        """Bring what the run has made; files that are here already are left alone."""
        for name, size, digest in self._call("made", job=self.job):
            path = inside(self._folder, name)
            if path.is_file() and digest_of(path) == digest:
                continue
            for attempt in range(_TRIES):
                content = self._get(name, size)
                if hashlib.sha256(content).hexdigest() == digest:
                    break
                if attempt == _TRIES - 1:
                    raise StorageError(f"{path}: arrived damaged from the server {_TRIES} times; resume the job")
            if name.endswith(".json"):
                content = content.replace(remote_folder.encode(), str(self._folder).encode())
            make_folder(path.parent)
            write_bytes(path, content)

    def _get(self, name: str, size: int) -> bytes:
        return b"".join(bytes(self._call("get", job=self.job, name=name, offset=o)) for o in range(0, size, PIECE))

    def ask_to_stop(self) -> None:
        """Ask for a checkpoint and an end; a job that waits for a place ends at once."""
        if self._state != "running":
            self.returncode = self.returncode or 0
        self._try_to_stop(force=False)

    def kill(self) -> None:
        """End it at once."""
        if self.returncode is None:
            self._try_to_stop(force=True)
            self.returncode = _LOST

    def _try_to_stop(self, *, force: bool) -> None:
        with suppress(NapariSslError):  # it cannot be reached: it ends by itself or is found again
            self._call("stop", job=self.job, force=force)

    def close(self) -> None:
        """Hang up."""
        self._call.close()
