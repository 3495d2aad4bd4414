"""``engine serve | use | also | status``: where the work of jobs is done."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path
from typing import Any

import click

from napari_ssl.commands.options import JSON, catching, report, say

__all__ = ["COMMANDS"]

PORT = 8786


@click.group()
def engine() -> None:
    """Choose where jobs run: on this computer, on servers, or on a cluster."""


@engine.command()
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen at.")
@click.option("--name", help="How clients call this computer; by default its full name.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0: any that is free.")
@click.option("--slots", type=click.IntRange(1, 64), default=1, show_default=True, help="Jobs at a time.")
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), help="Where it keeps certificates, files and runs."
)
@catching
def serve(host: str, name: str | None, port: int, slots: int, folder: Path | None) -> None:
    """Compute for clients until Ctrl-C; prints the line that lets a client use this server."""
    from napari_ssl.jobs.connection import engine_folder

    names = list(dict.fromkeys([name or socket.getfqdn(), socket.gethostname(), "localhost", "127.0.0.1"]))
    asyncio.run(_serve(folder or engine_folder() / "server", host, names, port, slots))


async def _serve(folder: Path, host: str, names: list[str], port: int, slots: int) -> None:
    from napari_ssl.jobs.server import open_server

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server, line = await open_server(folder, host=host, names=names, port=port, n_slots=slots)
    say(f"Serving at {names[0]}:{server.port}. Whoever has this line may run work here; at the client:")
    say("napari-ssl engine use LINE   (or paste it under Jobs and engine in the window)")
    click.echo(line)
    while not stop.is_set():  # signals wake the loop at the next turn
        await asyncio.sleep(0.2)
    await server.end()


SHARED = click.option(
    "--shared",
    metavar="HERE=THERE",
    help="A folder that this computer and the server both see, as each calls it: what lies in it is not sent.",
)


class _Places(click.Group):
    """``use slurm``, ``use kubernetes``; anything else is ``here`` or the line of a server."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = ["server", *args]
        return super().resolve_command(ctx, args)


@engine.group(cls=_Places)
def use() -> None:
    """Have jobs done elsewhere: use LINE (of a server), use slurm, use kubernetes; use here brings them back.

    LINE is what 'napari-ssl engine serve' printed at the server; 'napari-ssl engine also LINE' adds a further one.
    """


@use.command()
@JSON
@catching
def here(as_json: bool) -> None:
    """Work on this computer again."""
    from napari_ssl.jobs.place import forget_server

    forget_server()
    report({"place": "here"}, as_json, ["Jobs run on this computer"])


@use.command("server")
@click.argument("line")
@SHARED
@JSON
@catching
def use_line(line: str, shared: str | None, as_json: bool) -> None:
    """Have jobs done at the server that printed LINE."""
    _use_server(line, shared, as_json, also=False)


@engine.command()
@click.argument("line")
@SHARED
@JSON
@catching
def also(line: str, shared: str | None, as_json: bool) -> None:
    """Have jobs done at the server that printed LINE, too; each goes to the one with the most room."""
    _use_server(line, shared, as_json, also=True)


def _use_server(line: str, shared: str | None, as_json: bool, *, also: bool) -> None:
    from napari_ssl.jobs.choosing import choose_server
    from napari_ssl.jobs.place import describe_place, place_in_use

    has = choose_server(line, shared=shared, also=also)
    words = describe_place(place_in_use())
    report({"place": words, "shared": shared, "has": has}, as_json, [f"New attempts of jobs run {words} ({has})"])


_COMMON = (
    click.option("--cores", type=int, default=4, show_default=True, help="Of a job that does not say."),
    click.option("--memory", "memory_gb", type=int, default=16, show_default=True, metavar="GB", help="The same."),
    click.option("--gpus", type=int, default=0, show_default=True, help="The same."),
    click.option("--jobs", type=int, default=4, show_default=True, help="Jobs at a time."),
)


def _common(command: Any) -> Any:
    for option in reversed(_COMMON):
        command = option(command)
    return command


@use.command()
@click.option("--queue", default="", help="Partition.")
@click.option("--account", default="", help="Account that pays.")
@_common
@click.option("--hours", type=float, default=8.0, show_default=True, help="Longest time of a job that does not say.")
@click.option(
    "--folder", default="", help="Where jobs keep their files, on a disk that all nodes and this computer see."
)
@click.option("--interface", default="", help="Network interface that the nodes reach this computer at, e.g. ib0.")
@click.option("--python", default="", help="Python at the nodes; by default the path of this one.")
@click.option("--directive", "directives", multiple=True, help="A further option of sbatch; repeatable.")
@JSON
@catching
def slurm(as_json: bool, **settings: Any) -> None:
    """Have each job done in a job of SLURM's, with the memory, cores, GPUs and time that it needs."""
    from napari_ssl.jobs.cluster_settings import Slurm

    _use_cluster(Slurm(**settings), as_json)


@use.command()
@click.option("--image", required=True, help="Container image that holds napari-ssl of this version.")
@click.option("--namespace", default="default", show_default=True)
@_common
@click.option("--hours", type=float, default=24.0, show_default=True, help="Longest time of a job that does not say.")
@click.option("--volume", default="", help="PersistentVolumeClaim for jobs' files; without one they end with the pod.")
@JSON
@catching
def kubernetes(as_json: bool, **settings: Any) -> None:
    """Have each job done in a pod of Kubernetes', made by Dask's operator with what the job needs."""
    from napari_ssl.jobs.cluster_settings import Kubernetes

    _use_cluster(Kubernetes(**settings), as_json)


def _use_cluster(place: Any, as_json: bool) -> None:
    from dataclasses import asdict

    from napari_ssl.jobs.choosing import choose_cluster

    choose_cluster(place)
    report({"place": place.kind, **asdict(place)}, as_json, [f"New attempts of jobs run {place.describe()}"])


@engine.command()
@JSON
@catching
def status(as_json: bool) -> None:
    """Tell where jobs run, whether servers answer, and what workers have."""
    from dataclasses import asdict

    from napari_ssl.jobs.choosing import place_words
    from napari_ssl.jobs.connection import engine_folder, is_running
    from napari_ssl.jobs.offers import offer_here
    from napari_ssl.jobs.place import Servers, describe_place, place_in_use

    place = place_in_use()
    title, lines = place_words()
    document: dict[str, Any] = {
        "place": "here" if place is None else describe_place(place),
        "local_engine_is_running": is_running(engine_folder()),
    }
    if isinstance(place, Servers):
        from napari_ssl.jobs.children import ask_servers

        told = ask_servers(place.servers)
        document["server_answers"] = len(told) == len(place.servers)
        document["servers"] = [
            {"address": s.address, "answers": s in told, "workers": told[s][0].to_dict() if s in told else None}
            for s in place.servers
        ]
    elif place is None:
        document["workers"] = offer_here().to_dict()
    else:
        document |= {"place": place.kind, **asdict(place)}
        lines += [f"{name}: {value}" for name, value in asdict(place).items() if value]
    report(document, as_json, [title, *(f"  {line}" for line in lines)])


COMMANDS = (engine,)
