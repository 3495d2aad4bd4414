"""Decisions of readers: appended, never changed; the state of a case follows from them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import sqlalchemy as sa

from napari_ssl.core.consensus import ReaderView, reader_view, study_view
from napari_ssl.core.decision import Decision, ReviewState, Verdict
from napari_ssl.core.segmentation import Segmentation, Source
from napari_ssl.errors import DecisionError, UnknownCaseError
from napari_ssl.study import schema
from napari_ssl.study.base import now
from napari_ssl.study.journal import EditJournal
from napari_ssl.study.reading_tasks import ReadingTaskRoom
from napari_ssl.study.stored_labels import PROPOSALS

__all__ = ["DecisionRoom"]

_TABLE = schema.decisions


class DecisionRoom(ReadingTaskRoom):
    """Record decisions and say what they amount to."""

    def record(self, decision: Decision) -> Decision:
        """Append a decision and return it with its number.

        Where a planned read of this reader waits for a verdict on that version (or on a correction of it), the decision
        answers it and says so in `task_id` and `reading`.

        Raises
        ------
        DecisionError
            It names another label version than its hash, a correction that is none, frames that the case has not, or
            takes back what is not there to be taken back.
        UnknownCaseError
            No such case or label version.
        """
        if decision.id is not None:
            raise DecisionError(f"case {decision.case_id}: decision {decision.id} is recorded already; make a new one")
        with self._database.write() as connection:
            case = self._case(self._case_row(connection, decision.case_id))
            segmentation = self._segmentation(connection, decision.segmentation_id)
            _check_decision(decision, segmentation, case.n_frames, case.n_slices)
            if decision.retracts_id is not None:
                self._check_retraction(connection, decision)
            else:
                task = self._task_of(connection, decision, segmentation)
                if task is not None:
                    decision = dataclasses.replace(decision, task_id=task.id, reading=task.kind)
            reading = None if decision.reading is None else decision.reading.value
            values = {**dataclasses.asdict(decision), "verdict": decision.verdict.value, "reading": reading}
            values.update(frames=list(decision.frames), slices=list(decision.slices))
            del values["id"]
            key = connection.execute(sa.insert(_TABLE).values(values)).inserted_primary_key
        return dataclasses.replace(decision, id=key[0])

    def take_back(self, decision_id: int, *, reader: str, seconds: float = 0.0, comment: str = "") -> Decision:
        """Append the decision that takes an earlier one of the same reader back, and return it."""
        with self._database.read() as connection:
            earlier = self._decision(connection, decision_id)
        return self.record(
            Decision(
                case_id=earlier.case_id,
                verdict=Verdict.TAKE_BACK,
                reader=reader,
                decided_at=now(),
                seconds=seconds,
                segmentation_id=earlier.segmentation_id,
                label_hash=earlier.label_hash,
                model_id=earlier.model_id,
                comment=comment,
                retracts_id=decision_id,
            )
        )

    def decisions(self, case_id: str | None = None, *, reader: str | None = None) -> list[Decision]:
        """Return decisions oldest first, of one case or all, of one reader or all."""
        query = sa.select(_TABLE).order_by(_TABLE.c.id)
        if case_id is not None:
            query = query.where(_TABLE.c.case_id == case_id)
        if reader is not None:
            query = query.where(_TABLE.c.reader == reader)
        with self._database.read() as connection:
            if case_id is not None:
                self._case_row(connection, case_id)
            return [_as_decision(row) for row in connection.execute(query).mappings()]

    def review_state(self, case_id: str, reader: str | None = None) -> tuple[ReviewState, Decision | None]:
        """Return the state of a case for one reader (None: all readers together) and the decision that stands.

        See `napari_ssl.core.consensus` for what several readers' decisions amount to.
        """
        if reader is not None:
            view = self.reader_view(case_id, reader)
            return view.state, view.standing
        proposal = self.proposal(case_id)
        found = study_view(
            self.decisions(case_id),
            proposal_id=None if proposal is None else proposal.id,
            has_edits=case_id in EditJournal.cases_with_edits(self.folder, None),
        )
        return found.state, found.standing

    def reader_view(self, case_id: str, reader: str) -> ReaderView:
        """Return what a reader is shown of a case, the planned read that is open included."""
        proposal = self.proposal(case_id)
        return reader_view(
            self.decisions(case_id, reader=reader),
            self.reading_tasks(case_id=case_id, reader=reader),
            proposal_id=None if proposal is None else proposal.id,
            has_edits=case_id in EditJournal.cases_with_edits(self.folder, reader),
        )

    def visible_decisions(self, case_id: str, reader: str) -> list[Decision]:
        """Return the history of a case as a reader may see it: in a blind read nothing of what was decided before."""
        view = self.reader_view(case_id, reader)
        decisions = self.decisions(case_id)
        if not view.is_blind:
            return decisions
        own = {d.id for d in decisions if d.task_id == view.task.id}
        return [d for d in decisions if d.id in own or d.retracts_id in own]

    def current(self, case_id: str, reader: str | None = None) -> Segmentation | None:
        """Return the labels that the review shows.

        The version of a planned read that is open, else the one that a standing ACCEPT or CORRECT is about, else the
        newest proposal, else the reference.
        """
        if reader is None:
            _, standing = self.review_state(case_id)
        else:
            view = self.reader_view(case_id, reader)
            standing = view.standing
            if view.task is not None:
                return self.segmentation(view.task.segmentation_id)
        if standing is not None and standing.verdict in (Verdict.ACCEPT, Verdict.CORRECT):
            return self.segmentation(standing.segmentation_id)
        return self.proposal(case_id) or self.reference(case_id)

    @staticmethod
    def _decision(connection: sa.Connection, decision_id: int) -> Decision:
        row = connection.execute(sa.select(_TABLE).where(_TABLE.c.id == decision_id)).mappings().first()
        if row is None:
            raise UnknownCaseError(f"the study has no decision number {decision_id!r}")
        return _as_decision(row)

    def _check_retraction(self, connection: sa.Connection, decision: Decision) -> None:
        earlier = self._decision(connection, decision.retracts_id)
        where = f"case {decision.case_id}: decision {earlier.id}"
        if earlier.case_id != decision.case_id:
            raise DecisionError(f"{where} is about case {earlier.case_id}")
        if earlier.reader != decision.reader:
            raise DecisionError(f"{where} is {earlier.reader}'s; only {earlier.reader} can take it back")
        if earlier.verdict is Verdict.TAKE_BACK:
            raise DecisionError(f"{where} takes another one back already; decide anew instead")
        if connection.execute(sa.select(_TABLE.c.id).where(_TABLE.c.retracts_id == earlier.id)).first() is not None:
            raise DecisionError(f"{where} was taken back before; decide anew instead")


def _as_decision(row: Any) -> Decision:
    """Build a decision from its row."""
    return Decision(**{**row, "frames": tuple(row["frames"]), "slices": tuple(row["slices"])})


def _check_decision(decision: Decision, segmentation: Segmentation, n_frames: int, n_slices: int) -> None:
    where = f"case {decision.case_id}"
    if segmentation.case_id != decision.case_id:
        raise DecisionError(f"{where}: label version {segmentation.id} belongs to case {segmentation.case_id}")
    if segmentation.label_hash != decision.label_hash:
        raise DecisionError(
            f"{where}: the decision is about labels {decision.label_hash[:12]}…, version {segmentation.id} has "
            f"{segmentation.label_hash[:12]}…; show the case again and decide on what is stored"
        )
    if decision.verdict is Verdict.CORRECT and segmentation.source is not Source.CORRECTED:
        raise DecisionError(f"{where}: version {segmentation.id} is {segmentation.source}; save the correction first")
    if (
        decision.model_id is not None
        and segmentation.source in PROPOSALS
        and decision.model_id != segmentation.model_id
    ):
        raise DecisionError(f"{where}: version {segmentation.id} was made by {segmentation.model_id}")
    if not (math.isfinite(decision.seconds) and decision.seconds >= 0):
        raise DecisionError(f"{where}: seconds must be 0 or more, got {decision.seconds}")
    for what, values, limit in (("frame", decision.frames, n_frames), ("slice", decision.slices, n_slices)):
        outside = [v for v in values if not 0 <= v < limit]
        if outside:
            raise DecisionError(f"{where}: {what} {outside[0]} does not exist, the image has 0 to {limit - 1}")
