"""What a policy is asked and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.decision import Verdict

__all__ = ["Judgement", "Labels", "Policy", "Proposal", "ReferenceOf", "ScoreOf", "cost_of"]

Labels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proposal:
    """A pseudo-label that waits for a verdict: `labels` ``(T, Z, Y, X) uint8``, valid in `frames`."""

    case_id: str
    labels: Labels
    frames: tuple[int, ...]
    ed_frame: int | None = None
    es_frame: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgement:
    """A verdict; for CORRECT with the corrected labels and the frames they hold, for REJECT with the reason.

    `seconds` is the time that the verdict would cost a clinician and `n_slices` how many slices were redrawn; 0 for
    policies that stand for nobody's time.
    """

    verdict: Verdict
    labels: Labels | None = None
    frames: tuple[int, ...] = ()
    reason: str = ""
    comment: str = ""
    seconds: float = 0.0
    n_slices: int = 0


class Policy(Protocol):
    """Judges proposals, all of one round together."""

    def judge(self, proposals: Sequence[Proposal]) -> dict[str, Judgement]:
        """Return a judgement per case id; a case that is left out stays undecided."""
        ...


ReferenceOf = Callable[[str], tuple[Labels, tuple[int, ...]] | None]
"""Case id → true labels ``(T, Z, Y, X)`` and the frames that hold them; None where there are none."""

ScoreOf = Callable[[Sequence[Proposal]], Mapping[str, float]]
"""Proposals → probability (0 to 1) of being good by case id; cases without a score are left out."""


def cost_of(judgements: Mapping[str, Judgement]) -> dict[str, Any]:
    """Return how many cases had each verdict, the slices redrawn and the seconds that all this costs a clinician."""
    verdicts = [j.verdict for j in judgements.values()]
    return {
        **{v.value: verdicts.count(v) for v in (Verdict.ACCEPT, Verdict.CORRECT, Verdict.REJECT)},
        "n_slices": sum(j.n_slices for j in judgements.values()),
        "seconds": sum(j.seconds for j in judgements.values()),
    }
