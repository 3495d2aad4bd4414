"""What quality control says about the labels on show, in a line beside the curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_ssl.core.quality import DOUBTFUL_BELOW
from napari_ssl.core.rating import Score

__all__ = ["quality_text"]

_SPACE = "&nbsp;"


def quality_text(score: Score | None, committee: Mapping[str, Any], *, is_shaded: bool = False) -> str:
    """Return the line as rich text, empty where nothing is known.

    Parameters
    ----------
    score : Score, optional
        Of the classifier of curves.
    committee : mapping
        ``predicted_dice``, ``interval`` and ``members`` where several models labelled the case, else empty.
    is_shaded : bool
        Whether the curves are shaded where they speak against the labels.
    """
    parts = []
    if committee.get("predicted_dice") is not None:
        low, high = committee["interval"]
        mark = " ⚑" if committee["probability_good"] < DOUBTFUL_BELOW else ""
        parts.append(
            f"Dice by {len(committee['members'])} models <b>{committee['predicted_dice']:.2f}{mark}</b> "
            f"({low:.2f}–{high:.2f})"
        )
    if score is not None:
        mark = " ⚑" if score.is_flagged else ""
        parts.append(f"P(good) <b>{score.probability_good:.2f}{mark}</b>")
        if is_shaded:
            parts.append("shaded: speaks against")
    return " · ".join(parts).replace(" ", _SPACE)
