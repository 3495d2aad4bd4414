"""A trained model, its parents and what was measured about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

__all__ = ["Model", "ModelState", "trained_apart"]


class ModelState(StrEnum):
    """One model of a study is promoted at a time: it proposes the labels."""

    CANDIDATE = "candidate"
    PROMOTED = "promoted"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model of a study; its weights lie in ``models/<id>/weights.safetensors`` with ``card.json`` beside them.

    `metrics` maps a split ("validation", "test") to its evaluation, the document that
    `napari_ssl.measures.evaluation.summarise` makes. `parents` are the models that it started from or that proposed
    the pseudo-labels it learned from.
    """

    id: str
    spec_hash: str
    strategy: str
    network: str
    round: int
    parents: tuple[str, ...]
    metrics: Mapping[str, Any]
    state: ModelState
    created_at: datetime


def trained_apart(model: Model, models: Sequence[Model]) -> list[Model]:
    """Return the models, newest first, that owe nothing to a model, nor it to them: its errors need not be theirs.

    Archived ones are left out.
    """
    lineage = {m.id: _ancestors(m, {m.id: m for m in models}) for m in (*models, model)}
    apart = [
        m
        for m in models
        if m.id != model.id
        and m.state is not ModelState.ARCHIVED
        and model.id not in lineage[m.id]
        and not lineage[m.id] & lineage[model.id]
        and m.id not in lineage[model.id]
    ]
    return sorted(apart, key=lambda m: (m.created_at, m.id), reverse=True)


def _ancestors(model: Model, by_id: Mapping[str, Model]) -> set[str]:
    found: set[str] = set()
    waiting = list(model.parents)
    while waiting:
        parent = waiting.pop()
        if parent not in found:
            found.add(parent)
            waiting += by_id[parent].parents if parent in by_id else ()
    return found
