"""Orders and filters of the queue, and the audit stream.

An order that shows the worst cases first makes the acceptance rate say nothing about the model. The audit stream mixes
in cases that are drawn without looking at them; acceptance rates are to be read off those.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from operator import attrgetter

from napari_ssl.core.decision import ReviewState
from napari_ssl.errors import CatalogueError
from napari_ssl.review.audit_draw import AUDIT_FRACTION, draw, in_audit, waiting_time
from napari_ssl.review.queue_filter import compile_filter
from napari_ssl.study.queue_rows import QueueRow

__all__ = ["ORDERS", "filter_rows", "order_rows", "with_audit"]

_CASE_ID = attrgetter("case_id")
_FLOOR = 1e-3
"""Foreground share that an empty label map is treated as, so that it still comes, late."""


def _sorted_by(rows: Iterable[QueueRow], value: Callable[[QueueRow], float | None]) -> list[QueueRow]:
    """Smallest value first, unknown ones last, equal ones by identifier."""
    by_id = sorted(rows, key=_CASE_ID)
    values = [math.inf if v is None else v for v in map(value, by_id)]
    return [by_id[i] for i in sorted(range(len(by_id)), key=values.__getitem__)]


def worst_qc_first(rows: Sequence[QueueRow]) -> list[QueueRow]:
    """Lowest P(good) of the QC classifier first: where correcting, or rejecting, is most likely needed."""
    return _sorted_by(rows, lambda r: r.probability_good)


def best_qc_first(rows: Sequence[QueueRow]) -> list[QueueRow]:
    """Highest P(good) first, the best in class (Ruijsink 2020, Sec. 2.3): candidates for the next training."""
    return _sorted_by(rows, lambda r: None if r.probability_good is None else -r.probability_good)


def worst_confidence_first(rows: Sequence[QueueRow]) -> list[QueueRow]:
    """Lowest mean confidence first: most is learned from these (uncertainty sampling)."""
    return _sorted_by(rows, lambda r: r.mean_confidence)


def best_confidence_first(rows: Sequence[QueueRow]) -> list[QueueRow]:
    """Highest mean confidence first: most are accepted at a glance."""
    return _sorted_by(rows, lambda r: None if r.mean_confidence is None else -r.mean_confidence)


def most_changed_first(rows: Sequence[QueueRow]) -> list[QueueRow]:
    """Largest difference between the newest proposal and the one before first."""
    return _sorted_by(rows, lambda r: None if r.disagreement is None else -r.disagreement)


def foreground_aware_random(rows: Sequence[QueueRow], seed: int = 0) -> list[QueueRow]:
    """Random order in which a case's chance to come early grows with its share of labelled pixels.

    Weighted sampling without replacement (Efraimidis & Spirakis, Inf. Process. Lett. 97:181, 2006). Cases without a
    proposal come last, in random order.
    """

    def key(row: QueueRow) -> float | None:
        if row.foreground_fraction is None:
            return None
        return waiting_time(row.case_id, seed) / max(row.foreground_fraction, _FLOOR)

    unknown = [r for r in rows if r.foreground_fraction is None]
    known = [r for r in rows if r.foreground_fraction is not None]
    return _sorted_by(known, key) + _sorted_by(unknown, lambda r: draw(r.case_id, seed, "order"))


def by_case_id(rows: Sequence[QueueRow]) -> list[QueueRow]:
    """In the order of the identifiers."""
    return sorted(rows, key=_CASE_ID)


ORDERS: dict[str, Callable[[Sequence[QueueRow]], list[QueueRow]]] = {
    "worst-confidence-first": worst_confidence_first,
    "best-confidence-first": best_confidence_first,
    "most-changed-first": most_changed_first,
    "foreground-aware-random": foreground_aware_random,
    "worst-qc-first": worst_qc_first,
    "best-qc-first": best_qc_first,
    "case-id": by_case_id,
}
"""Orders by name, as they are shown."""


def order_rows(rows: Sequence[QueueRow], name: str, *, audit_seed: int | None = None) -> list[QueueRow]:
    """Return rows in the order of that name, with the audit stream mixed in when a seed is given.

    Raises
    ------
    CatalogueError
        No order of that name.
    """
    if name not in ORDERS:
        raise CatalogueError(f"no order {name!r} of the queue; there are {', '.join(ORDERS)}")
    ordered = ORDERS[name](rows)
    return ordered if audit_seed is None else with_audit(ordered, audit_seed)


def with_audit(rows: Sequence[QueueRow], seed: int = 0, fraction: float = AUDIT_FRACTION) -> list[QueueRow]:
    """Spread the audit stream evenly over an ordered queue.

    With a fraction of 0.1 every tenth row is an audit case, in random order, as long as there are any; the others keep
    their order.
    """
    drawn, rest = [], []
    for row in rows:
        (drawn if in_audit(row.case_id, seed, fraction) else rest).append(row)
    audit = _sorted_by(drawn, lambda r: draw(r.case_id, seed, "audit order"))
    others = iter(rest)
    mixed: list[QueueRow] = []
    for number, row in enumerate(audit, start=1):
        n_before = math.ceil(number / fraction) - 1 - len(mixed)
        mixed += islice(others, max(0, n_before))
        mixed.append(row)
    return mixed + list(others)


def filter_rows(
    rows: Iterable[QueueRow],
    text: str = "",
    states: Collection[ReviewState | str] | None = None,
    *,
    text_of: Callable[[QueueRow], str] | None = None,
) -> list[QueueRow]:
    """Return the rows that a typed filter lets pass and that are in one of `states` (None: any).

    Parameters
    ----------
    text : str
        See `napari_ssl.review.queue_filter`.
    text_of : callable, optional
        The searchable text of a row where it is kept ready.

    Raises
    ------
    CatalogueError
        No such state, or a filter that cannot be read.
    """
    wanted = None if states is None else {_state(s) for s in states}
    found = rows if wanted is None else [row for row in rows if row.state in wanted]
    for test in compile_filter(text, text_of=text_of):
        found = [row for row in found if test(row)]
    return list(found)


def _state(name: ReviewState | str) -> ReviewState:
    try:
        return ReviewState(name)
    except ValueError:
        raise CatalogueError(f"no state of review {name!r}; there are {', '.join(ReviewState)}") from None
