"""Ratings of readers: appended, never changed; who rates what next, and what readers agree on."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from napari_ssl import __version__
from napari_ssl.core.case import Split
from napari_ssl.core.rating import Rating, consensus, needs_adjudication, standing_ratings
from napari_ssl.core.segmentation import Source
from napari_ssl.core.training import Role
from napari_ssl.errors import CheckpointError, DecisionError
from napari_ssl.study import schema
from napari_ssl.study.base import now
from napari_ssl.study.models import ModelRoom
from napari_ssl.study.stored_labels import PROPOSALS, StoredLabelRoom
from napari_ssl.study.taking_back import row_to_take_back

__all__ = ["RatingRoom"]

_TABLE = schema.ratings
_GIVEN = [f.name for f in dataclasses.fields(Rating) if f.name != "taken_back"]


class RatingRoom(StoredLabelRoom, ModelRoom):
    """Record ratings, draw what is to be rated, settle disagreement."""

    def add_rating(self, rating: Rating) -> Rating:
        """Append a rating and return it with its number.

        Raises
        ------
        DecisionError
            It is recorded already or taken back, or its label version belongs to another case.
        UnknownCaseError
            No such case or label version.
        """
        with self._database.write() as connection:
            return self._insert_rating(connection, rating)

    def add_ratings(self, ratings: list[Rating]) -> list[Rating]:
        """Append all of these or, when one is refused, none."""
        with self._database.write() as connection:
            return [self._insert_rating(connection, rating) for rating in ratings]

    def adjudicate(self, segmentation_id: int, reader: str, score: int, *, seconds: float = 0.0) -> Rating:
        """Settle a label version on which readers disagree: counts where their votes tie."""
        return self.add_rating(
            Rating(
                case_id=self.segmentation(segmentation_id).case_id,
                segmentation_id=segmentation_id,
                reader=reader,
                score=score,
                seconds=seconds,
                rated_at=now(),
                app_version=__version__,
                is_adjudication=True,
            )
        )

    def take_back_rating(self, rating_id: int, reader: str) -> Rating:
        """Withdraw a rating of the same reader and return it; the row stays, marked by one that takes it back.

        Raises
        ------
        DecisionError
            It is another reader's, or taken back before.
        UnknownCaseError
            No rating of that number.
        """
        with self._database.write() as connection:
            row = row_to_take_back(connection, _TABLE, rating_id, reader, what="rating", instead="rate anew")
            values = {**row, "score": None, "seconds": 0.0, "rated_at": now(), "app_version": __version__}
            del values["id"]
            connection.execute(sa.insert(_TABLE).values({**values, "retracts_id": rating_id}))
        return dataclasses.replace(_as_rating(row), taken_back=True)

    def ratings(self, case_id: str | None = None, *, reader: str | None = None) -> list[Rating]:
        """Return ratings oldest first, of one case or all, of one reader or all; also those that are taken back."""
        query = sa.select(_TABLE).order_by(_TABLE.c.id)
        if case_id is not None:
            query = query.where(_TABLE.c.case_id == case_id)
        if reader is not None:
            query = query.where(_TABLE.c.reader == reader)
        with self._database.read() as connection:
            if case_id is not None:
                self._case_row(connection, case_id)
            rows = list(connection.execute(query).mappings())
        retracted = {row["retracts_id"] for row in rows}
        return [_as_rating(r, r["id"] in retracted) for r in rows if r["retracts_id"] is None]

    def consensus_ratings(self) -> dict[int, bool]:
        """Return whether readers find each rated label version good; see `napari_ssl.core.rating.consensus`."""
        return consensus(self.ratings())

    def ratings_to_settle(self) -> list[int]:
        """Return the label versions on which readers' votes tie and that nobody has adjudicated."""
        return needs_adjudication(self.ratings())

    def rating_queue(self, n: int, seed: int, reader: str) -> list[str]:
        """Draw cases at random for a reader to rate, the same ones for the same seed.

        Only cases that no segmentation network was trained, validated or tested with enter (Ruijsink 2020: rated cases
        are disjoint from segmentation training and evaluation): training cases without reference labels,
        in no model's training set but unlabelled, with a proposal of two frames or more whose newest version the reader
        has not rated yet.

        Parameters
        ----------
        n : int
            How many at most.
        seed : int
            Readers who give the same one rate the same cases, which tells how well they agree.
        reader : str
        """
        rated = {r.segmentation_id for r in standing_ratings(self.ratings(reader=reader)) if not r.is_adjudication}
        known = self.cases_known_to_networks()
        eligible = [
            case_id
            for case_id, (segmentation_id, n_frames) in self._newest_proposals().items()
            if n_frames > 1 and segmentation_id not in rated and case_id not in known
        ]
        # every case draws its own number: the order does not depend on which others are left
        drawn = {case_id: random.Random(f"{seed}:{case_id}").random() for case_id in eligible}
        return sorted(eligible, key=lambda case_id: (drawn[case_id], case_id))[: max(0, n)]

    def cases_known_to_networks(self) -> set[str]:
        """Return cases of subjects that any segmentation network was trained, validated or tested with."""
        cases = self.cases()
        ids = {case.id for case in cases if case.split is not Split.TRAIN}
        ids |= {s.case_id for s in self.segmentations(source=Source.REFERENCE)}
        for model in self.models():
            ids |= set(self._taught(model.id))
        subjects = {case.subject_id for case in cases if case.id in ids}
        return {case.id for case in cases if case.subject_id in subjects}

    def _taught(self, model_id: str) -> Iterator[str]:
        try:
            listed = self.model_card(model_id).get("training_cases", ())
            yield from (case_id for case_id, role, *_ in listed if role != Role.UNLABELLED)
        except CheckpointError:  # the card is lost: `check` says so, and rating goes on
            return

    def _newest_proposals(self) -> dict[str, tuple[int, int]]:
        """Return number and count of frames of the newest proposal by case."""
        table = schema.segmentations
        query = sa.select(table.c.case_id, table.c.id, table.c.frames).order_by(table.c.id)
        query = query.where(table.c.source.in_([source.value for source in PROPOSALS]))
        with self._database.read() as connection:
            return {row.case_id: (row.id, len(row.frames)) for row in connection.execute(query)}

    def _insert_rating(self, connection: sa.Connection, rating: Rating) -> Rating:
        where = f"case {rating.case_id}"
        if rating.id is not None or rating.taken_back:
            raise DecisionError(f"{where}: rating {rating.id} is recorded or taken back already; make a new one")
        self._case_row(connection, rating.case_id)
        segmentation = self._segmentation(connection, rating.segmentation_id)
        if segmentation.case_id != rating.case_id:
            raise DecisionError(f"{where}: label version {segmentation.id} belongs to case {segmentation.case_id}")
        values = {name: getattr(rating, name) for name in _GIVEN if name != "id"}
        key = connection.execute(sa.insert(_TABLE).values(values)).inserted_primary_key
        return dataclasses.replace(rating, id=key[0])


def _as_rating(row: Any, taken_back: bool = False) -> Rating:
    """Build a rating from its row."""
    return Rating(**{name: row[name] for name in _GIVEN}, taken_back=taken_back)
