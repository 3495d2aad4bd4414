"""How good readers find a segmentation by its curves and animation, and what a classifier makes of it.

Ratings are appended, never changed; a wrong one is taken back. The scale is the paper's good / erroneous (Ruijsink
2020, quality control step) in four steps, so that a classifier may be trained on clear cases alone; 0 says that the
image itself cannot be read, which is no verdict on the segmentation.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from napari_ssl.core.model import ModelState
from napari_ssl.errors import DecisionError

__all__ = [
    "GOOD_FROM",
    "NOT_READABLE",
    "QC_KINDS",
    "SCALE",
    "QcClassifier",
    "Rating",
    "Score",
    "consensus",
    "needs_adjudication",
    "standing_ratings",
]

NOT_READABLE = 0
GOOD_FROM = 3
"""Scores from this one on count as good, lower ones as erroneous; `NOT_READABLE` counts as neither."""
SCALE = {
    4: "Good",
    3: "Usable, small errors",
    2: "Erroneous",
    1: "Grossly erroneous",
    NOT_READABLE: "Image not readable",
}
"""What the scores mean, best first."""
QC_KINDS = ("short-axis", "aorta")
"""What there are separate classifiers for (Ruijsink 2020, quality control step): ventricular volumes, aortic area."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """One reader's score for one version of labels.

    Parameters
    ----------
    id : int or None
        Row in the study; None before it is recorded.
    case_id : str
    segmentation_id : int
        The version whose curves and animation were rated.
    reader : str
    score : int
        1 to 4 as in `SCALE`, 0 for an image that cannot be read.
    seconds : float
        Time from the first sight of the curves to the key.
    rated_at : datetime
        UTC, with time zone.
    app_version : str
    taken_back : bool
        The reader has withdrawn it.
    is_adjudication : bool
        Given to settle readers who disagree: it counts where their votes tie.
    """

    id: int | None = None
    case_id: str
    segmentation_id: int
    reader: str
    score: int
    seconds: float
    rated_at: datetime
    app_version: str
    taken_back: bool = False
    is_adjudication: bool = False

    def __post_init__(self) -> None:
        where = f"case {self.case_id}"
        if not self.reader.strip():
            raise DecisionError(f"{where}: a rating needs a reader's name; set it in the settings")
        if isinstance(self.score, bool) or self.score not in SCALE:
            raise DecisionError(f"{where}: a score is 1, 2, 3, 4 or 0 (image not readable), got {self.score!r}")
        if not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise DecisionError(f"{where}: seconds must be 0 or more, got {self.seconds}")
        if self.rated_at.tzinfo is None:
            raise DecisionError(f"{where}: rated_at has no time zone; use datetime.now(UTC)")

    @property
    def is_good(self) -> bool | None:
        """Whether the score says good; None for an image that cannot be read."""
        return None if self.score == NOT_READABLE else self.score >= GOOD_FROM


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a classifier says about one version of labels.

    Parameters
    ----------
    segmentation_id : int
    probability_good : float
    classifier_id : str
    is_flagged : bool
        The probability is below the classifier's operating point.
    """

    segmentation_id: int
    probability_good: float
    classifier_id: str
    is_flagged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QcClassifier:
    """A classifier of curves; its weights lie in ``qc/<id>/weights.safetensors`` with ``card.json`` beside them.

    Parameters
    ----------
    id : str
    kind : str
        One of `QC_KINDS`.
    threshold : float
        Operating point: a probability of good below it flags the segmentation.
    weights_hash : str
        SHA-256 of the weights as they were registered.
    state : ModelState
        The promoted one of a kind scores; without any, the newest.
    created_at : datetime
    """

    id: str
    kind: str
    threshold: float
    weights_hash: str
    state: ModelState
    created_at: datetime


def standing_ratings(ratings: Iterable[Rating]) -> list[Rating]:
    """Return the newest rating that is not taken back per reader, label version and purpose, oldest first.

    Parameters
    ----------
    ratings : iterable of Rating
        Oldest first. A reader who rates again replaces the own earlier rating; an adjudication replaces none.
    """
    newest: dict[tuple[int, str, bool], Rating] = {}
    for rating in ratings:
        if not rating.taken_back:
            key = (rating.segmentation_id, rating.reader, rating.is_adjudication)
            newest.pop(key, None)
            newest[key] = rating
    return list(newest.values())


def consensus(ratings: Iterable[Rating]) -> dict[int, bool]:
    """Return whether each rated version is good: the most frequent vote, where votes tie the adjudicator's.

    Good, erroneous and not readable are the three votes. Versions that are not readable, and ties that nobody has
    settled, are left out. Several adjudications: the newest counts.
    """
    result: dict[int, bool] = {}
    for segmentation_id, verdict in _verdicts(ratings).items():
        if isinstance(verdict, bool):
            result[segmentation_id] = verdict
    return result


def needs_adjudication(ratings: Iterable[Rating]) -> list[int]:
    """Return the versions whose votes tie and that no adjudicator has settled, in the order of their numbers."""
    return sorted(number for number, verdict in _verdicts(ratings).items() if verdict == "tie")


def _verdicts(ratings: Iterable[Rating]) -> dict[int, bool | str | None]:
    """Return True, False, None (not readable) or "tie" by label version."""
    votes: dict[int, Counter[bool | None]] = {}
    adjudicated: dict[int, bool | None] = {}
    for rating in standing_ratings(ratings):
        if rating.is_adjudication:
            adjudicated[rating.segmentation_id] = rating.is_good
        else:
            votes.setdefault(rating.segmentation_id, Counter())[rating.is_good] += 1
    found: dict[int, bool | str | None] = {}
    for number in (*votes, *(n for n in adjudicated if n not in votes)):
        counts = votes.get(number, Counter())
        most = [vote for vote, n in counts.items() if n == max(counts.values())]
        found[number] = most[0] if len(most) == 1 else adjudicated.get(number, "tie")
    return found
