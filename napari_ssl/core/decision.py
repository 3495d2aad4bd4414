"""What a reader decided about a case, and the state that follows. Decisions are appended, never changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from napari_ssl.core.reading import ReadingKind
from napari_ssl.errors import DecisionError

__all__ = [
    "DEFAULT_REJECT_REASONS",
    "STATE_OF",
    "Decision",
    "PlaceJudgement",
    "PlaceVerdict",
    "ReviewState",
    "Verdict",
    "review_state",
    "standing_decisions",
    "standing_place_verdicts",
]

DEFAULT_REJECT_REASONS = (
    "Basal slice wrong",
    "Apical slice wrong",
    "LV cavity wrong",
    "Myocardium wrong",
    "RV wrong",
    "Some frames wrong",
    "Structures swapped",
    "Image not readable",
    "Other",
)


class Verdict(StrEnum):
    """The kinds of decision."""

    ACCEPT = "accept"
    CORRECT = "correct"
    REJECT = "reject"
    DEFER = "defer"
    TAKE_BACK = "take_back"


class ReviewState(StrEnum):
    """``unreviewed → in_progress → accepted | corrected | rejected | deferred``; a newer proposal supersedes."""

    UNREVIEWED = "unreviewed"
    IN_PROGRESS = "in_progress"
    ACCEPTED = "accepted"
    CORRECTED = "corrected"
    REJECTED = "rejected"
    DEFERRED = "deferred"
    SUPERSEDED = "superseded"


STATE_OF = {
    Verdict.ACCEPT: ReviewState.ACCEPTED,
    Verdict.CORRECT: ReviewState.CORRECTED,
    Verdict.REJECT: ReviewState.REJECTED,
    Verdict.DEFER: ReviewState.DEFERRED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One event in the review of a case.

    Parameters
    ----------
    id : int or None
        Row in the study; None before it is recorded.
    case_id : str
    verdict : Verdict
    reader : str
    decided_at : datetime
        UTC, with time zone.
    seconds : float
        Time that the case was on screen and worked on.
    segmentation_id : int
        The version of the labels that the verdict is about (for CORRECT, the corrected version).
    label_hash : str
    model_id : str or None
        The model that proposed the labels.
    frames, slices : tuple of int
        What is at fault; empty means the whole case.
    reason : str
        Required for REJECT.
    comment : str
    retracts_id : int or None
        For TAKE_BACK: the decision that is taken back.
    task_id : int or None
        The planned read that this verdict was given in; the study fills it in.
    reading : ReadingKind or None
        The kind of that read.
    """

    id: int | None = None
    case_id: str
    verdict: Verdict
    reader: str
    decided_at: datetime
    seconds: float
    segmentation_id: int
    label_hash: str
    model_id: str | None = None
    frames: tuple[int, ...] = ()
    slices: tuple[int, ...] = ()
    reason: str = ""
    comment: str = ""
    retracts_id: int | None = None
    task_id: int | None = None
    reading: ReadingKind | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "verdict", Verdict(self.verdict))
        if self.reading is not None:
            object.__setattr__(self, "reading", ReadingKind(self.reading))
        if not self.reader.strip():
            raise DecisionError(f"case {self.case_id}: a decision needs a reader's name; set it in the settings")
        if self.decided_at.tzinfo is None:
            raise DecisionError(f"case {self.case_id}: decided_at has no time zone; use datetime.now(UTC)")
        if self.verdict is Verdict.REJECT and not self.reason.strip():
            raise DecisionError(f"case {self.case_id}: a rejection needs a reason; choose one from the list")
        if (self.verdict is Verdict.TAKE_BACK) != (self.retracts_id is not None):
            raise DecisionError(f"case {self.case_id}: taking back, and only that, names the decision it takes back")


def standing_decisions(decisions: Sequence[Decision]) -> list[Decision]:
    """Return the decisions that are not taken back, in their order, without those that take back."""
    retracted = {d.retracts_id for d in decisions if d.verdict is Verdict.TAKE_BACK}
    return [d for d in decisions if d.verdict is not Verdict.TAKE_BACK and d.id not in retracted]


def review_state(
    decisions: Sequence[Decision], *, proposal_id: int | None, has_edits: bool = False
) -> tuple[ReviewState, Decision | None]:
    """Return the state of a case from its decisions (oldest first) and the decision that stands.

    Parameters
    ----------
    decisions : sequence of Decision
        Of one case and one reader, oldest first.
    proposal_id : int or None
        The newest proposal (model or refined) of the case. A REJECT or DEFER about an older version no longer
        stands: the case comes back. ACCEPT and CORRECT stay until they are taken back.
    has_edits : bool
        Unsaved strokes lie in the journal.
    """
    standing = standing_decisions(decisions)
    if standing:
        last = standing[-1]
        keeps = last.verdict in (Verdict.ACCEPT, Verdict.CORRECT)
        if keeps or proposal_id is None or last.segmentation_id >= proposal_id:
            return STATE_OF[last.verdict], last
        return (ReviewState.IN_PROGRESS if has_edits else ReviewState.SUPERSEDED), None
    return (ReviewState.IN_PROGRESS if has_edits else ReviewState.UNREVIEWED), None


class PlaceJudgement(StrEnum):
    """What is said of one frame or slice."""

    GOOD = "good"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceVerdict:
    """One reader's verdict on one frame, or one slice of one frame, of a label version.

    Parameters
    ----------
    id : int or None
        Row in the study; None before it is recorded.
    case_id : str
    segmentation_id : int
    label_hash : str
    reader : str
    frame : int
        0-based.
    slice : int or None
        0-based; None: the whole frame.
    verdict : PlaceJudgement
    reason, comment : str
    seconds : float
    judged_at : datetime
        UTC, with time zone.
    retracts_id : int or None
        The verdict that this row takes back.
    """

    id: int | None = None
    case_id: str
    segmentation_id: int
    label_hash: str
    reader: str
    frame: int
    slice: int | None = None
    verdict: PlaceJudgement
    reason: str = ""
    comment: str = ""
    seconds: float = 0.0
    judged_at: datetime
    retracts_id: int | None = None

    def __post_init__(self) -> None:
        where = f"case {self.case_id}"
        try:
            object.__setattr__(self, "verdict", PlaceJudgement(self.verdict))
        except ValueError:
            raise DecisionError(f"{where}: a frame or slice is good or wrong, got {self.verdict!r}") from None
        if not self.reader.strip():
            raise DecisionError(f"{where}: a verdict needs a reader's name; set it in the settings")
        if self.judged_at.tzinfo is None:
            raise DecisionError(f"{where}: judged_at has no time zone; use datetime.now(UTC)")
        if not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise DecisionError(f"{where}: seconds must be 0 or more, got {self.seconds}")


def standing_place_verdicts(verdicts: Iterable[PlaceVerdict]) -> list[PlaceVerdict]:
    """Return the newest verdict that is not taken back per reader, label version and place, oldest first.

    Parameters
    ----------
    verdicts : iterable of PlaceVerdict
        Oldest first, those that take another one back among them.
    """
    verdicts = list(verdicts)
    retracted = {v.retracts_id for v in verdicts}
    newest: dict[tuple[str, int, int, int | None], PlaceVerdict] = {}
    for verdict in verdicts:
        if verdict.retracts_id is None and verdict.id not in retracted:
            key = (verdict.reader, verdict.segmentation_id, verdict.frame, verdict.slice)
            newest.pop(key, None)
            newest[key] = verdict
    return list(newest.values())
