"""Where the computing is done: on this computer, or on a server that ``napari-ssl engine serve`` runs on.

The choice is the user's, not the study's: ``place.json`` in the engine's folder, for its owner alone, since it holds
the key that lets its holder run work on the server.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

from napari_ssl.errors import EngineError
from napari_ssl.jobs.certificates import write_private
from napari_ssl.jobs.connection import engine_folder

__all__ = ["Server", "forget_server", "line_of", "read_line", "server_in_use", "use_server"]

_FILE = "place.json"
_PREFIX = "napari-ssl-server:"
_LONGEST = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """How to reach a server; certificates and key as PEM text."""

    address: str
    ca_cert: str
    client_cert: str
    client_key: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"tls://(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}", self.address):
            raise EngineError(f"server {self.address!r}: expected tls://HOST:PORT; copy the whole line again")
        for name in ("ca_cert", "client_cert", "client_key"):
            if not str(getattr(self, name)).startswith("-----BEGIN"):
                raise EngineError(f"server {self.address}: its {name} is no PEM text; copy the whole line again")


def line_of(server: Server) -> str:
    """Return one line to paste at a client; whoever has it may use the server."""
    return _PREFIX + base64.urlsafe_b64encode(zlib.compress(json.dumps(asdict(server)).encode(), 9)).decode()


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
        return Server(**json.loads(content))
    except (ValueError, TypeError, zlib.error) as error:
        raise EngineError(f"the line of the server is damaged ({error}); copy the whole line again") from error


def use_server(server: Server) -> Path:
    """Have the work of new jobs done there; return the file that says so."""
    path = engine_folder() / _FILE
    write_private(path, json.dumps(asdict(server)))
    return path


def forget_server() -> None:
    """Work on this computer again."""
    (engine_folder() / _FILE).unlink(missing_ok=True)


def server_in_use() -> Server | None:
    """Return the server that was chosen, None for this computer.

    Raises
    ------
    EngineError
        The file is damaged.
    """
    path = engine_folder() / _FILE
    try:
        return Server(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise EngineError(f"{path}: damaged ({error}); paste the server's line again: napari-ssl engine use") from error
