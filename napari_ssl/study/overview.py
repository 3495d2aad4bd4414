"""What is asked of a large study before anything else: how many of what, and the first page of the queue.

Counted by the database, with Python for the cases alone that a reader has touched: 200 ms at 100,000 cases.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import sqlalchemy as sa

from napari_ssl.core.case import Split
from napari_ssl.core.decision import ReviewState
from napari_ssl.core.segmentation import Source
from napari_ssl.study import schema
from napari_ssl.study.journal import EditJournal
from napari_ssl.study.queue_rows import QueueRoom, QueueRow
from napari_ssl.study.stored_labels import PROPOSALS

__all__ = ["OverviewRoom"]

_MOST_ASKED_FOR = 10_000
"""So many cases are named in a query; of more all rows are read."""
_VERSIONS = schema.segmentations
_NEWER = schema.segmentations.alias("newer")
_PROPOSED = tuple(source.value for source in PROPOSALS)


class OverviewRoom(QueueRoom):
    """Counts and first pages."""

    def case_counts(self) -> dict[str, Any]:
        """Return counts of cases, subjects, decisions; by split and by state of review (all readers together)."""
        touched = EditJournal.cases_with_edits(self.folder)
        with self._database.read() as connection:
            n_cases = connection.execute(_N_CASES).scalar_one()
            by_split = {split: connection.execute(_n_of(split)).scalar_one() for split in Split if split != _LARGEST}
            n_subjects = connection.execute(_N_SUBJECTS).scalar_one()
            n_reference = connection.execute(_n_with((Source.REFERENCE.value,))).scalar_one()
            n_proposal = connection.execute(_n_with(_PROPOSED)).scalar_one()
            n_decisions = connection.execute(sa.select(sa.func.count()).select_from(schema.decisions)).scalar_one()
            touched.update(connection.execute(sa.select(schema.decisions.c.case_id).distinct()).scalars())
        by_split[_LARGEST] = n_cases - sum(by_split.values())
        rows = self.queue_rows() if len(touched) > _MOST_ASKED_FOR else self.queue_rows(case_ids=touched)
        by_state = Counter({ReviewState.UNREVIEWED.value: n_cases - len(rows)})
        by_state.update(row.state.value for row in rows)
        return {
            "n_cases": n_cases,
            "n_subjects": n_subjects,
            "cases_by_split": {split.value: by_split[split] for split in Split},
            "cases_by_state": {state: n for state, n in by_state.items() if n},
            "n_with_reference": n_reference,
            "n_with_proposal": n_proposal,
            "n_decisions": n_decisions,
        }

    def first_queue_rows(self, reader: str | None, n: int) -> list[QueueRow]:
        """Return the rows of the `n` cases whose newest proposals have the lowest mean confidence, lowest first.

        That is the beginning of the queue in its usual order, without the time that all rows take; cases without
        proposals, and those whose confidence nobody measured, are not among them.
        """
        newer = sa.select(_NEWER.c.id).where(
            _NEWER.c.case_id == _VERSIONS.c.case_id, _NEWER.c.source.in_(_PROPOSED), _NEWER.c.id > _VERSIONS.c.id
        )
        query = (
            sa.select(_VERSIONS.c.case_id)
            .where(_VERSIONS.c.mean_confidence.is_not(None), _VERSIONS.c.source.in_(_PROPOSED), ~newer.exists())
            .order_by(_VERSIONS.c.mean_confidence, _VERSIONS.c.case_id)
            .limit(n)
        )
        with self._database.read() as connection:
            case_ids = list(connection.execute(query).scalars())
        rows = {row.case_id: row for row in self.queue_rows(reader, case_ids=case_ids)}
        return [rows[case_id] for case_id in case_ids]


_LARGEST = Split.TRAIN
"""What the other splits leave: counting them alone takes a third of the time of a join over all cases."""
_N_CASES = sa.select(sa.func.count()).select_from(schema.cases)
_N_SUBJECTS = sa.select(sa.func.count(schema.cases.c.subject_id.distinct()))


def _n_of(split: Split) -> sa.Select:
    """Count the cases whose subjects are in a split."""
    subjects = sa.select(schema.subjects.c.id).where(schema.subjects.c.split == split.value)
    return _N_CASES.where(schema.cases.c.subject_id.in_(subjects))


def _n_with(sources: tuple[str, ...]) -> sa.Select:
    """Count the cases that have a label version of one of these sources."""
    return sa.select(sa.func.count(_VERSIONS.c.case_id.distinct())).where(_VERSIONS.c.source.in_(sources))
