"""What is typed into the queue's filter: words, ``key:value`` and comparisons, all of which must hold.

======================== ============================================================================
``patient 012``          both words occur in case, subject, group, split, state, model or reader
``state:rejected,todo``  one of the states; ``todo`` is all that still needs the reader
``reader:ada``           the newest decision is hers; ``reader:none``: nobody has decided
``flag:yes``             the QC score or a rule is against it; ``flag:qc``, ``flag:rules``, ``flag:no``
``split:test``           also ``group:``, ``model:``, ``subject:``, ``round:2``
``audit:yes``            in the audit stream, or ``audit:no``
``disputed:yes``         readers differ, or ``disputed:no``
``ef<40 qc<0.5``         numbers: ``ef``, ``conf``, ``qc``, ``change``, ``rules``, ``round``; also ``>``
``-state:accepted``      a minus before any of them: not
======================== ============================================================================

Part of a value is enough (``reader:ad``), capitals do not matter; "…" holds a value with blanks together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from napari_ssl.core.decision import ReviewState
from napari_ssl.errors import CatalogueError
from napari_ssl.review.audit_draw import in_audit
from napari_ssl.study.queue_rows import QueueRow

__all__ = ["KEYS", "TO_DO", "compile_filter", "row_text"]

TO_DO = (ReviewState.UNREVIEWED, ReviewState.IN_PROGRESS, ReviewState.SUPERSEDED, ReviewState.DEFERRED)
"""States that still need the reader."""

Test = Callable[[QueueRow], bool]
_TERM = re.compile(r'(-?)(?:(\w+)(:|<|>))?("[^"]*"?|\S+)')
_TEXTS: dict[str, Callable[[QueueRow], str | None]] = {
    "case": lambda r: r.case_id,
    "subject": lambda r: r.subject_id,
    "group": lambda r: r.group,
    "split": lambda r: r.split,
    "model": lambda r: r.model_id,
    "reader": lambda r: r.reader_of_decision,
    "task": lambda r: r.task,
}
_NUMBERS: dict[str, Callable[[QueueRow], float | None]] = {
    "ef": lambda r: r.lv_ef,
    "conf": lambda r: None if r.mean_confidence is None else 100 * r.mean_confidence,
    "qc": lambda r: r.probability_good,
    "change": lambda r: None if r.disagreement is None else 100 * r.disagreement,
    "rules": lambda r: r.n_flags,
    "round": lambda r: r.round,
}
_YES_NO: dict[str, dict[str, Test]] = {
    "flag": {
        "yes": lambda r: bool(r.is_flagged or r.n_flags),
        "no": lambda r: not (r.is_flagged or r.n_flags),
        "qc": lambda r: bool(r.is_flagged),
        "rules": lambda r: bool(r.n_flags),
    },
    "audit": {"yes": lambda r: in_audit(r.case_id), "no": lambda r: not in_audit(r.case_id)},
    "disputed": {"yes": lambda r: r.is_disputed, "no": lambda r: not r.is_disputed},
}
KEYS = ("state", *_TEXTS, *_YES_NO, *_NUMBERS)
"""What may stand before a colon, or before < and >."""


def compile_filter(text: str, *, text_of: Callable[[QueueRow], str] | None = None) -> list[Test]:
    """Return the tests that a typed filter stands for, all of which a row must pass; none for an empty filter.

    Parameters
    ----------
    text : str
    text_of : callable, optional
        The searchable text of a row, in small letters; the queue keeps it for all its rows.

    Raises
    ------
    CatalogueError
        An unknown key, state or value, or no number where one is needed; says what there is.
    """
    return [_term(*match.groups(), text_of or row_text) for match in _TERM.finditer(text.casefold())]


def row_text(row: QueueRow) -> str:
    """Return what plain words are looked for in, in small letters."""
    parts = (row.case_id, row.subject_id, row.group, row.split, row.state, row.model_id, row.reader_of_decision)
    return "\n".join(part for part in parts if part).casefold()


def _term(minus: str, key: str | None, sign: str | None, value: str, text_of: Callable[[QueueRow], str]) -> Test:
    value = value.strip('"')
    if key is None and value[-1:] in (":", "<", ">") and value[:-1] in KEYS:
        return lambda _row: True  # still being typed
    test = _word(value, text_of) if key is None else _keyed(key, sign or ":", value)
    return (lambda row: not test(row)) if minus else test


def _word(value: str, text_of: Callable[[QueueRow], str]) -> Test:
    return lambda row: value in text_of(row)


def _keyed(key: str, sign: str, value: str) -> Test:
    if key not in KEYS:
        raise CatalogueError(f"the filter knows no {key!r}; there are {', '.join(KEYS)}")
    if sign in "<>":
        return _compared(key, sign, value)
    values = [v for v in value.split(",") if v]
    if key == "state":
        wanted = {state for v in values for state in _states(v)}
        return lambda row: row.state in wanted
    if key in _YES_NO:
        tests = [_choice(key, v) for v in values]
        return lambda row: any(test(row) for test in tests)
    if key in _NUMBERS:
        numbers = {_number(key, v) for v in values}
        read = _NUMBERS[key]
        return lambda row: read(row) in numbers
    return _texts(key, values)


def _texts(key: str, values: list[str]) -> Test:
    text = _TEXTS[key]
    empty = "none" in values

    def test(row: QueueRow) -> bool:
        found = text(row)
        if not found:
            return empty
        folded = found.casefold()
        return any(v in folded for v in values if v != "none")

    return test


def _compared(key: str, sign: str, value: str) -> Test:
    if key not in _NUMBERS:
        raise CatalogueError(f"{key!r} is no number; {', '.join(_NUMBERS)} can be compared with < and >")
    limit, read = _number(key, value), _NUMBERS[key]

    def test(row: QueueRow) -> bool:
        found = read(row)
        return found is not None and (found < limit if sign == "<" else found > limit)

    return test


def _number(key: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise CatalogueError(f"{key} needs a number, got {value!r}") from None


def _choice(key: str, value: str) -> Test:
    found = next((test for name, test in _YES_NO[key].items() if name.startswith(value)), None)
    if found is None:
        raise CatalogueError(f"{key}: knows no {value!r}; there are {', '.join(_YES_NO[key])}")
    return found


def _states(value: str) -> Iterable[ReviewState]:
    if value == "todo":
        return TO_DO
    found = [state for state in ReviewState if state.value.startswith(value)]
    if not found:
        raise CatalogueError(f"no state of review {value!r}; there are todo, {', '.join(ReviewState)}")
    return found
