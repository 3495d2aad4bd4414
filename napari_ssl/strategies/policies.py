"""Who answers when a strategy asks for review: nobody, chance, quality control, an oracle, or a clinician.

A policy judges all proposals of one round together. The same judgement serves inside a run (`Lab.review`) and on a
whole study, when a policy stands in for the clinician between two rounds (`rounds.review_by_policy`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from napari_ssl.core.catalogue import POLICIES, QcPolicyParameters, RandomParameters, choose
from napari_ssl.core.decision import Verdict
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.parameters import from_mapping
from napari_ssl.errors import SpecError
from napari_ssl.strategies.judgement import Judgement, Policy, Proposal, ReferenceOf, ScoreOf
from napari_ssl.strategies.oracle import Oracle

__all__ = ["AcceptAll", "AcceptByQuality", "AcceptRandom", "Judgement", "Oracle", "Policy", "Proposal", "make_policy"]


class AcceptAll:
    """Every pseudo-label is used, as in the published algorithms."""

    def judge(self, proposals: Sequence[Proposal]) -> dict[str, Judgement]:
        """Accept everything."""
        return {p.case_id: Judgement(verdict=Verdict.ACCEPT) for p in proposals}


class AcceptRandom:
    """Accepts N cases that chance draws from the pool; the others stay undecided (Ruijsink 2020, arm (c)).

    The draw depends on the seeds and on which cases there are, not on the order they come in.
    """

    def __init__(self, parameters: RandomParameters, seed: int) -> None:
        self.n = parameters.n
        self.seeds = (parameters.seed, seed)

    def judge(self, proposals: Sequence[Proposal]) -> dict[str, Judgement]:
        """Accept N of them, all when there are no more."""
        pool = sorted(p.case_id for p in proposals)
        drawn = np.random.default_rng(self.seeds).permutation(len(pool))[: self.n]
        comment = f"one of {len(drawn)} drawn from {len(pool)}"
        return {pool[i]: Judgement(verdict=Verdict.ACCEPT, comment=comment) for i in sorted(drawn.tolist())}


class AcceptByQuality:
    """Accepts what quality control finds good: above a probability, of these the N best (Ruijsink 2020, Sec. 3.1).

    Parameters
    ----------
    parameters : QcPolicyParameters
    score_of : callable
        Probability of being good by case id; a case without a score stays undecided.
    operating_point : float
        The classifier's own threshold, used where the parameters give none.
    """

    def __init__(self, parameters: QcPolicyParameters, score_of: ScoreOf, operating_point: float) -> None:
        self.n_best = parameters.n_best
        self.threshold = parameters.threshold or operating_point
        self.score_of = score_of

    def judge(self, proposals: Sequence[Proposal]) -> dict[str, Judgement]:
        """Accept the best; ties go by case id."""
        scores = self.score_of(proposals)
        good = sorted((-scores[p.case_id], p.case_id) for p in proposals if scores.get(p.case_id, -1) >= self.threshold)
        chosen = good[: self.n_best] if self.n_best else good
        return {
            case_id: Judgement(verdict=Verdict.ACCEPT, comment=f"probability of good {-negative:.3f}")
            for negative, case_id in chosen
        }


def make_policy(
    name: str,
    values: Mapping[str, Any],
    *,
    scheme: LabelScheme,
    reference_of: ReferenceOf | None = None,
    score_of: ScoreOf | None = None,
    operating_point: float = 0.5,
    seed: int = 0,
) -> Policy | None:
    """Return the policy called `name`; None for ``clinician``, whose judgements come from people.

    Parameters
    ----------
    reference_of : callable, optional
        What the oracle knows.
    score_of, operating_point : callable and float, optional
        What quality control says and from which probability on it says "good".
    seed : int
        Of the run; the random policy adds its own.

    Raises
    ------
    CatalogueError
        Unknown policy or parameter.
    SpecError
        The oracle without references, quality control without a classifier.
    """
    entry = choose(POLICIES, name, "policy")
    parameters = from_mapping(entry.parameters, values)
    if name == "accept-all":
        return AcceptAll()
    if name == "random":
        return AcceptRandom(parameters, seed)
    if name == "qc":
        if score_of is None:
            raise SpecError("policy qc needs a quality-control classifier; train one first (napari-ssl qc train)")
        return AcceptByQuality(parameters, score_of, operating_point)
    if name == "oracle":
        if reference_of is None:
            raise SpecError("policy oracle needs references of the unlabelled cases; give --references FOLDER")
        return Oracle(parameters, scheme, reference_of)
    return None
