"""Measures of a label version: the document that is stored, and the columns that the queue is sorted by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_ssl.errors import StudyError
from napari_ssl.study.base import plain_json

__all__ = ["measure_columns"]


def measure_columns(where: str, measures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a version that its measures fill; see `QueueRoom.set_measures` for the keys.

    Raises
    ------
    StudyError
        A value that is no JSON, or no number where the queue needs one; `where` names the version.
    """
    document = plain_json(measures)
    indices = document.get("indices") or {}
    committee = document.get("committee") or {}
    columns = {
        "predicted_dice": committee.get("predicted_dice"),
        "committee_good": committee.get("probability_good"),
        "mean_confidence": document.get("mean_confidence"),
        "disagreement": document.get("disagreement"),
        "lv_ef": indices.get("lv_ef_percent"),
        "rv_ef": indices.get("rv_ef_percent"),
    }
    for name, value in columns.items():
        if value is not None and not isinstance(value, int | float):
            raise StudyError(f"{where}: {name} must be a number, got {value!r}")
    flags = document.get("flags")
    return {"measures": document, **columns, "n_flags": None if flags is None else len(flags)}
