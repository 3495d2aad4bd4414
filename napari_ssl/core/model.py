"""A trained model, its parents and what was measured about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

__all__ = ["Model", "ModelState"]


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
