"""Go through folders of DICOM files and sort what is found into series."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_ssl.errors import ImageError
from napari_ssl.io.dicom.facts import FileFacts, Skipped
from napari_ssl.io.dicom.headers import read_facts
from napari_ssl.io.dicom.redaction import Redaction

__all__ = ["DicomFolder", "Progress", "files_below", "index_files", "is_dicom"]

Progress = Callable[[int, int, str], None]

_STEP = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomFolder:
    """What was found.

    Parameters
    ----------
    series : tuple of tuples of FileFacts
        One tuple per SeriesInstanceUID, in the order of study and series number.
    skipped : tuple of Skipped
        Files that hold no image.
    redaction : Redaction
        Keeps words of the patients' identities out of texts.
    """

    series: tuple[tuple[FileFacts, ...], ...]
    skipped: tuple[Skipped, ...]
    redaction: Redaction

    def notes(self) -> tuple[str, ...]:
        """Say how many files were left out, and why."""
        counts = Counter(s.reason for s in self.skipped)
        return tuple(f"{n} file{'s' if n > 1 else ''} left out: {reason}" for reason, n in sorted(counts.items()))


def is_dicom(path: Path) -> bool:
    """Tell by the preamble (PS3.10), not by the name."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def files_below(paths: Iterable[Path]) -> list[Path]:
    """Return files, and those in folders at any depth, in order, without hidden ones; links to folders stay unread.

    Raises
    ------
    ImageError
        A path that does not exist.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_file():
            found.append(path.absolute())
        elif path.is_dir():
            for folder, folders, names in os.walk(path):
                folders[:] = sorted(f for f in folders if not f.startswith("."))
                here = Path(folder).absolute()
                found.extend(here / n for n in sorted(names) if not n.startswith(".") and (here / n).is_file())
        else:
            raise ImageError(f"{path}: no such file or folder; check the path")
    return list(dict.fromkeys(found))


def index_files(
    paths: Sequence[Path],
    *,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
    keep_identity: bool = False,
) -> DicomFolder:
    """Read the headers of files, one after the other, in any order.

    Parameters
    ----------
    paths : sequence of Path
        Files (`files_below` lists those of folders).
    progress : callable, optional
        Called with (done, total, ""), never with a file's name.
    should_stop : callable, optional
        Asked between files; what was found so far is returned.
    keep_identity : bool
        Messages may name patients.
    """
    series: dict[str, list[FileFacts]] = {}
    skipped: list[Skipped] = []
    for done, path in enumerate(paths):
        if done % _STEP == 0:
            if should_stop is not None and should_stop():
                break
            if progress is not None:
                progress(done, len(paths), "")
        facts = read_facts(path)
        if isinstance(facts, Skipped):
            skipped.append(facts)
        else:
            series.setdefault(facts.series or f"\0{path}", []).append(facts)
    groups = sorted(series.values(), key=lambda g: (g[0].study, g[0].series_number or 0, g[0].series))
    words = frozenset().union(*(f.patient.words for g in groups for f in g)) if groups else frozenset()
    return DicomFolder(
        series=tuple(map(tuple, groups)),
        skipped=tuple(skipped),
        redaction=Redaction(frozenset() if keep_identity else words),
    )
