"""``engine serve | use | status``: where the work of jobs is done."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import click

from napari_ssl.commands.options import JSON, catching, report, say

__all__ = ["COMMANDS"]

PORT = 8786


@click.group()
def engine() -> None:
    """Choose where jobs run: on this computer, or on a server."""


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
    say("napari-ssl engine use LINE   (or paste it under Engine in the window)")
    click.echo(line)
    while not stop.is_set():  # signals wake the loop at the next turn
        await asyncio.sleep(0.2)
    await server.end()


@engine.command()
@click.argument("line")
@JSON
@catching
def use(line: str, as_json: bool) -> None:
    """Have jobs done at the server that printed LINE; the word ``here`` brings them back to this computer."""
    from napari_ssl.jobs.place import forget_server, read_line, use_server

    if line.strip() == "here":
        forget_server()
        report({"place": "here"}, as_json, ["Jobs run on this computer"])
        return
    server = read_line(line)
    use_server(server)
    report({"place": server.address}, as_json, [f"New attempts of jobs run at {server.address}"])


@engine.command()
@JSON
@catching
def status(as_json: bool) -> None:
    """Tell where jobs run and whether the server answers."""
    from napari_ssl.jobs.connection import engine_folder, is_running
    from napari_ssl.jobs.place import server_in_use

    server = server_in_use()
    document = {"place": server.address if server else "here", "local_engine_is_running": is_running(engine_folder())}
    if server is not None:
        from napari_ssl.jobs.remote_child import Connection

        connection = Connection(server)
        try:
            connection("missing", digests=[])
        finally:
            connection.close()
        document["server_answers"] = True
    lines = [f"Jobs run {'at ' + server.address + ', which answers' if server else 'on this computer'}"]
    report(document, as_json, lines)


COMMANDS = (engine,)
