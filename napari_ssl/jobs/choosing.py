"""Choosing where jobs run: what a person has typed is looked at from all sides before it is kept."""

from __future__ import annotations

from dataclasses import replace

from napari_ssl.errors import EngineError
from napari_ssl.jobs.cluster_settings import Kubernetes, Slurm
from napari_ssl.jobs.offers import offer_from_dict, offer_here, offer_words
from napari_ssl.jobs.place import Servers, add_server, describe_place, place_in_use, read_line, use_cluster, use_server
from napari_ssl.jobs.shared_folder import SharedFolder, check_shared

__all__ = ["choose_cluster", "choose_server", "place_words"]


def choose_server(line: str, *, shared: str | None = None, also: bool = False) -> str:
    """Have jobs done at the server that printed `line`; return what it says that it has.

    Parameters
    ----------
    shared : str, optional
        ``HERE=THERE``: a folder that both see.
    also : bool
        Beside the servers that are in use, not in their place.

    Raises
    ------
    EngineError
        The line is damaged, the server does not answer, or does not see the folder; nothing was changed.
    """
    from napari_ssl.jobs.server_connection import Connection

    server = read_line(line)
    connection = Connection(server)
    try:
        offer = offer_from_dict(connection("offer"))
        if shared:
            folder = SharedFolder.parse(shared)
            check_shared(folder, connection)
            server = replace(server, shared=folder)
    finally:
        connection.close()
    (add_server if also else use_server)(server)
    return offer_words(offer)


def choose_cluster(place: Slurm | Kubernetes) -> None:
    """Have jobs done by a cluster.

    Raises
    ------
    MissingDependencyError, EngineError
        There is no way to it; nothing was changed.
    """
    if isinstance(place, Slurm):
        from napari_ssl.jobs.slurm import check_slurm

        check_slurm()
    else:
        from napari_ssl.jobs.kubernetes import check_kubernetes

        check_kubernetes()
    use_cluster(place)


def place_words() -> tuple[str, list[str]]:
    """Return where jobs run, and a line on each worker: what it has, or that it does not answer.

    Servers are asked, so call it from a thread.

    Raises
    ------
    EngineError
        The choice is damaged.
    """
    place = place_in_use()
    title = f"Jobs run {describe_place(place)}"
    if place is None:
        return title, [offer_words(offer_here())]
    if isinstance(place, Servers):
        return title, _server_lines(place)
    amounts = f"{place.cores} cores, {place.memory_gb} GB, {place.gpus} GPUs, {place.hours:g} hours"
    return title, [f"{amounts} where a job does not say; {place.jobs} jobs at a time"]


def _server_lines(place: Servers) -> list[str]:
    from napari_ssl.jobs.children import ask_servers

    try:
        told = ask_servers(place.servers)
    except EngineError as error:
        return [str(error)]
    lines = []
    for server in place.servers:
        what = f"answers: {offer_words(told[server][0])}" if server in told else "does not answer"
        shared = f"; shares {server.shared.here}" if server.shared else ""
        lines.append(f"{server.address} {what}{shared}")
    return lines
