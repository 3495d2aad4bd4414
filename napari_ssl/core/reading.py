"""Reads that are planned for a reader: second reads, hidden repeats, gold cases, adjudications."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from napari_ssl.errors import DecisionError

__all__ = ["MEASURING", "ReadingKind", "ReadingTask"]


class ReadingKind(StrEnum):
    """Why a reader is given a version of labels to judge."""

    SECOND_READ = "second-read"
    """Another reader has judged it; both verdicts count, what they differ on waits for an adjudication."""
    REPEAT = "repeat"
    """The same reader has judged it before; unmarked, and for measuring alone."""
    GOLD = "gold"
    """The right verdict is known; unmarked, and for measuring alone."""
    ADJUDICATION = "adjudication"
    """Readers differ; this verdict settles it."""


MEASURING = frozenset({ReadingKind.REPEAT, ReadingKind.GOLD})
"""Reads that measure the reader and never decide what a network learns from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingTask:
    """One version of labels that one reader is to judge; done as soon as a verdict of that reader names the task.

    Parameters
    ----------
    id : int or None
        Row in the study; None before it is recorded.
    case_id : str
    segmentation_id : int
        The version that is shown, whatever newer ones there are.
    reader : str
        Who is to judge it.
    kind : ReadingKind
    is_blind : bool
        The reader sees neither that this is such a task nor what was decided about the case before.
    expected : str or None
        Of gold cases: "good" or "wrong", the verdict that is right.
    planned_by : str
    created_at : datetime
        UTC, with time zone.
    """

    id: int | None = None
    case_id: str
    segmentation_id: int
    reader: str
    kind: ReadingKind
    is_blind: bool = True
    expected: str | None = None
    planned_by: str = ""
    created_at: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", ReadingKind(self.kind))
        where = f"case {self.case_id}"
        if not self.reader.strip():
            raise DecisionError(f"{where}: a read needs the name of its reader")
        if self.created_at.tzinfo is None:
            raise DecisionError(f"{where}: created_at has no time zone; use datetime.now(UTC)")
        if (self.kind is ReadingKind.GOLD) != (self.expected in ("good", "wrong")):
            raise DecisionError(
                f"{where}: a gold case, and only that, says what is right: expected is {self.expected!r}, "
                "use 'good' or 'wrong'"
            )
        if self.kind in MEASURING and not self.is_blind:
            raise DecisionError(f"{where}: a {self.kind} that the reader knows of measures nothing; leave it blind")
