"""One reader's way through the curves to rate, without Qt: which case is next, how many are done, and how fast."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from napari_ssl.core.decision import ReviewState
from napari_ssl.study.queue_rows import QueueRow

__all__ = ["GOAL", "RatingSession", "why_none"]

GOAL = 100
"""Curves in one sitting: twenty minutes at 12 s each."""


@dataclass(slots=True)
class RatingSession:
    """The drawn cases and what became of them.

    Parameters
    ----------
    drawn : list of str
        Cases in the order they are shown; those that were rated, skipped or could not be read leave it.
    n_before : int
        Ratings of this reader that stood when the session began.
    goal : int
        Ratings that the reader wants to reach.
    """

    drawn: list[str]
    n_before: int = 0
    goal: int = GOAL
    seconds: list[float] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def n_done(self) -> int:
        """Ratings that stand, with those from before."""
        return self.n_before + len(self.seconds)

    @property
    def n_wanted(self) -> int:
        """The goal, or fewer when there are not that many curves."""
        return min(self.goal, self.n_done + len(self.drawn))

    @property
    def current(self) -> str | None:
        """The case to rate now."""
        return self.drawn[0] if self.drawn else None

    @property
    def following(self) -> str | None:
        """The case after it, which is read ahead."""
        return self.drawn[1] if len(self.drawn) > 1 else None

    def rated(self, case_id: str, seconds: float) -> None:
        """Go on to the next case."""
        self._leave(case_id)
        self.seconds.append(seconds)

    def passed_over(self, case_id: str) -> None:
        """Put a case at the end of the list."""
        self._leave(case_id)
        self.drawn.append(case_id)

    def unreadable(self, case_id: str) -> None:
        """Go on without a case that cannot be shown."""
        self._leave(case_id)
        self.left.append(case_id)

    def taken_back(self, case_id: str) -> None:
        """Show a case again whose rating was taken back."""
        self._leave(case_id)
        self.drawn.insert(0, case_id)
        if self.seconds:
            self.seconds.pop()
        else:
            self.n_before = max(0, self.n_before - 1)

    def _leave(self, case_id: str) -> None:
        self.drawn = [c for c in self.drawn if c != case_id]

    def progress_text(self) -> str:
        """Return e.g. ``"37 of 100, 11 s each"``."""
        text = f"{self.n_done} of {self.n_wanted}"
        return f"{text}, {fmean(self.seconds):.0f} s each" if self.seconds else text


def why_none(rows: Sequence[QueueRow], n_rated: int, edited: Collection[str] = ()) -> str:
    """Say why no curve can be rated and what helps.

    Parameters
    ----------
    rows : sequence of QueueRow
        All cases of the study.
    n_rated : int
        Curves that this reader has rated.
    edited : collection of str
        Cases with unsaved strokes of this reader.
    """
    if not rows:
        return "The study has no images yet. Import some first."
    proposed = [r for r in rows if r.proposal_id is not None]
    if not proposed:
        return "There are no curves yet: no model has labelled a case. Train one, then let it label cases (tab Models)."
    if n_rated:
        return (
            f"You have rated all {n_rated} curves that can be rated. There are more as soon as a model labels further "
            "cases: import images and relabel (tab Models)."
        )
    waiting = sum(r.case_id in edited for r in proposed)
    if waiting:
        holds = "1 case holds" if waiting == 1 else f"{waiting} cases hold"
        return f"{holds} unsaved strokes of yours. Save or revert them first (tab Review)."
    decided = sum(r.state in (ReviewState.ACCEPTED, ReviewState.CORRECTED) for r in proposed)
    return (
        f"{len(proposed)} cases have proposed labels, but each is in the training, validation or test set of a model"
        f"{f' ({decided} because you accepted or corrected them)' if decided else ''}. Curves must be rated on cases "
        "that no model has learned from: import more images and let a model label them (tab Models)."
    )
