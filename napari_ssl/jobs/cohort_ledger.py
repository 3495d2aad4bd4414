"""What is done of a cohort, kept in the study: ``cohorts/<settings>.jsonl``, and the lock of who works on it."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from napari_ssl.errors import JobError
from napari_ssl.io.atomic import storage_error
from napari_ssl.jobs.control import lease
from napari_ssl.study.storage import make_folder
from napari_ssl.study.study import Study

__all__ = ["Ledger", "alone", "overtaken"]

_PREDECESSOR_GRACE_S = 3.0
_ASKED_AT_ONCE = 500


class Ledger:
    """Batches of one cohort: begun, done. Lines are appended and synced; half a line at the end counts for nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: set[str] = set()
        self.failed: dict[str, str] = {}
        self.begun: list[str] = []
        self.sizes: list[int] = []
        self._read()

    def _read(self) -> None:
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        for line in lines:
            try:
                self._take(json.loads(line))
            except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError):
                continue  # half a line, or damaged: its cases are done again, or found in their runs

    def _take(self, entry: Mapping[str, Any]) -> None:
        if "begin" in entry:
            begun = [str(case_id) for case_id in entry["begin"]]
            sizes = [min(max(0, int(size)), len(begun)) for size in entry.get("sizes", [len(begun)])]
            self.begun, self.sizes = begun, sizes
        elif "done" in entry:
            failed = {str(k): str(v) for k, v in entry["failed"].items()}
            self.done.update(map(str, entry["done"]))
            self.failed.update(failed)
            self.begun, self.sizes = [], []
        elif "again" in entry:
            self.done.difference_update(map(str, entry["again"]))

    @property
    def under_way(self) -> list[list[str]]:
        """Batches that were begun and are not done, without cases that are."""
        cases, over = iter(self.begun), self.done | self.failed.keys()
        batches = [[c for c in itertools.islice(cases, size) if c not in over] for size in self.sizes]
        return [batch for batch in batches if batch]

    def begin(self, *batches: Sequence[str]) -> None:
        """Batches are about to start, or are still under way; StorageError when that cannot be written."""
        self._append({"begin": [c for batch in batches for c in batch], "sizes": [len(b) for b in batches]})

    def end(self, done: Sequence[str], failed: Mapping[str, str]) -> None:
        """The batch that was begun last is in the study."""
        self._append({"done": list(done), "failed": dict(failed)})

    def _append(self, entry: dict[str, Any]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(b"\n" + json.dumps(entry).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise storage_error(self.path, error.strerror or str(error)) from error
        self._take(entry)

    def forget(self, cases: Collection[str]) -> None:
        """These are to be done again."""
        self._append({"again": sorted(cases)})

    def remove(self) -> None:
        """The cohort is through."""
        self.path.unlink(missing_ok=True)


@contextmanager
def alone(folder: Path, key: str) -> Iterator[None]:
    """Keep other processes from the same cohort; JobError where one has it."""
    make_folder(folder)
    with ExitStack() as stack:
        try:
            stack.enter_context(lease(folder, key, timeout_s=_PREDECESSOR_GRACE_S))
        except JobError as error:
            raise JobError(
                "these cases are being labelled by another window or command already; wait until it ends, or stop it"
            ) from error
        yield


def overtaken(study: Study, model_id: str, done: Collection[str]) -> set[str]:
    """Return the cases among `done` that another model has labelled since, or that lost their proposal."""
    cases, others = iter(done), set()
    while some := list(itertools.islice(cases, _ASKED_AT_ONCE)):  # proposals with their measures take room
        made = study.proposals_of(some)
        others.update(case_id for case_id in some if case_id not in made or made[case_id][-1].model_id != model_id)
    return others
