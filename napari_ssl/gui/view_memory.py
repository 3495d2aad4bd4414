"""How each case was last looked at: frame, slice, zoom, contrast, flags and comment, kept in the study per reader.

A view is one line that is appended when it changes, so that a killed window loses nothing and a half-written line is
merely ignored. Another machine that opens the study finds the views there. A study that cannot be written keeps them in
the person's own settings.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_ssl.gui.settings import state_folder

__all__ = ["ViewMemory", "fitted_zoom"]

_log = logging.getLogger(__name__)
_MOST = 20_000
_SLACK = 2_000
"""Superseded lines that a file may hold before it is written anew."""


def fitted_zoom(view: Mapping[str, Any], canvas_yx: tuple[int, int]) -> float:
    """Return the zoom with which a canvas of this size (pixels) shows no less than the view did."""
    zoom, before = float(view["zoom"]), view.get("canvas")
    if not isinstance(before, list) or len(before) != 2 or min(*before, *canvas_yx) <= 0:
        return zoom
    return zoom * min(now / then for now, then in zip(canvas_yx, before, strict=True))


def _read(path: Path) -> tuple[dict[str, Any], int]:
    """Return views, the one looked at last at the end, and the number of lines; damaged lines are left out."""
    views: dict[str, Any] = {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}, 0
    for line in lines:
        try:
            entry = json.loads(line)
            case_id, view = entry["case"], entry["view"]
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(case_id, str) and isinstance(view, dict):
            views.pop(case_id, None)
            views[case_id] = view
    return views, len(lines)


class ViewMemory:
    """Remembers the cases of a study for one reader, up to 20,000, the ones looked at last."""

    def __init__(self, study_folder: Path, reader: str) -> None:
        name = hashlib.sha256(reader.encode()).hexdigest()[:16] + ".jsonl"
        folder = Path(study_folder)
        self.path = folder / "views" / name
        if not os.access(folder, os.W_OK) or (self.path.exists() and not os.access(self.path, os.W_OK)):
            study = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
            own = state_folder() / "views" / f"{study}-{name}"
            self._views = {**_read(self.path)[0], **_read(own)[0]}
            self.path = own
            return
        self._views, n_lines = _read(self.path)
        if n_lines > len(self._views) + _SLACK or len(self._views) > _MOST:
            self._write_anew()

    def recall(self, case_id: str) -> dict[str, Any]:
        """Return what was remembered of a case, empty when nothing was."""
        return dict(self._views.get(case_id, {}))

    @property
    def last(self) -> str | None:
        """The case that was looked at last."""
        return next(reversed(self._views), None)

    def remember(self, case_id: str, view: dict[str, Any]) -> None:
        """Keep a view, on disk before this returns; a folder that cannot be written costs only this convenience."""
        view = json.loads(json.dumps(view))
        if self.last == case_id and self._views[case_id] == view:
            return
        self._views.pop(case_id, None)
        self._views[case_id] = view
        line = json.dumps({"case": case_id, "view": view}, separators=(",", ":")) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                if file.tell() and not self._ends_whole():
                    file.write(b"\n")
                file.write(line.encode())
        except OSError as error:
            _log.warning("%s cannot be written (%s); views are kept for this session only", self.path, error)

    def _ends_whole(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def _write_anew(self) -> None:
        """Drop superseded lines, whole or not at all."""
        self._views = dict(list(self._views.items())[-_MOST:])
        lines = (json.dumps({"case": c, "view": v}, separators=(",", ":")) + "\n" for c, v in self._views.items())
        try:
            handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=".views-")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.writelines(lines)
            os.replace(temporary, self.path)
        except OSError as error:
            _log.warning("%s cannot be written anew (%s); it stays as it is", self.path, error)
