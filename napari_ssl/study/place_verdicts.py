"""Verdicts on single frames and slices: appended, never changed."""

from __future__ import annotations

import dataclasses
from typing import Any

import sqlalchemy as sa

from napari_ssl.core.decision import PlaceVerdict, standing_place_verdicts
from napari_ssl.errors import DecisionError
from napari_ssl.study import schema
from napari_ssl.study.base import now
from napari_ssl.study.stored_labels import StoredLabelRoom
from napari_ssl.study.taking_back import row_to_take_back

__all__ = ["PlaceVerdictRoom"]

_TABLE = schema.place_verdicts


class PlaceVerdictRoom(StoredLabelRoom):
    """Say of single frames and slices of a label version that they are good or wrong."""

    def add_place_verdict(self, verdict: PlaceVerdict) -> PlaceVerdict:
        """Append a verdict on a place and return it with its number.

        Raises
        ------
        DecisionError
            It is recorded already, names another label version than its hash, or a place that the case has not.
        UnknownCaseError
            No such case or label version.
        """
        where = f"case {verdict.case_id}"
        if verdict.id is not None or verdict.retracts_id is not None:
            raise DecisionError(f"{where}: verdict {verdict.id} is recorded already; make a new one")
        with self._database.write() as connection:
            case = self._case(self._case_row(connection, verdict.case_id))
            segmentation = self._segmentation(connection, verdict.segmentation_id)
            if segmentation.case_id != case.id or segmentation.label_hash != verdict.label_hash:
                raise DecisionError(
                    f"{where}: label version {segmentation.id} is of case {segmentation.case_id} with labels "
                    f"{segmentation.label_hash[:12]}…, the verdict names {verdict.label_hash[:12]}…; show it again"
                )
            for what, place, n in (("frame", verdict.frame, case.n_frames), ("slice", verdict.slice, case.n_slices)):
                if place is not None and not 0 <= place < n:
                    raise DecisionError(f"{where}: {what} {place} does not exist, the image has 0 to {n - 1}")
            return self._insert_place_verdict(connection, verdict)

    def place_verdicts(
        self, case_id: str | None = None, *, reader: str | None = None, standing: bool = True
    ) -> list[PlaceVerdict]:
        """Return verdicts on places oldest first, of one case or all, of one reader or all.

        Parameters
        ----------
        standing : bool
            Only the newest of each reader on each place of a label version that is not taken back; else every row,
            also those that take another one back.
        """
        query = sa.select(_TABLE).order_by(_TABLE.c.id)
        if case_id is not None:
            query = query.where(_TABLE.c.case_id == case_id)
        if reader is not None:
            query = query.where(_TABLE.c.reader == reader)
        with self._database.read() as connection:
            if case_id is not None:
                self._case_row(connection, case_id)
            found = [PlaceVerdict(**row) for row in connection.execute(query).mappings()]
        return standing_place_verdicts(found) if standing else found

    def take_back_place_verdict(self, verdict_id: int, reader: str) -> PlaceVerdict:
        """Append the row that takes an earlier verdict of the same reader back, and return it.

        Raises
        ------
        DecisionError
            It is another reader's, or taken back before.
        UnknownCaseError
            No verdict of that number.
        """
        with self._database.write() as connection:
            row = row_to_take_back(
                connection, _TABLE, verdict_id, reader, what="verdict", instead="judge the place anew"
            )
            back = PlaceVerdict(**{**row, "id": None, "seconds": 0.0, "judged_at": now(), "retracts_id": verdict_id})
            return self._insert_place_verdict(connection, back)

    @staticmethod
    def _insert_place_verdict(connection: sa.Connection, verdict: PlaceVerdict) -> PlaceVerdict:
        values: dict[str, Any] = {**dataclasses.asdict(verdict), "verdict": verdict.verdict.value}
        del values["id"]
        key = connection.execute(sa.insert(_TABLE).values(values)).inserted_primary_key
        return dataclasses.replace(verdict, id=key[0])
