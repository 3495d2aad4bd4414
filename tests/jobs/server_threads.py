"""Servers in threads of the tests, and a count of what is asked of them."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from pathlib import Path

from napari_ssl.jobs.server import open_server
from napari_ssl.jobs.server_connection import Connection

__all__ = ["Counted", "Serving"]


class Serving:
    """A server until `close`; `line` lets a client use it."""

    def __init__(self, folder: Path, *, slots: int = 1) -> None:
        self.folder, ready = folder, threading.Event()

        async def run() -> None:
            self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
            server, self.line = await open_server(
                folder, host="127.0.0.1", names=["127.0.0.1", "localhost"], port=0, n_slots=slots
            )
            self.port = server.port
            ready.set()
            await self._stop.wait()
            await server.end()

        self._thread = threading.Thread(target=lambda: asyncio.run(run()))
        self._thread.start()
        assert ready.wait(180)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


class Counted:
    """Counts requests by name, and the bytes of files that travel in both directions."""

    def __init__(self, monkeypatch) -> None:
        self.requests: Counter[str] = Counter()
        self.n_bytes: Counter[str] = Counter()
        ask = Connection.__call__

        def counting(connection, handler, **arguments):
            answer = ask(connection, handler, **arguments)
            self.requests[handler] += 1
            self.n_bytes["sent"] += len(arguments.get("data", b""))
            self.n_bytes["received"] += len(answer) if handler == "get" else 0
            return self.changed(handler, answer)

        monkeypatch.setattr(Connection, "__call__", counting)

    def changed(self, handler, answer):
        """Tests put damage in here."""
        return answer

    def forget(self) -> None:
        self.requests.clear()
        self.n_bytes.clear()
