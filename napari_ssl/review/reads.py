"""Who read which labels, and what for: the pairs that agreement is measured on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from napari_ssl.core.consensus import FINAL
from napari_ssl.core.decision import Decision, Verdict, standing_decisions
from napari_ssl.core.reading import MEASURING, ReadingKind, ReadingTask
from napari_ssl.core.segmentation import Segmentation, Source

__all__ = ["CATEGORIES", "Read", "ReadPair", "between_readers", "first_reads", "gold_reads", "within_readers"]

CATEGORIES = ("accept", "correct", "reject")
"""What a reader can make of the labels that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One verdict on one version of labels as it was put before the reader.

    Parameters
    ----------
    decision : Decision
    shown_id : int
        The version that the reader saw; for a correction the one that it started from.
    expected : str or None
        Of gold cases: "good" or "wrong".
    """

    decision: Decision
    shown_id: int
    expected: str | None = None

    @property
    def category(self) -> str:
        """One of `CATEGORIES`."""
        return self.decision.verdict.value

    @property
    def labels_id(self) -> int | None:
        """The version that the reader stands for; None where the labels were rejected."""
        return None if self.decision.verdict is Verdict.REJECT else self.decision.segmentation_id


ReadPair = tuple[Read, Read]


def _reads(
    decisions: Iterable[Decision], versions: Mapping[int, Segmentation], tasks: Mapping[int, ReadingTask]
) -> list[Read]:
    found = []
    for decision in standing_decisions(list(decisions)):
        if decision.verdict not in FINAL or decision.segmentation_id not in versions:
            continue
        task = tasks.get(decision.task_id) if decision.task_id is not None else None
        shown = task.segmentation_id if task else _shown(versions, decision)
        found.append(Read(decision=decision, shown_id=shown, expected=task.expected if task else None))
    return found


def _shown(versions: Mapping[int, Segmentation], decision: Decision) -> int:
    """What a decision is about: a correction is about what was painted over, several times saved or not."""
    version = versions[decision.segmentation_id]
    if decision.verdict is Verdict.CORRECT:
        while version.source is Source.CORRECTED and version.parent_id in versions:
            version = versions[version.parent_id]
    return version.id


def first_reads(
    decisions: Iterable[Decision], versions: Mapping[int, Segmentation], tasks: Mapping[int, ReadingTask]
) -> dict[tuple[str, int], Read]:
    """Return what each reader said of each version, by (reader, version): the newest that stands, no hidden repeats."""
    return {
        (read.decision.reader, read.shown_id): read
        for read in _reads(decisions, versions, tasks)
        if read.decision.reading not in MEASURING and read.decision.reading is not ReadingKind.ADJUDICATION
    }


def between_readers(reads: Mapping[tuple[str, int], Read]) -> dict[tuple[str, str], list[ReadPair]]:
    """Return the versions that two readers have both read, by the two readers' names in alphabetical order."""
    by_version: dict[int, list[Read]] = defaultdict(list)
    for (_, version), read in sorted(reads.items()):
        by_version[version].append(read)
    pairs: dict[tuple[str, str], list[ReadPair]] = defaultdict(list)
    for given in by_version.values():
        for a, b in combinations(given, 2):
            pairs[a.decision.reader, b.decision.reader].append((a, b))
    return dict(sorted(pairs.items()))


def within_readers(
    decisions: Iterable[Decision], versions: Mapping[int, Segmentation], tasks: Mapping[int, ReadingTask]
) -> dict[str, list[ReadPair]]:
    """Return each hidden repeat with the read before it, by reader."""
    decisions = list(decisions)
    before = first_reads(decisions, versions, tasks)
    pairs: dict[str, list[ReadPair]] = defaultdict(list)
    for read in _reads(decisions, versions, tasks):
        first = before.get((read.decision.reader, read.shown_id))
        if read.decision.reading is ReadingKind.REPEAT and first is not None:
            pairs[read.decision.reader].append((first, read))
            before[read.decision.reader, read.shown_id] = read
    return dict(sorted(pairs.items()))


def gold_reads(
    decisions: Iterable[Decision], versions: Mapping[int, Segmentation], tasks: Mapping[int, ReadingTask]
) -> dict[str, list[Read]]:
    """Return the answered gold cases by reader."""
    found: dict[str, list[Read]] = defaultdict(list)
    for read in _reads(decisions, versions, tasks):
        if read.decision.reading is ReadingKind.GOLD:
            found[read.decision.reader].append(read)
    return dict(sorted(found.items()))
