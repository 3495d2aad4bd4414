"""Draws that depend on a case and a seed alone, and the audit stream that is drawn with them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["AUDIT_FRACTION", "AUDIT_SEED", "draw", "draw_ahead", "in_audit", "waiting_time"]

AUDIT_FRACTION = 0.1
"""Share of cases in the audit stream."""
AUDIT_SEED = 0
"""The stream that the workspace shows and that acceptance rates are read off."""


@lru_cache(maxsize=1 << 18)
def draw(case_id: str, seed: int, purpose: str) -> float:
    """Return a number in (0, 1) that depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{purpose}:{seed}:{case_id}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") + 0.5) / 2**64


def in_audit(case_id: str, seed: int = AUDIT_SEED, fraction: float = AUDIT_FRACTION) -> bool:
    """Whether a case is in the audit stream: a draw that knows neither the model nor the other cases."""
    if seed == AUDIT_SEED and fraction == AUDIT_FRACTION:
        return _in_the_stream(case_id)
    return draw(case_id, seed, "audit") < fraction


@lru_cache(maxsize=1 << 17)
def _in_the_stream(case_id: str) -> bool:
    # One argument: lru_cache makes no tuples of it, ten thousand of which would wake the collector.
    return draw(case_id, AUDIT_SEED, "audit") < AUDIT_FRACTION


@lru_cache(maxsize=1 << 17)
def waiting_time(case_id: str, seed: int = AUDIT_SEED) -> float:
    """Return how long a case waits in a random order: exponentially distributed, 1 on average."""
    return -math.log(draw(case_id, seed, "order"))


def draw_ahead(case_ids: Iterable[str]) -> None:
    """Draw what the orders of the queue need, so that choosing one later takes no time; called in a thread."""
    for case_id in case_ids:
        waiting_time(case_id, AUDIT_SEED)
        if in_audit(case_id):
            draw(case_id, AUDIT_SEED, "audit order")
