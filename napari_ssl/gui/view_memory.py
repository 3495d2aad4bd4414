"""How each case was last looked at: frame, slice, zoom, contrast, flags and comment; a file per study and person."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

from napari_ssl.gui.settings import read_json, state_folder, write_json

__all__ = ["ViewMemory"]

_log = logging.getLogger(__name__)
_MOST = 2000


class ViewMemory:
    """Remembers up to 2,000 cases of a study for one reader, the ones looked at last."""

    def __init__(self, study_folder: Path, reader: str) -> None:
        key = hashlib.sha256(f"{Path(study_folder).resolve()}\n{reader}".encode()).hexdigest()[:24]
        self.path = state_folder() / "views" / f"{key}.json"
        self._views: dict[str, Any] = read_json(self.path)

    def recall(self, case_id: str) -> dict[str, Any]:
        """Return what was remembered of a case, empty when nothing was."""
        view = self._views.get(case_id)
        return dict(view) if isinstance(view, dict) else {}

    @property
    def last(self) -> str | None:
        """The case that was looked at last."""
        return next(reversed(self._views), None)

    def remember(self, case_id: str, view: dict[str, Any]) -> None:
        """Keep a view; a settings folder that cannot be written costs only this convenience."""
        if self.last == case_id and self._views[case_id] == view:
            return
        self._views.pop(case_id, None)
        self._views[case_id] = view
        for old in list(self._views)[:-_MOST]:
            del self._views[old]
        try:
            write_json(self.path, self._views)
        except OSError as error:
            _log.warning("%s cannot be written (%s); views are kept for this session only", self.path, error)
