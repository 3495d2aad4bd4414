"""The process of an attempt: here, at a server or on a cluster, as the user has chosen."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from napari_ssl.core.cohort import CohortSpec
from napari_ssl.core.resources import Resources
from napari_ssl.errors import EngineError
from napari_ssl.jobs.child_process import LOG_FILE, start_process
from napari_ssl.jobs.offers import Offer, lacking, needs_of, offer_from_dict, resolved
from napari_ssl.jobs.place import Server, Servers, place_in_use
from napari_ssl.jobs.process import kill_group
from napari_ssl.jobs.spec import read_spec

__all__ = ["LOG_FILE", "Child", "LocalChild", "ask_servers", "start_child"]

_choosing = threading.Lock()
_mine: Counter[str] = Counter()
"""Address of a server → attempts that this process has there."""
_SERVER_FILE = ".server"
"""Which server had the attempt before: checkpoints lie there."""


class Child(Protocol):
    """What a supervisor does with it."""

    @property
    def returncode(self) -> int | None:
        """How it ended, None before."""

    @property
    def waiting_for(self) -> str:
        """What it waits for before it begins, in words; empty otherwise."""

    def poll(self) -> int | None:
        """Look whether it has ended, and how."""

    def ask_to_stop(self) -> None:
        """Ask for a checkpoint and an end."""

    def kill(self) -> None:
        """End it, and everything that it started, at once."""

    def close(self) -> None:
        """Let go of it."""


class LocalChild:
    """A process of this computer; parameters as of `start_child`."""

    waiting_for = ""

    def __init__(self, run_folder: Path, attempt: int) -> None:
        self._process = start_process(run_folder, attempt)

    @property
    def returncode(self) -> int | None:
        """How it ended."""
        return self._process.returncode

    def poll(self) -> int | None:
        """Look whether it has ended."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Ask through standard input, which works on every system (SIGTERM does not on Windows)."""
        if self._process.stdin:
            with suppress(OSError):  # it has just ended
                self._process.stdin.write(b"stop\n")
                self._process.stdin.flush()

    def kill(self) -> None:
        """End the whole group."""
        kill_group(self._process)

    def close(self) -> None:
        """Close its standard input."""
        if self._process.stdin:
            with suppress(OSError):
                self._process.stdin.close()


def start_child(run_folder: Path, attempt: int) -> Child:
    """Start the process of a run's attempt where the user has chosen.

    Raises
    ------
    EngineError
        No server can be reached, none has what the job needs, or there is no such cluster.
    """
    place = place_in_use()
    if place is None:
        return LocalChild(run_folder, attempt)
    spec = read_spec(run_folder)
    if isinstance(spec, CohortSpec):  # it needs the study; its batches run where the user has chosen
        return LocalChild(run_folder, attempt)
    needs = needs_of(spec)
    if isinstance(place, Servers):
        return _at_a_server(place.servers, run_folder, attempt, needs)
    from napari_ssl.jobs.cluster_child import start_on_cluster

    return start_on_cluster(place, run_folder, attempt, needs)


def _at_a_server(servers: Sequence[Server], run_folder: Path, attempt: int, needs: Resources) -> Child:
    """Start at the server that had the run before, or else at that with the most room."""
    from napari_ssl.jobs.remote_child import RemoteChild
    from napari_ssl.jobs.server_connection import Connection

    mark = run_folder / _SERVER_FILE
    before = mark.read_text(encoding="utf-8") if mark.is_file() else ""
    told = ask_servers(servers)
    with _choosing:
        chosen, offer = _choose(told, needs, before)
        _mine[chosen.address] += 1
    try:
        mark.write_text(chosen.address, encoding="utf-8")
        return RemoteChild(
            Connection(chosen),
            run_folder,
            attempt,
            needs=resolved(needs, offer),
            shared=chosen.shared,
            where=f"at {chosen.address}",
            on_close=lambda: _mine.subtract([chosen.address]),
        )
    except BaseException:
        _mine.subtract([chosen.address])
        raise


def _choose(told: Mapping[Server, tuple[Offer, int]], needs: Resources, before: str) -> tuple[Server, Offer]:
    """Return the server that had the run before, or else that with the most room; EngineError where none is able."""
    able = {s: o for s, (o, _) in told.items() if not lacking(resolved(needs, o), {s.address: o})}
    if not able:
        raise EngineError(lacking(needs, {s.address: o for s, (o, _) in told.items()}))
    room = {
        s: o.slots - max(told[s][1], _mine[s.address]) for s, o in able.items()
    }  # what was just sent does not run yet
    chosen = max(able, key=lambda s: (s.address == before, room[s]))
    return chosen, able[chosen]


def ask_servers(servers: Sequence[Server]) -> dict[Server, tuple[Offer, int]]:
    """Return what the servers that answer have, and how many jobs they run; EngineError where none answers."""
    from napari_ssl.jobs.server_connection import Connection

    told: dict[Server, tuple[Offer, int]] = {}
    silent: EngineError | None = None
    for server in servers:
        connection = Connection(server)
        try:
            answer = connection("offer")
            told[server] = offer_from_dict(answer), int(answer["running"])
        except EngineError as error:
            silent = error
        finally:
            connection.close()
    if not told and silent is not None:
        raise silent
    return told
