"""Where the window keeps what belongs to the person, not to the study: keys, reader's name, view per case."""

from __future__ import annotations

import getpass
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import platformdirs

__all__ = ["config_folder", "read_json", "reader_name", "set_reader_name", "state_folder", "write_json"]

_APP = "napari-ssl"


def config_folder() -> Path:
    """Folder of settings that a person may edit; ``NAPARI_SSL_HOME`` overrides it."""
    home = os.environ.get("NAPARI_SSL_HOME")
    return Path(home) / "config" if home else platformdirs.user_config_path(_APP, appauthor=False)


def state_folder() -> Path:
    """Folder of what the window remembers by itself; ``NAPARI_SSL_HOME`` overrides it."""
    home = os.environ.get("NAPARI_SSL_HOME")
    return Path(home) / "state" if home else platformdirs.user_state_path(_APP, appauthor=False)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in `path`; an absent or damaged file gives an empty one (it only holds conveniences)."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write `document` whole or not at all; OSError when the folder cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def reader_name() -> str:
    """Name under which decisions are recorded: the one that was set, else the login name, else ``"reader"``."""
    name = str(read_json(config_folder() / "reader.json").get("name", "")).strip()
    if name:
        return name
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no login name in some containers
        return "reader"


def set_reader_name(name: str) -> None:
    """Remember the reader's name."""
    write_json(config_folder() / "reader.json", {"name": name.strip()})
