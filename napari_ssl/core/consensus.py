"""What the decisions of a case amount to: for one reader, and for all readers together (what a network learns from).

One reader: the newest verdict stands; while a planned read is open the case looks undecided, and the version to read is
what is shown.

All readers together:

1. Hidden repeats and gold cases measure readers and are left out.
2. The newest adjudication decides, where there is one.
3. Else a version that a reader accepted or painted counts, unless another reader's standing verdict rejects that very
   version: then readers differ, and the case stays out of training (*rejected*) until somebody adjudicates
   or a newer proposal takes its place.
4. Of several versions that count, a painted one goes before one that was accepted as it is, the newer before the older.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from napari_ssl.core.decision import (
    STATE_OF,
    Decision,
    PlaceVerdict,
    ReviewState,
    Verdict,
    review_state,
    standing_decisions,
)
from napari_ssl.core.reading import MEASURING, ReadingKind, ReadingTask

__all__ = ["FINAL", "ReaderView", "StudyView", "counting", "counting_places", "open_tasks", "reader_view", "study_view"]

FINAL = frozenset({Verdict.ACCEPT, Verdict.CORRECT, Verdict.REJECT})
"""Verdicts that answer the question; DEFER puts it off."""
_USABLE = frozenset({Verdict.ACCEPT, Verdict.CORRECT})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderView:
    """What one reader is shown of a case.

    Parameters
    ----------
    state : ReviewState
    standing : Decision or None
        The reader's own decision that stands.
    task : ReadingTask or None
        The planned read that is open; its version is what is shown.
    """

    state: ReviewState
    standing: Decision | None
    task: ReadingTask | None = None

    @property
    def is_blind(self) -> bool:
        """Whether what was decided before, and by whom, has to stay hidden."""
        return self.task is not None and self.task.is_blind


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyView:
    """What all readers together say of a case: the state, the decision behind it, and whether readers differ."""

    state: ReviewState
    standing: Decision | None
    is_disputed: bool = False


def counting(decisions: Iterable[Decision]) -> list[Decision]:
    """Return the decisions that say something about the case, without those that only measure the reader."""
    return [d for d in decisions if d.reading not in MEASURING]


def counting_places(
    verdicts: Iterable[PlaceVerdict], tasks: Iterable[ReadingTask], decisions: Iterable[Decision]
) -> list[PlaceVerdict]:
    """Return the verdicts on places that say something about the labels, without those given in a read that measures.

    Such a verdict is about the version of a hidden repeat or gold case, by its reader, given while that read was open.

    Parameters
    ----------
    verdicts, tasks, decisions : iterables
        Of one case or a study, oldest first, those that take another one back among them.
    """
    planned: dict[tuple[str, int], list[ReadingTask]] = {}
    for task in tasks:
        planned.setdefault((task.reader, task.segmentation_id), []).append(task)
    own: dict[str, list[Decision]] = {}
    for decision in decisions:
        own.setdefault(decision.case_id, []).append(decision)

    def measures(verdict: PlaceVerdict) -> bool:
        there = [
            t for t in planned.get((verdict.reader, verdict.segmentation_id), ()) if t.created_at <= verdict.judged_at
        ]
        before = [d for d in own.get(verdict.case_id, ()) if d.decided_at <= verdict.judged_at] if there else []
        waiting = open_tasks(there, before)
        return bool(waiting) and waiting[0].kind in MEASURING

    return [v for v in verdicts if not measures(v)]


def open_tasks(tasks: Iterable[ReadingTask], decisions: Sequence[Decision]) -> list[ReadingTask]:
    """Return the planned reads that no standing verdict answers, oldest first."""
    done = {d.task_id for d in standing_decisions(decisions) if d.verdict in FINAL}
    return [task for task in tasks if task.id not in done]


def reader_view(
    decisions: Sequence[Decision],
    tasks: Sequence[ReadingTask] = (),
    *,
    proposal_id: int | None,
    has_edits: bool = False,
) -> ReaderView:
    """Return what one reader is shown of a case.

    Parameters
    ----------
    decisions, tasks : sequences
        Of that case and reader alone, oldest first.
    proposal_id, has_edits
        As in `review_state`.
    """
    waiting = open_tasks(tasks, decisions) if tasks else []
    if not waiting:
        state, standing = review_state(decisions, proposal_id=proposal_id, has_edits=has_edits)
        return ReaderView(state=state, standing=standing)
    task = waiting[0]
    own = [d for d in decisions if d.task_id == task.id]
    taken_back = [d for d in decisions if d.retracts_id in {o.id for o in own}]
    state, standing = review_state([*own, *taken_back], proposal_id=None, has_edits=has_edits)
    return ReaderView(state=state, standing=standing, task=task)


def study_view(decisions: Sequence[Decision], *, proposal_id: int | None, has_edits: bool = False) -> StudyView:
    """Return what all readers together say of a case.

    Parameters
    ----------
    decisions : sequence of Decision
        Of that case, oldest first.
    proposal_id : int or None
        The newest proposal.
    has_edits : bool
        Whether unsaved strokes of anybody lie in the journal.
    """
    decisions = counting(decisions)
    by_reader: dict[str, list[Decision]] = {}
    for decision in decisions:
        by_reader.setdefault(decision.reader, []).append(decision)
    views = [review_state(own, proposal_id=proposal_id, has_edits=has_edits) for own in by_reader.values()]
    standing = sorted((d for _, d in views if d is not None), key=lambda d: (d.decided_at, d.id or 0))
    settled = [d for d in standing if d.reading is ReadingKind.ADJUDICATION and d.verdict in FINAL]
    if settled:
        return _view(settled[-1])
    usable = [d for d in standing if d.verdict in _USABLE]
    last = [review_state(own, proposal_id=None)[1] for own in by_reader.values()]
    rejects = [d for d in last if d is not None and d.verdict is Verdict.REJECT]  # also of versions by now replaced
    disputed = {r.segmentation_id for r in rejects} & {d.segmentation_id for d in usable}
    clear = [d for d in usable if d.segmentation_id not in disputed]
    if clear:
        return _view(max(clear, key=lambda d: (d.verdict is Verdict.CORRECT, d.decided_at, d.id or 0)))
    if usable:
        rejection = max((r for r in rejects if r.segmentation_id in disputed), key=lambda d: (d.decided_at, d.id or 0))
        if proposal_id is not None and rejection.segmentation_id < proposal_id:
            return StudyView(state=ReviewState.SUPERSEDED, standing=None, is_disputed=True)
        return _view(rejection, is_disputed=True)
    if standing:
        return _view(standing[-1])
    states = {state for state, _ in views}
    for state in (ReviewState.IN_PROGRESS, ReviewState.SUPERSEDED):
        if state in states or (state is ReviewState.IN_PROGRESS and has_edits):
            return StudyView(state=state, standing=None)
    return StudyView(state=ReviewState.UNREVIEWED, standing=None)


def _view(decision: Decision, *, is_disputed: bool = False) -> StudyView:
    return StudyView(state=STATE_OF[decision.verdict], standing=decision, is_disputed=is_disputed)
