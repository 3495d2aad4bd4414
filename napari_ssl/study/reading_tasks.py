"""Planned reads of a study: who is to judge which version of labels, and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import sqlalchemy as sa

from napari_ssl.core.consensus import open_tasks
from napari_ssl.core.decision import Decision
from napari_ssl.core.reading import ReadingKind, ReadingTask
from napari_ssl.core.segmentation import Segmentation
from napari_ssl.errors import DecisionError
from napari_ssl.study import schema
from napari_ssl.study.stored_labels import StoredLabelRoom

__all__ = ["ReadingTaskRoom", "read_tasks"]

_TABLE = schema.reading_tasks


class ReadingTaskRoom(StoredLabelRoom):
    """Plan reads, list them, withdraw those that are not done."""

    def add_reading_tasks(self, tasks: Iterable[ReadingTask]) -> list[ReadingTask]:
        """Append all of these reads, or when one is refused none, and return them with their numbers.

        A read that is the same as an open one (case, version, reader, kind) is left out.

        Raises
        ------
        DecisionError
            A read is recorded already, or its version belongs to another case.
        UnknownCaseError
            No such case or label version.
        """
        added = []
        with self._database.write() as connection:
            there = {_key(t) for t in open_tasks(read_tasks(connection), self._task_decisions(connection))}
            for task in tasks:
                if task.id is not None:
                    raise DecisionError(f"case {task.case_id}: read {task.id} is planned already; make a new one")
                self._case_row(connection, task.case_id)
                segmentation = self._segmentation(connection, task.segmentation_id)
                if segmentation.case_id != task.case_id:
                    raise DecisionError(
                        f"case {task.case_id}: label version {segmentation.id} belongs to case {segmentation.case_id}"
                    )
                if _key(task) in there:
                    continue
                there.add(_key(task))
                values = {**dataclasses.asdict(task), "kind": task.kind.value}
                del values["id"]
                key = connection.execute(sa.insert(_TABLE).values(values)).inserted_primary_key
                added.append(dataclasses.replace(task, id=key[0]))
        return added

    def reading_tasks(
        self,
        *,
        reader: str | None = None,
        kind: ReadingKind | str | None = None,
        case_id: str | None = None,
        open_only: bool = False,
    ) -> list[ReadingTask]:
        """Return planned reads oldest first: of all or one reader, kind and case; only those that are not done."""
        with self._database.read() as connection:
            tasks = read_tasks(connection, case_id=case_id, reader=reader)
            decisions = self._task_decisions(connection) if open_only else []
        if kind is not None:
            tasks = [task for task in tasks if task.kind is ReadingKind(kind)]
        return open_tasks(tasks, decisions) if open_only else tasks

    def withdraw_reading_tasks(self, *, reader: str | None = None, kind: ReadingKind | str | None = None) -> int:
        """Forget planned reads that nobody has begun, of all or one reader and kind; returns how many."""
        used = sa.select(schema.decisions.c.task_id).where(schema.decisions.c.task_id.is_not(None))
        places = schema.place_verdicts
        judged = sa.exists().where(
            places.c.reader == _TABLE.c.reader,
            places.c.segmentation_id == _TABLE.c.segmentation_id,
            places.c.judged_at >= _TABLE.c.created_at,
        )
        query = sa.delete(_TABLE).where(_TABLE.c.id.not_in(used), ~judged)
        if reader is not None:
            query = query.where(_TABLE.c.reader == reader)
        if kind is not None:
            query = query.where(_TABLE.c.kind == ReadingKind(kind).value)
        with self._database.write() as connection:
            return connection.execute(query).rowcount

    @staticmethod
    def _task_decisions(connection: sa.Connection) -> list[Decision]:
        """Decisions that answer planned reads, and those that take one back."""
        table = schema.decisions
        answers = table.c.task_id.is_not(None) | table.c.retracts_id.is_not(None)
        return [Decision(**row) for row in connection.execute(sa.select(table).where(answers)).mappings()]

    def _task_of(self, connection: sa.Connection, decision: Decision, segmentation: Segmentation) -> ReadingTask | None:
        """Return the open read of this reader that a verdict on this version answers."""
        tasks = read_tasks(connection, case_id=decision.case_id, reader=decision.reader)
        if not tasks:
            return None
        waiting = open_tasks(tasks, self._task_decisions(connection))
        if not waiting:
            return None
        line = {segmentation.id}
        while segmentation.parent_id is not None:
            segmentation = self._segmentation(connection, segmentation.parent_id)
            line.add(segmentation.id)
        return waiting[0] if waiting[0].segmentation_id in line else None


def read_tasks(
    connection: sa.Connection, *, case_id: str | None = None, reader: str | None = None
) -> list[ReadingTask]:
    """Read planned reads, oldest first."""
    query = sa.select(_TABLE).order_by(_TABLE.c.id)
    if case_id is not None:
        query = query.where(_TABLE.c.case_id == case_id)
    if reader is not None:
        query = query.where(_TABLE.c.reader == reader)
    return [ReadingTask(**row) for row in connection.execute(query).mappings()]


def _key(task: ReadingTask) -> tuple[object, ...]:
    return task.case_id, task.segmentation_id, task.reader, task.kind
