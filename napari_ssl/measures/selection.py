"""Which proposals are trusted as pseudo-labels: chosen by what quality control says, and explained in sentences.

`best_in_class` is the paper's rule (Ruijsink 2020: the 30 cases of highest probability). The probability of a good
result is highest for easy cases; `balanced` takes the best of every group or class of predicted difficulty instead.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from napari_ssl.errors import SpecError

__all__ = ["DIFFICULTY_CLASSES", "Selection", "balanced", "best_in_class", "difficulty_classes", "rank", "threshold"]

PROBABILITY = "probability of good"
DIFFICULTY_CLASSES = ("hard", "medium", "easy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Chosen cases, and why.

    Parameters
    ----------
    case_ids : tuple of str
        Best first.
    why : mapping of str to str
        One sentence for every chosen case.
    summary : str
        One or two sentences about all of them.
    """

    case_ids: tuple[str, ...]
    why: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""

    def __len__(self) -> int:
        return len(self.case_ids)


def rank(probability_good: Mapping[str, float]) -> list[str]:
    """Return cases by falling probability of being good, equal ones by name.

    Raises
    ------
    SpecError
        A probability outside [0, 1].
    """
    for case_id, value in probability_good.items():
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise SpecError(f"case {case_id}: a probability must be in [0, 1], got {value}; score the case again")
    return sorted(probability_good, key=lambda case_id: (-probability_good[case_id], case_id))


def best_in_class(probability_good: Mapping[str, float], n: int, *, called: str = PROBABILITY) -> Selection:
    """Choose the best `n` cases (Ruijsink 2020, Sec. 3.1: n = 30); `called` names the score in the sentences."""
    _check_count(n)
    ordered = rank(probability_good)
    chosen = ordered[:n]
    why = {
        case_id: f"Rank {place} of {len(ordered)} by {called} ({probability_good[case_id]:.2f})."
        for place, case_id in enumerate(chosen, start=1)
    }
    return Selection(
        case_ids=tuple(chosen),
        why=why,
        summary=f"The {len(chosen)} of {len(ordered)} cases of highest {called}{_range(chosen, probability_good)}.",
    )


def threshold(probability_good: Mapping[str, float], at_least: float, n: int | None = None) -> Selection:
    """Choose all cases of at least that probability of good, or the best `n` of them."""
    _check_probability(at_least)
    if n is not None:
        _check_count(n)
    ordered = rank(probability_good)
    passed = [case_id for case_id in ordered if probability_good[case_id] >= at_least]
    chosen = passed if n is None else passed[:n]
    why = {c: f"Probability of good {probability_good[c]:.2f}, at least {at_least:.2f}." for c in chosen}
    most = "" if len(chosen) == len(passed) else f" ({len(passed)} reach it, the best {len(chosen)} are taken)"
    return Selection(
        case_ids=tuple(chosen),
        why=why,
        summary=f"{len(chosen)} of {len(ordered)} cases have a probability of good of at least {at_least:.2f}{most}.",
    )


def balanced(
    probability_good: Mapping[str, float],
    n: int,
    classes: Mapping[str, str],
    *,
    at_least: float = 0.0,
    called: str = PROBABILITY,
) -> Selection:
    """Choose `n` cases, the best of every class in turn, so that no class crowds out another.

    Parameters
    ----------
    probability_good : mapping of case to probability
    n : int
        How many at most.
    classes : mapping of case to class
        Groups (diagnosis, scanner, …) or `difficulty_classes`. Cases that it does not name are a class of their own.
    at_least : float
        Cases below this probability are not chosen even when their class has no other.
    called : str
        What the cases are ranked by, for the sentences.

    Notes
    -----
    Every class gives its best case, then its second best, and so on; a class that is used up leaves its share to the
    others. Within a round the most probable go first, so that a remainder goes to the best.
    """
    _check_count(n)
    _check_probability(at_least)
    members: dict[str, list[str]] = defaultdict(list)
    for case_id in rank(probability_good):
        members[classes.get(case_id, "other")].append(case_id)
    chosen: list[str] = []
    why: dict[str, str] = {}
    for place in range(max((len(m) for m in members.values()), default=0)):
        in_turn = [m[place] for m in members.values() if place < len(m) and probability_good[m[place]] >= at_least]
        for case_id in rank({c: probability_good[c] for c in in_turn})[: n - len(chosen)]:
            name = classes.get(case_id, "other")
            chosen.append(case_id)
            why[case_id] = (
                f"Rank {place + 1} of {len(members[name])} in class {name!r} by {called} "
                f"({probability_good[case_id]:.2f})."
            )
    counts = {name: sum(classes.get(c, "other") == name for c in chosen) for name in sorted(members)}
    shares = ", ".join(f"{count} of {len(members[name])} {name}" for name, count in counts.items())
    crowded = len(set(best_in_class(probability_good, n).case_ids) - set(chosen))
    return Selection(
        case_ids=tuple(chosen),
        why=why,
        summary=f"{len(chosen)} of {len(probability_good)} cases, the best of every class in turn: {shares}. "
        f"{crowded} of them would be others by {called} alone.",
    )


def difficulty_classes(
    predicted_quality: Mapping[str, float], names: Sequence[str] = DIFFICULTY_CLASSES
) -> dict[str, str]:
    """Sort cases into classes of equal size by predicted quality, hardest first.

    Parameters
    ----------
    predicted_quality : mapping of case to number
        Higher is easier: predicted Dice, mean confidence, or 1 − disagreement between rounds. It should not be the
        probability that cases are ranked by, or the hard class holds nothing but erroneous ones. NaN is left out.
    names : sequence of str
        Classes from hard to easy.
    """
    known = sorted((value, case_id) for case_id, value in predicted_quality.items() if math.isfinite(value))
    edges = np.linspace(0, len(known), len(names) + 1).round().astype(int)
    return {
        case_id: name
        for name, (start, stop) in zip(names, pairwise(edges.tolist()), strict=True)
        for _, case_id in known[start:stop]
    }


def _range(chosen: Sequence[str], probability: Mapping[str, float]) -> str:
    return f" ({probability[chosen[0]]:.2f} to {probability[chosen[-1]]:.2f})" if chosen else ""


def _check_count(n: int) -> None:
    if n < 1:
        raise SpecError(f"how many cases to choose must be 1 or more, got {n}")


def _check_probability(value: float) -> None:
    if not 0 <= value <= 1:
        raise SpecError(f"the least probability of good must be in [0, 1], got {value}")
