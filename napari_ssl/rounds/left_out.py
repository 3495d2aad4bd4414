"""Frames that a reader judged wrong do not enter a training, though the case was accepted.

A verdict counts for the label version that it was given on: who corrects the labels judges them anew. A wrong slice
takes its frame along, because labels enter a training by frame. Readers need not agree: one standing "wrong" suffices.
What was said in a hidden repeat or gold case measures the reader and leaves nothing out.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping

from napari_ssl.core.decision import PlaceJudgement, PlaceVerdict
from napari_ssl.core.segmentation import Segmentation

__all__ = ["without_wrong_frames", "wrong_frames"]


def wrong_frames(verdicts: Iterable[PlaceVerdict]) -> dict[int, frozenset[int]]:
    """Return, per label version, the frames of which something was judged wrong.

    Parameters
    ----------
    verdicts : iterable of PlaceVerdict
        Those that stand.
    """
    found: dict[int, set[int]] = defaultdict(set)
    for verdict in verdicts:
        if verdict.verdict is PlaceJudgement.WRONG:
            found[verdict.segmentation_id].add(verdict.frame)
    return {number: frozenset(frames) for number, frames in found.items()}


def without_wrong_frames(labels: Segmentation, wrong: Mapping[int, frozenset[int]]) -> Segmentation | None:
    """Return the labels with the frames that may be learned from; None when none is left."""
    kept = tuple(f for f in labels.frames if f not in wrong.get(labels.id, ()))
    if not kept:
        return None
    return labels if kept == labels.frames else dataclasses.replace(labels, frames=kept)
