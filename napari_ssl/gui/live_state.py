"""The state of the case on screen while it is painted on. Free of Qt."""

from __future__ import annotations

from napari_ssl.core.decision import ReviewState

__all__ = ["live_state"]

_OPEN = (ReviewState.UNREVIEWED, ReviewState.IN_PROGRESS, ReviewState.SUPERSEDED)


def live_state(stored: ReviewState, *, is_edited: bool) -> ReviewState:
    """Return the state of a case with the strokes that are on screen.

    Parameters
    ----------
    stored : ReviewState
        What study and journal said when the case was read. A decision that stands stays what it is, as in
        `napari_ssl.core.decision.review_state`.
    is_edited : bool
        Whether there are unsaved strokes that were not undone.
    """
    if stored not in _OPEN:
        return stored
    if is_edited:
        return ReviewState.IN_PROGRESS
    return ReviewState.UNREVIEWED if stored is ReviewState.IN_PROGRESS else stored
