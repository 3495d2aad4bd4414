"""What the queue shows about every case, read in one snapshot; measures of label versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from napari_ssl.core.case import Split
from napari_ssl.core.consensus import ReaderView, reader_view, study_view
from napari_ssl.core.decision import Decision, ReviewState, Verdict
from napari_ssl.core.quality import DOUBTFUL_BELOW
from napari_ssl.core.reading import ReadingTask
from napari_ssl.core.segmentation import Source
from napari_ssl.study import schema
from napari_ssl.study.classifiers import ClassifierRoom, read_scores
from napari_ssl.study.decisions import DecisionRoom
from napari_ssl.study.journal import EditJournal
from napari_ssl.study.measure_columns import measure_columns
from napari_ssl.study.reading_tasks import read_tasks
from napari_ssl.study.stored_labels import PROPOSALS

__all__ = ["QueueRoom", "QueueRow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """One case in the queue.

    Parameters
    ----------
    case_id, subject_id : str
    group : str or None
    split : Split
    state : ReviewState
        For the reader that was asked for, else for all together (`napari_ssl.core.consensus`).
    mean_confidence : float or None
        Of the labels that the review shows, 0 to 1; None for those that a person painted.
    lv_ef, rv_ef : float or None
        Ejection fractions in percent of the labels that the review shows.
    disagreement : float or None
        1 − Dice between the newest proposal and the one before.
    foreground_fraction : float or None
        Share of labelled pixels in the newest proposal.
    model_id : str or None
        The model of the newest proposal.
    round : int or None
        The round that model was trained in.
    reader_of_decision : str or None
        Who made the newest standing decision, whoever it was.
    has_reference : bool
    proposal_id : int or None
        Number of the newest proposal.
    predicted_dice : float or None
        Dice of the newest proposal that the disagreement of several models predicts.
    probability_good : float or None
        That the newest proposal is good, 0 to 1: what a committee of models says where there is one, which finds the
        errors of networks that curves do not show (`benchmarks/quality.py`, cine), else the QC classifier.
    is_flagged : bool or None
        Whether the committee takes it for bad rather than good, or the classifier's score is below its operating point;
        None without either.
    n_flags : int or None
        How many rules the newest proposal breaks; None where the rules were not asked.
    task : str or None
        The kind of a planned read that is open and that the reader may know of; blind ones look like any other case.
    is_disputed : bool
        Readers differ on the labels, and nobody has adjudicated.
    """

    case_id: str
    subject_id: str
    group: str | None = None
    split: Split
    state: ReviewState
    mean_confidence: float | None = None
    lv_ef: float | None = None
    rv_ef: float | None = None
    disagreement: float | None = None
    foreground_fraction: float | None = None
    model_id: str | None = None
    round: int | None = None
    reader_of_decision: str | None = None
    has_reference: bool = False
    proposal_id: int | None = None
    predicted_dice: float | None = None
    probability_good: float | None = None
    is_flagged: bool | None = None
    n_flags: int | None = None
    task: str | None = None
    is_disputed: bool = False


class QueueRoom(DecisionRoom, ClassifierRoom):
    """Measures of label versions and the rows of the queue."""

    def set_measures(self, segmentation_id: int, measures: Mapping[str, Any]) -> None:
        """Store what was measured on a label version, in place of what was stored before.

        Any JSON (NaN becomes None). These keys also fill the queue: ``mean_confidence`` (0 to 1), ``disagreement``
        (0 to 1), ``indices`` with ``lv_ef_percent`` and ``rv_ef_percent`` as in `ClinicalIndices`, ``flags`` (a list,
        one entry a broken rule), ``committee`` with ``predicted_dice`` and ``probability_good``.
        """
        columns = measure_columns(f"label version {segmentation_id}", measures)
        table = schema.segmentations
        with self._database.write() as connection:
            self._segmentation(connection, segmentation_id)
            row = sa.update(table).where(table.c.id == segmentation_id)
            connection.execute(row.values(**columns))

    def measures(self, segmentation_id: int) -> dict[str, Any]:
        """Return what was measured on a label version, empty when nothing was."""
        table = schema.segmentations
        with self._database.read() as connection:
            self._segmentation(connection, segmentation_id)
            query = sa.select(table.c.measures).where(table.c.id == segmentation_id)
            return connection.execute(query).scalar_one() or {}

    def rule_flags(self) -> dict[int, list[dict[str, Any]]]:
        """Return what the plausibility rules said about every label version that they were asked about."""
        table = schema.segmentations
        query = sa.select(table.c.id, table.c.n_flags).where(table.c.n_flags.is_not(None))
        broken = sa.select(table.c.id, table.c.measures).where(table.c.n_flags > 0)
        with self._database.read() as connection:
            found: dict[int, list[dict[str, Any]]] = {row.id: [] for row in connection.execute(query)}
            found.update({row.id: row.measures["flags"] for row in connection.execute(broken)})
        return found

    def queue_rows(self, reader: str | None = None, case_ids: Collection[str] | None = None) -> list[QueueRow]:
        """Return a row for every case, in the order of their identifiers, for one reader (None: all together).

        `case_ids`, a few thousand at most, asks for these cases alone.
        """
        in_use = self._classifiers_in_use()
        with self._database.read() as connection:
            cases = _rows(connection, _of(_CASES, schema.cases.c.id, case_ids))
            versions = _rows(connection, _of(_VERSIONS, schema.segmentations.c.case_id, case_ids))
            scores = read_scores(connection, in_use, None if case_ids is None else {row.id for row in versions})
            rounds = {row.id: row.round for row in _rows(connection, _MODELS)}
            by_case: dict[str, list[Decision]] = defaultdict(list)
            for row in connection.execute(_of(_DECISIONS, schema.decisions.c.case_id, case_ids)).mappings():
                by_case[row["case_id"]].append(Decision(**row))
            tasks: dict[str, list[ReadingTask]] = defaultdict(list)
            for task in [] if reader is None else read_tasks(connection, reader=reader):
                tasks[task.case_id].append(task)
        proposals: dict[str, Any] = {}
        references: dict[str, Any] = {}
        for row in versions:  # oldest first: the newest stays
            if row.source in PROPOSALS:
                proposals[row.case_id] = row
            elif row.source == Source.REFERENCE:
                references[row.case_id] = row
        by_id = {row.id: row for row in versions}
        edited = EditJournal.cases_with_edits(self.folder, reader)
        result = []
        for case in cases:
            proposal = proposals.get(case.id)
            decisions = by_case.get(case.id, [])
            opinion = _opinion(decisions, reader, tasks.get(case.id, ()), proposal and proposal.id, case.id in edited)
            if opinion.view.task is not None:  # what is to be read is what is shown
                proposal = by_id[opinion.view.task.segmentation_id]
            row = _queue_row(case, proposal, references.get(case.id), opinion, by_id, rounds)
            score = scores.get(row.proposal_id)
            result.append(_judged(row, proposal, score))
        return result


_CASES = (
    sa.select(schema.cases.c.id, schema.cases.c.subject_id, schema.cases.c.group, schema.subjects.c.split)
    .join(schema.subjects)
    .order_by(schema.cases.c.id)
)
_SHOWN = ("id", "case_id", "source", "model_id", "mean_confidence", "lv_ef", "rv_ef", "disagreement", "n_flags")
_JUDGED = ("foreground_fraction", "predicted_dice", "committee_good")
_VERSIONS = sa.select(
    *(schema.segmentations.c[name] for name in (*_SHOWN, *_JUDGED)),
).order_by(schema.segmentations.c.id)
_MODELS = sa.select(schema.models.c.id, schema.models.c.round)
_DECISIONS = sa.select(  # without what the state of a case does not depend on
    *(c for c in schema.decisions.c if c.name not in ("frames", "slices", "comment"))
).order_by(schema.decisions.c.id)


def _judged(row: QueueRow, proposal: Any, score: Any) -> QueueRow:
    """Add what quality control says."""
    good = proposal and proposal.committee_good
    if score is None and good is None:
        return row
    flagged = (score is not None and score.is_flagged) or (good is not None and good < DOUBTFUL_BELOW)
    probability = score.probability_good if good is None else good
    return replace(row, predicted_dice=proposal.predicted_dice, probability_good=probability, is_flagged=flagged)


def _of(query: sa.Select, column: sa.Column, case_ids: Collection[str] | None) -> sa.Select:
    return query if case_ids is None else query.where(column.in_(case_ids))


def _rows(connection: sa.Connection, query: sa.Select) -> list[Any]:
    return list(connection.execute(query))


@dataclass(frozen=True, slots=True)
class _Opinion:
    """What the reader is shown, who decided last for all, and whether readers differ."""

    view: ReaderView
    reader: str | None
    is_disputed: bool


def _opinion(
    decisions: list[Decision],
    reader: str | None,
    tasks: Sequence[ReadingTask],
    proposal_id: int | None,
    has_edits: bool,
) -> _Opinion:
    if not decisions and not tasks:
        state = ReviewState.IN_PROGRESS if has_edits else ReviewState.UNREVIEWED
        return _Opinion(ReaderView(state=state, standing=None), None, False)
    together = study_view(decisions, proposal_id=proposal_id, has_edits=has_edits)
    if reader is None:
        view = ReaderView(state=together.state, standing=together.standing)
    else:
        own = [d for d in decisions if d.reader == reader]
        view = reader_view(own, tasks, proposal_id=proposal_id, has_edits=has_edits)
    return _Opinion(view, together.standing and together.standing.reader, together.is_disputed)


def _queue_row(
    case: Any,
    proposal: Any,
    reference: Any,
    opinion: _Opinion,
    by_id: Mapping[int, Any],
    rounds: Mapping[str, int],
) -> QueueRow:
    view, standing = opinion.view, opinion.view.standing
    shown = proposal or reference
    if view.task is None and standing is not None and standing.verdict in (Verdict.ACCEPT, Verdict.CORRECT):
        shown = by_id[standing.segmentation_id]
    return QueueRow(
        case_id=case.id,
        subject_id=case.subject_id,
        group=case.group,
        split=Split(case.split),
        state=view.state,
        mean_confidence=shown and shown.mean_confidence,
        lv_ef=shown and shown.lv_ef,
        rv_ef=shown and shown.rv_ef,
        disagreement=proposal and proposal.disagreement,
        foreground_fraction=proposal and proposal.foreground_fraction,
        model_id=proposal and proposal.model_id,
        round=proposal and rounds.get(proposal.model_id),
        reader_of_decision=None if view.is_blind else opinion.reader,
        has_reference=reference is not None and not view.is_blind,
        proposal_id=proposal and proposal.id,
        n_flags=proposal and proposal.n_flags,
        task=None if view.task is None or view.is_blind else view.task.kind.value,
        is_disputed=opinion.is_disputed and not view.is_blind,
    )
