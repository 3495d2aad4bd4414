"""Keep what identifies a patient out of messages: folders and files are often named after patients."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["Redaction"]

_HIDDEN = "…"
_SHORT = 4


class Redaction:
    """Replaces words.

    Parameters
    ----------
    words : frozenset of str
        In lower case.
    """

    def __init__(self, words: frozenset[str]) -> None:
        ordered = sorted(map(re.escape, words), key=len, reverse=True)
        self._pattern = re.compile("|".join(ordered), re.IGNORECASE) if ordered else None
        # Within sentences a short name must stand alone: "Doe" is not in "does".
        alone = [w if len(w) > _SHORT else rf"(?<![^\W_]){w}(?![^\W_])" for w in ordered]
        self._in_text = re.compile("|".join(alone), re.IGNORECASE) if ordered else None

    def __repr__(self) -> str:
        return "Redaction(…)"

    def text(self, text: str) -> str:
        """Return `text` without the words."""
        return text if self._in_text is None else self._in_text.sub(_HIDDEN, text)

    def path(self, path: Path) -> str:
        """Return a path whose folders and name hold none of the words; a file keeps its suffix."""
        if self._pattern is None:
            return str(path)
        parts = [p if not self._pattern.search(p) else _HIDDEN for p in path.parts]
        if parts and parts[-1] == _HIDDEN:
            suffix = path.suffix if not self._pattern.search(path.suffix) and len(path.suffix) <= 5 else ""
            parts[-1] = _HIDDEN + suffix
        return str(Path(*parts))
