"""Classifiers of curves and their scores: registered with their weights, one of a kind in use."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from napari_ssl.core.model import ModelState
from napari_ssl.core.rating import QC_KINDS, QcClassifier, Score
from napari_ssl.errors import CheckpointError, StudyError, UnknownCaseError
from napari_ssl.io.documents import read_document
from napari_ssl.io.images import hash_file
from napari_ssl.study import schema
from napari_ssl.study.base import check_identifier, now
from napari_ssl.study.models import CARD_FILE, WEIGHTS_FILE
from napari_ssl.study.storage import inside, place_file
from napari_ssl.study.stored_labels import StoredLabelRoom

__all__ = ["ClassifierRoom"]

_TABLE = schema.qc_classifiers
_SCORES = schema.qc_scores
_OPTIONAL = {
    "weights_hash": (str, "text"),
    "metrics": (dict, "table"),
    "evidence": (dict, "table"),
    "training_subjects": (list, "list"),
}


class ClassifierRoom(StoredLabelRoom):
    """Register classifiers of curves, keep what they say about label versions."""

    def register_classifier(self, folder: str | Path) -> str:
        """Copy ``weights.safetensors`` and ``card.json`` into ``qc/<id>/``, record the classifier, return its name.

        The card brings ``id``, ``kind`` (one of `QC_KINDS`) and ``threshold`` (a probability of good below it flags).
        Registering the same classifier with the same weights again does nothing.

        Raises
        ------
        CheckpointError
            Files are absent, or the card lacks one of these.
        StudyError
            The name is taken by other weights.
        """
        self._check_writable("register a classifier")
        folder = Path(folder)
        for name in (WEIGHTS_FILE, CARD_FILE):
            if not (folder / name).is_file():
                raise CheckpointError(f"{folder / name} is absent; train the classifier again")
        card = _checked_card(folder / CARD_FILE)
        classifier_id = check_identifier("classifier", card["id"])
        weights_hash = hash_file(folder / WEIGHTS_FILE)
        if self._is_registered(classifier_id, weights_hash):
            return classifier_id
        for name in (CARD_FILE, WEIGHTS_FILE):
            place_file(folder / name, inside(self.folder, f"qc/{classifier_id}") / name)
        values = {"kind": card["kind"], "threshold": float(card["threshold"]), "weights_hash": weights_hash}
        with self._database.write() as connection:
            if connection.execute(sa.select(_TABLE.c.id).where(_TABLE.c.id == classifier_id)).first() is None:
                state = ModelState.CANDIDATE.value
                connection.execute(sa.insert(_TABLE).values(id=classifier_id, **values, state=state, created_at=now()))
                self._append_classifier_event(connection, classifier_id, "registered", "training")
        return classifier_id

    def classifiers(self, kind: str | None = None) -> list[QcClassifier]:
        """Return classifiers, oldest first, of one kind or all."""
        query = sa.select(_TABLE).order_by(_TABLE.c.created_at, _TABLE.c.id)
        if kind is not None:
            query = query.where(_TABLE.c.kind == _checked_kind(kind))
        with self._database.read() as connection:
            return [_as_classifier(row) for row in connection.execute(query).mappings()]

    def classifier(self, kind: str) -> QcClassifier | None:
        """Return the classifier of a kind that is in use: the promoted one, else the newest; None without any."""
        found = self.classifiers(kind)
        promoted = [c for c in found if c.state is ModelState.PROMOTED]
        return next(reversed(promoted or [c for c in found if c.state is not ModelState.ARCHIVED]), None)

    def promote_classifier(self, classifier_id: str, *, by: str) -> QcClassifier:
        """Use a classifier from now on, whatever is trained later, and return it."""
        if not by.strip():
            raise StudyError(f"classifier {classifier_id}: promoting needs the name of who did it")
        with self._database.write() as connection:
            chosen = self._classifier(connection, classifier_id)
            promoted = (_TABLE.c.kind == chosen.kind) & (_TABLE.c.state == ModelState.PROMOTED.value)
            connection.execute(sa.update(_TABLE).where(promoted).values(state=ModelState.ARCHIVED.value))
            row = sa.update(_TABLE).where(_TABLE.c.id == classifier_id)
            connection.execute(row.values(state=ModelState.PROMOTED.value))
            self._append_classifier_event(connection, classifier_id, "promoted", by)
            return self._classifier(connection, classifier_id)

    def classifier_folder(self, classifier_id: str) -> Path:
        """Return ``qc/<id>``; CheckpointError when the weights are absent or were changed since the registration."""
        with self._database.read() as connection:
            found = self._classifier(connection, classifier_id)
        folder = inside(self.folder, f"qc/{check_identifier('classifier', classifier_id)}")
        for name in (WEIGHTS_FILE, CARD_FILE):
            if not (folder / name).is_file():
                raise CheckpointError(
                    f"classifier {classifier_id}: {folder / name} is absent; restore it from a backup, promote another "
                    "classifier (napari-ssl qc promote) or train one (napari-ssl qc train)"
                )
        if hash_file(folder / WEIGHTS_FILE) != found.weights_hash:
            raise CheckpointError(
                f"classifier {classifier_id}: its weights were changed; restore {folder} from a "
                "backup, promote another classifier (napari-ssl qc promote) or train one (napari-ssl qc train)"
            )
        return folder

    def classifier_card(self, classifier_id: str) -> dict[str, Any]:
        """Return what the training wrote about the classifier."""
        return _checked_card(self.classifier_folder(classifier_id) / CARD_FILE)

    def classifier_events(self, classifier_id: str | None = None) -> list[dict[str, Any]]:
        """Return what happened to classifiers, oldest first: ``classifier_id, event, by, at``."""
        table = schema.qc_classifier_events
        query = sa.select(table.c.classifier_id, table.c.event, table.c.by, table.c.at).order_by(table.c.id)
        if classifier_id is not None:
            query = query.where(table.c.classifier_id == classifier_id)
        with self._database.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def add_score(self, segmentation_id: int, classifier_id: str, probability_good: float) -> Score:
        """Keep what a classifier says about a label version, in place of what it said before, and return it."""
        return self.add_scores(classifier_id, {segmentation_id: probability_good})[segmentation_id]

    def add_scores(self, classifier_id: str, probabilities: dict[int, float]) -> dict[int, Score]:
        """Keep what a classifier says about many label versions, all or none; return the scores by version.

        Raises
        ------
        StudyError
            A probability outside [0, 1].
        UnknownCaseError
            No such classifier or label version.
        """
        with self._database.write() as connection:
            threshold = self._classifier(connection, classifier_id).threshold
            for number in probabilities:
                self._segmentation(connection, number)
            self._write_scores(connection, classifier_id, probabilities)
        return {n: _score(n, classifier_id, float(p), threshold) for n, p in probabilities.items()}

    def _write_scores(self, connection: sa.Connection, classifier_id: str, probabilities: Mapping[int, float]) -> None:
        """Put these in place of what the classifier said about these versions before."""
        for number, value in probabilities.items():
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise StudyError(f"label version {number}: a probability must be in [0, 1], got {value}")
        self._classifier(connection, classifier_id)
        at = now()
        rows = [
            {"segmentation_id": n, "classifier_id": classifier_id, "probability_good": float(p), "scored_at": at}
            for n, p in probabilities.items()
        ]
        if rows:
            again = _SCORES.c.segmentation_id.in_(list(probabilities)) & (_SCORES.c.classifier_id == classifier_id)
            connection.execute(sa.delete(_SCORES).where(again))
            connection.execute(sa.insert(_SCORES), rows)

    def scores(self, segmentation_ids: Iterable[int] | None = None) -> dict[int, Score]:
        """Return scores by label version, of some or all: the classifier in use counts, else the newest that scored."""
        wanted = None if segmentation_ids is None else set(segmentation_ids)
        in_use = self._classifiers_in_use()
        with self._database.read() as connection:
            return read_scores(connection, in_use, wanted)

    def _classifiers_in_use(self) -> set[str]:
        return {c.id for kind in QC_KINDS if (c := self.classifier(kind)) is not None}

    def _is_registered(self, classifier_id: str, weights_hash: str) -> bool:
        with self._database.read() as connection:
            stored = connection.execute(sa.select(_TABLE.c.weights_hash).where(_TABLE.c.id == classifier_id)).scalar()
        if stored is not None and stored != weights_hash:
            raise StudyError(f"classifier {classifier_id} exists already with other weights; give it another name")
        return stored is not None

    def _classifier(self, connection: sa.Connection, classifier_id: str) -> QcClassifier:
        row = connection.execute(sa.select(_TABLE).where(_TABLE.c.id == classifier_id)).mappings().first()
        if row is None:
            raise UnknownCaseError(f"study {self.name!r} has no classifier {classifier_id!r}; train one first")
        return _as_classifier(row)

    @staticmethod
    def _append_classifier_event(connection: sa.Connection, classifier_id: str, event: str, by: str) -> None:
        values = {"classifier_id": classifier_id, "event": event, "by": by, "at": now()}
        connection.execute(sa.insert(schema.qc_classifier_events).values(values))


_MANY = 10_000
"""More values than that are not listed in a query."""


def read_scores(connection: sa.Connection, in_use: Collection[str], wanted: set[int] | None = None) -> dict[int, Score]:
    """Return scores by label version; the classifiers in use come before those that scored later."""
    query = sa.select(_SCORES, _TABLE.c.threshold).join(_TABLE).order_by(_SCORES.c.scored_at)
    if wanted is not None and len(wanted) <= _MANY:
        query = query.where(_SCORES.c.segmentation_id.in_(wanted))
    found: dict[int, Score] = {}
    for row in connection.execute(query):
        number = row.segmentation_id
        before = found.get(number)
        if (wanted is None or number in wanted) and (
            before is None or row.classifier_id in in_use or before.classifier_id not in in_use
        ):
            found[number] = _score(number, row.classifier_id, row.probability_good, row.threshold)
    return found


def _score(segmentation_id: int, classifier_id: str, probability: float, threshold: float) -> Score:
    return Score(
        segmentation_id=segmentation_id,
        probability_good=probability,
        classifier_id=classifier_id,
        is_flagged=probability < threshold,
    )


def _checked_kind(kind: str) -> str:
    if kind not in QC_KINDS:
        raise StudyError(f"no kind of classifier {kind!r}; there are {', '.join(QC_KINDS)}")
    return kind


def _checked_card(path: Path) -> dict[str, Any]:
    card = read_document(path)
    missing = [name for name in ("id", "kind", "threshold") if not isinstance(card, dict) or name not in card]
    if missing:
        raise CheckpointError(f"{path}: damaged, or without {missing[0]!r}; train the classifier again")
    threshold = card["threshold"]
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise CheckpointError(f"{path}: threshold must be in [0, 1], got {json.dumps(threshold)}; train it again")
    _checked_kind(card["kind"])
    for name, (kind, words) in _OPTIONAL.items():
        if not isinstance(card.get(name, kind()), kind):
            raise CheckpointError(f"{path}: damaged, {name!r} is no {words}; restore it, or train the classifier again")
    if not all(isinstance(subject, str) for subject in card.get("training_subjects", ())):
        raise CheckpointError(f"{path}: damaged, 'training_subjects' holds no names; train the classifier again")
    return card


def _as_classifier(row: Any) -> QcClassifier:
    return QcClassifier(**{**row, "state": ModelState(row["state"])})
