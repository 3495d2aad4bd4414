"""Draws that depend on a case and a seed alone, and the audit stream that is drawn with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["AUDIT_FRACTION", "AUDIT_SEED", "draw", "draw_ahead", "in_audit"]

AUDIT_FRACTION = 0.1
"""Share of cases in the audit stream."""
AUDIT_SEED = 0
"""The stream that the workspace shows and that acceptance rates are read off."""


@lru_cache(maxsize=1 << 18)
def draw(case_id: str, seed: int, purpose: str) -> float:
    """Return a number in (0, 1) that depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{purpose}:{seed}:{case_id}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") + 0.5) / 2**64


@lru_cache(maxsize=1 << 17)
def in_audit(case_id: str, seed: int = AUDIT_SEED, fraction: float = AUDIT_FRACTION) -> bool:
    """Whether a case is in the audit stream: a draw that knows neither the model nor the other cases."""
    return draw(case_id, seed, "audit") < fraction


def draw_ahead(case_ids: Iterable[str]) -> None:
    """Draw what the orders of the queue need, so that choosing one later takes no time; called in a thread."""
    for case_id in case_ids:
        in_audit(case_id, AUDIT_SEED, AUDIT_FRACTION)
        draw(case_id, AUDIT_SEED, "order")
