"""``napari-ssl engine serve``: a desk (`napari_ssl.jobs.desk`) behind mutual TLS with certificates of its own.

A client without a certificate gets nothing. Whoever has one may run work as the server's user: one server for each user
or lab. Certificates lie beside the desk's folders, 0600 in 0700.
"""

from __future__ import annotations

from pathlib import Path

from distributed.core import Server as RpcServer
from distributed.security import Security

from napari_ssl.jobs.certificates import ensure_certificates
from napari_ssl.jobs.desk import Desk
from napari_ssl.jobs.offers import Offer, offer_here
from napari_ssl.jobs.place import Server, line_of

__all__ = ["WorkServer", "open_server"]


class WorkServer(RpcServer):
    """Passes clients' requests on to its desk.

    Parameters
    ----------
    folder : Path
    security : Security
    offer : Offer
    """

    def __init__(self, folder: Path, security: Security, offer: Offer) -> None:
        self.desk = Desk(folder, offer)
        super().__init__(self.desk.handlers, connection_args=security.get_connection_args("scheduler"))

    async def end(self) -> None:
        """End the processes, each with a checkpoint, and stop listening."""
        self.desk.stop_all()
        await self.close()


async def open_server(folder: Path, *, host: str, names: list[str], port: int, n_slots: int) -> tuple[WorkServer, str]:
    """Return a server that listens, and the line that lets a client use it.

    Parameters
    ----------
    host : str
        Address to listen at.
    names : list of str
        How clients call this computer; the first stands in the line.
    n_slots : int
        Jobs at a time; others wait.
    """
    texts = ensure_certificates(folder, names)
    security = Security(
        require_encryption=True,
        tls_ca_file=texts["ca.pem"],
        tls_scheduler_cert=texts["server.pem"],
        tls_scheduler_key=texts["server-key.pem"],
    )
    server = WorkServer(folder, security, offer_here(n_slots))
    await server.listen(f"tls://{host}:{port}", **security.get_listen_args("scheduler"))
    client = Server(
        address=f"tls://{names[0]}:{server.port}",
        ca_cert=texts["ca.pem"],
        client_cert=texts["client.pem"],
        client_key=texts["client-key.pem"],
    )
    return server, line_of(client)
