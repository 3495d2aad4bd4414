"""Models of a study: registered with their weights, one of them promoted, every change of state appended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from napari_ssl.core.model import Model, ModelState
from napari_ssl.errors import CheckpointError, StudyError, UnknownCaseError
from napari_ssl.io.images import hash_file
from napari_ssl.study import schema
from napari_ssl.study.base import StudyFolder, check_identifier, now, plain_json
from napari_ssl.study.storage import inside, place_file

__all__ = ["CARD_FILE", "CONFIDENCE_FILE", "WEIGHTS_FILE", "ModelRoom"]

WEIGHTS_FILE = "weights.safetensors"
_ALARM = "alarm: "
CARD_FILE = "card.json"
CONFIDENCE_FILE = "confidence.safetensors"
"""Weights of the network that judges the model's predictions; few strategies train one."""

_TABLE = schema.models
_COLUMNS = [_TABLE.c[name] for name in Model.__dataclass_fields__]


class ModelRoom(StudyFolder):
    """Register, promote and roll back models."""

    def register_model(self, model: Model, folder: Path) -> Model:
        """Copy a candidate's weights and card from `folder` into the study, record it and return it.

        A confidence network that lies beside them comes along.

        Registering the same model with the same weights again does nothing.

        Raises
        ------
        CheckpointError
            `folder` lacks ``weights.safetensors`` or ``card.json``.
        StudyError
            The model is no candidate, or the identifier is taken by other weights.
        StorageError
            The files could not be copied; nothing is recorded.
        """
        self._check_writable("register a model")
        check_identifier("model", model.id)
        if model.state is not ModelState.CANDIDATE:
            raise StudyError(f"model {model.id}: register it as {ModelState.CANDIDATE}, then promote it")
        for name in (WEIGHTS_FILE, CARD_FILE):
            if not (Path(folder) / name).is_file():
                raise CheckpointError(f"model {model.id}: {Path(folder) / name} is absent; run the training again")
        weights_hash = hash_file(Path(folder) / WEIGHTS_FILE)
        known = self._known(model.id, weights_hash)
        if known is not None:
            return known
        target = inside(self.folder, f"models/{model.id}")
        for name in (CARD_FILE, CONFIDENCE_FILE, WEIGHTS_FILE):
            if (Path(folder) / name).is_file():
                place_file(Path(folder) / name, target / name)
        with self._database.write() as connection:
            if self._known(model.id, weights_hash, connection) is None:
                values = {name: getattr(model, name) for name in Model.__dataclass_fields__}
                values.update(
                    parents=list(model.parents), metrics=plain_json(dict(model.metrics)), state=model.state.value
                )
                connection.execute(sa.insert(_TABLE).values(**values, weights_hash=weights_hash))
                self._append(connection, model.id, "registered", "training")
            return self._model(connection, model.id)

    def models(self) -> list[Model]:
        """Return all models, oldest first."""
        query = sa.select(*_COLUMNS).order_by(_TABLE.c.created_at, _TABLE.c.id)
        with self._database.read() as connection:
            return [_as_model(row) for row in connection.execute(query).mappings()]

    def model(self, model_id: str) -> Model:
        """Return one model; UnknownCaseError when there is none of that name."""
        with self._database.read() as connection:
            return self._model(connection, model_id)

    def promoted(self) -> Model | None:
        """Return the model that proposes labels now."""
        return next((m for m in self.models() if m.state is ModelState.PROMOTED), None)

    def promote(self, model_id: str, *, by: str) -> Model:
        """Let a model propose the labels from now on and return it; the one before is archived until `rollback`."""
        with self._database.write() as connection:
            model = self._model(connection, model_id)
            if model.state is ModelState.PROMOTED:
                return model
            self._replace_promoted(connection, model_id)
            self._append(connection, model_id, "promoted", by)
            return self._model(connection, model_id)

    def archive(self, model_id: str, by: str) -> Model:
        """Discard a model that is not promoted and return it; its files stay."""
        with self._database.write() as connection:
            model = self._model(connection, model_id)
            if model.state is ModelState.PROMOTED:
                raise StudyError(f"model {model_id} is promoted; promote another one or roll back before discarding it")
            _set_state(connection, model_id, ModelState.ARCHIVED)
            self._append(connection, model_id, "archived", by)
            return self._model(connection, model_id)

    def rollback(self, by: str) -> Model:
        """Promote the model that was promoted before the present one and return it.

        Raises
        ------
        StudyError
            There was none before.
        """
        with self._database.write() as connection:
            history = self._promotions(connection)
            if len(history) < 2:
                raise StudyError(
                    f"study {self.name!r}: no model was promoted before the present one, so there is none to go back to"
                )
            self._replace_promoted(connection, history[-2])
            self._append(connection, history[-2], "rolled_back", by)
            return self._model(connection, history[-2])

    def model_events(self, model_id: str | None = None) -> list[dict[str, Any]]:
        """Return what happened to models, oldest first: ``model_id, event, by, at`` (of an alarm, `by` says it)."""
        table = schema.model_events
        query = sa.select(table.c.model_id, table.c.event, table.c.by, table.c.at).order_by(table.c.id)
        if model_id is not None:
            query = query.where(table.c.model_id == model_id)
        with self._database.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def add_model_alarm(self, model_id: str, kind: str, message: str) -> None:
        """Append to a model's events that something got worse with it; `message` says what."""
        with self._database.write() as connection:
            self._model(connection, model_id)
            self._append(connection, model_id, f"{_ALARM}{kind}", message)

    def model_alarms(self, model_id: str) -> dict[str, str]:
        """Return what got worse with a model: sentences by kind."""
        events = self.model_events(model_id)
        return {e["event"].removeprefix(_ALARM): e["by"] for e in events if e["event"].startswith(_ALARM)}

    def set_model_metrics(self, model_id: str, split: str, document: Mapping[str, Any]) -> Model:
        """Store the evaluation of a model on a split ("validation", "test") and return the model."""
        with self._database.write() as connection:
            metrics = {**self._model(connection, model_id).metrics, str(split): plain_json(document)}
            connection.execute(sa.update(_TABLE).where(_TABLE.c.id == model_id).values(metrics=metrics))
            return self._model(connection, model_id)

    def model_weights(self, model_id: str) -> Path:
        """Return the weights file of a model; CheckpointError when it is absent."""
        self.model(model_id)
        path = inside(self.folder, f"models/{check_identifier('model', model_id)}/{WEIGHTS_FILE}")
        if not path.is_file():
            raise CheckpointError(f"model {model_id}: its weights {path} are absent; restore the file from a backup")
        return path

    def model_card(self, model_id: str) -> dict[str, Any]:
        """Return what the training wrote about the model; CheckpointError when it cannot be read."""
        path = self.model_weights(model_id).with_name(CARD_FILE)
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(f"model {model_id}: its card {path} cannot be read ({error}); restore it") from error

    def model_weights_hash(self, model_id: str) -> str:
        """Return the SHA-256 of the weights as they were registered."""
        with self._database.read() as connection:
            self._model(connection, model_id)
            return connection.execute(sa.select(_TABLE.c.weights_hash).where(_TABLE.c.id == model_id)).scalar_one()

    def next_round(self) -> int:
        """Return the number of the round that a training started now belongs to, from 1."""
        with self._database.read() as connection:
            return (connection.execute(sa.select(sa.func.max(_TABLE.c.round))).scalar() or 0) + 1

    def _known(self, model_id: str, weights_hash: str, connection: sa.Connection | None = None) -> Model | None:
        if connection is None:
            with self._database.read() as own:
                return self._known(model_id, weights_hash, own)
        stored = connection.execute(sa.select(_TABLE.c.weights_hash).where(_TABLE.c.id == model_id)).scalar()
        if stored is None:
            return None
        if stored != weights_hash:
            raise StudyError(f"model {model_id} exists already with other weights; register it under another name")
        return self._model(connection, model_id)

    def _model(self, connection: sa.Connection, model_id: str) -> Model:
        row = connection.execute(sa.select(*_COLUMNS).where(_TABLE.c.id == model_id)).mappings().first()
        if row is None:
            raise UnknownCaseError(
                f"study {self.name!r} has no model {model_id!r}; 'napari-ssl models list {self.folder}' shows them"
            )
        return _as_model(row)

    @staticmethod
    def _append(connection: sa.Connection, model_id: str, event: str, by: str) -> None:
        if not by.strip():
            raise StudyError(f"model {model_id}: '{event}' needs the name of who did it")
        connection.execute(sa.insert(schema.model_events).values(model_id=model_id, event=event, by=by, at=now()))

    @staticmethod
    def _replace_promoted(connection: sa.Connection, model_id: str) -> None:
        is_promoted = _TABLE.c.state == ModelState.PROMOTED.value
        connection.execute(sa.update(_TABLE).where(is_promoted).values(state=ModelState.ARCHIVED.value))
        _set_state(connection, model_id, ModelState.PROMOTED)

    @staticmethod
    def _promotions(connection: sa.Connection) -> list[str]:
        """Return the promoted models, oldest first, the present one last; what was rolled back or discarded is gone."""
        table = schema.model_events
        history: list[str] = []
        for model_id, event in connection.execute(sa.select(table.c.model_id, table.c.event).order_by(table.c.id)):
            if event == "promoted":
                history.append(model_id)
            elif event == "rolled_back":
                history.pop()
            elif event == "archived":
                kept = [m for m in history if m != model_id]
                history = [m for m, before in zip(kept, [None, *kept], strict=False) if m != before]
        return history


def _set_state(connection: sa.Connection, model_id: str, state: ModelState) -> None:
    connection.execute(sa.update(_TABLE).where(_TABLE.c.id == model_id).values(state=state.value))


def _as_model(row: Any) -> Model:
    return Model(**{**row, "parents": tuple(row["parents"]), "state": ModelState(row["state"])})
