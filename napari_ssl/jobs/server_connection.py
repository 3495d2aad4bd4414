"""Requests to a server (`napari_ssl.jobs.server`), over mutual TLS."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

from distributed.comm.core import CommClosedError
from distributed.core import rpc
from distributed.security import Security

from napari_ssl.errors import EngineError
from napari_ssl.jobs.place import Server

__all__ = ["Connection"]

_CONNECT_S = 10.0


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
