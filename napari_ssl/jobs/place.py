"""Where the computing is done: on this computer, on servers that ``napari-ssl engine serve`` runs on, on a cluster.

The choice is the user's, not the study's: ``place.json`` in the engine's folder, for its owner alone, since it holds
the keys that let their holder run work on the servers.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from napari_ssl.errors import EngineError
from napari_ssl.jobs.certificates import write_private
from napari_ssl.jobs.cluster_settings import Kubernetes, Slurm
from napari_ssl.jobs.connection import engine_folder
from napari_ssl.jobs.shared_folder import SharedFolder

__all__ = [
    "Place",
    "Server",
    "Servers",
    "add_server",
    "describe_place",
    "forget_server",
    "line_of",
    "place_in_use",
    "place_name",
    "read_line",
    "server_in_use",
    "use_cluster",
    "use_server",
]

_FILE = "place.json"
_PREFIX = "napari-ssl-server:"
_LONGEST = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """How to reach a server; certificates and key as PEM text; what folder it sees, too."""

    address: str
    ca_cert: str
    client_cert: str
    client_key: str
    shared: SharedFolder | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"tls://(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}", self.address):
            raise EngineError(f"server {self.address!r}: expected tls://HOST:PORT; copy the whole line again")
        for name in ("ca_cert", "client_cert", "client_key"):
            if not str(getattr(self, name)).startswith("-----BEGIN"):
                raise EngineError(f"server {self.address}: its {name} is no PEM text; copy the whole line again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """One or more servers; jobs go to one that has room for them."""

    servers: tuple[Server, ...]


Place = Servers | Slurm | Kubernetes | None
"""None is this computer."""


def line_of(server: Server) -> str:
    """Return one line to paste at a client; whoever has it may use the server."""
    document = {k: v for k, v in asdict(server).items() if k != "shared"}
    return _PREFIX + base64.urlsafe_b64encode(zlib.compress(json.dumps(document).encode(), 9)).decode()


def read_line(line: str) -> Server:
    """Read what `line_of` wrote.

    Raises
    ------
    EngineError
        It is not whole.
    """
    text = "".join(line.split())
    if not text.startswith(_PREFIX) or len(text) > _LONGEST:
        raise EngineError(f"this is no line of 'napari-ssl engine serve'; it begins with {_PREFIX}")
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(base64.urlsafe_b64decode(text.removeprefix(_PREFIX)), _LONGEST)
        return _server({**json.loads(content), "shared": None})
    except (ValueError, TypeError, RecursionError, zlib.error) as error:
        raise EngineError(f"the line of the server is damaged ({error}); copy the whole line again") from error


def _server(document: Mapping[str, Any]) -> Server:
    shared = document.get("shared")
    return Server(**{**document, "shared": SharedFolder(**shared) if shared else None})


def use_server(server: Server) -> Path:
    """Have the work of new jobs done there alone; return the file that says so."""
    return _write({"kind": "servers", "servers": [asdict(server)]})


def add_server(server: Server) -> Path:
    """Have the work of new jobs done there, too; a server of the same address is replaced."""
    place = place_in_use()
    others = place.servers if isinstance(place, Servers) else ()
    kept = [asdict(other) for other in others if other.address != server.address]
    return _write({"kind": "servers", "servers": [*kept, asdict(server)]})


def use_cluster(settings: Slurm | Kubernetes) -> Path:
    """Have the work of new jobs done by a cluster."""
    return _write({"kind": settings.kind, **asdict(settings)})


def _write(document: dict[str, Any]) -> Path:
    path = engine_folder() / _FILE
    write_private(path, json.dumps(document))
    return path


def forget_server() -> None:
    """Work on this computer again."""
    (engine_folder() / _FILE).unlink(missing_ok=True)


def place_in_use() -> Place:
    """Return the place that was chosen, None for this computer.

    Raises
    ------
    EngineError
        The file is damaged.
    """
    path = engine_folder() / _FILE
    try:
        document = dict(json.loads(path.read_text(encoding="utf-8")))
        kind = document.pop("kind", "server")
        if kind == "servers":
            return Servers(servers=tuple(_server(server) for server in document["servers"]))
        if kind == "server":  # as written before there were several
            return Servers(servers=(_server(document),))
        return {"slurm": Slurm, "kubernetes": Kubernetes}[kind](**document)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise EngineError(f"{path}: damaged ({error}); choose the place again: napari-ssl engine use") from error


def server_in_use() -> Server | None:
    """Return the first server that was chosen, None for any other place."""
    place = place_in_use()
    return place.servers[0] if isinstance(place, Servers) else None


def place_name(place: Place) -> str:
    """Return a text that differs between places, without a secret."""
    if place is None:
        return "here"
    if isinstance(place, Servers):
        place = Servers(
            servers=tuple(
                replace(s, client_key="-----BEGIN", client_cert="-----BEGIN", ca_cert="-----BEGIN")
                for s in place.servers
            )
        )
    return hashlib.sha256(repr(place).encode()).hexdigest()[:16]


def describe_place(place: Place) -> str:
    """Return words for people."""
    if place is None:
        return "on this computer"
    if isinstance(place, Servers):
        return "at " + ", ".join(server.address for server in place.servers)
    return place.describe()
