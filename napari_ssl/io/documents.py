"""Small JSON documents written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_ssl.io.atomic import storage_error, write_bytes

__all__ = ["read_document", "write_document"]


def write_document(path: Path, document: Any) -> None:
    """Write strict JSON (no NaN), its folder made where needed; StorageError leaves what was there intact."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(path, error.strerror or str(error)) from error
    write_bytes(path, json.dumps(document, allow_nan=False, indent=1).encode())


def read_document(path: Path) -> Any | None:
    """Return the document, or None when there is none or it is damaged (what it records is then done again)."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
