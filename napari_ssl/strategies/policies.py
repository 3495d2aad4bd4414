"""Who answers when a strategy asks for review: nobody, an oracle that knows the reference, or a clinician.

A policy judges one case at a time. The same judgement serves inside a run (`Lab.review`) and on a whole study, when a
policy stands in for the clinician between two rounds (`rounds.review_by_policy`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.catalogue import POLICIES, OracleParameters, choose
from napari_ssl.core.decision import Verdict
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.parameters import from_mapping
from napari_ssl.errors import LabelError, SpecError
from napari_ssl.measures.agreement import mean_dice

__all__ = ["AcceptAll", "Judgement", "Oracle", "Policy", "Proposal", "make_policy"]

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
    """A verdict; for CORRECT with the corrected labels and the frames they hold, for REJECT with the reason."""

    verdict: Verdict
    labels: Labels | None = None
    frames: tuple[int, ...] = ()
    reason: str = ""
    comment: str = ""


class Policy(Protocol):
    """Judges proposals, all of one round together."""

    def judge(self, proposals: Sequence[Proposal]) -> dict[str, Judgement]:
        """Return a judgement per case id; a case that is left out stays undecided."""
        ...


class AcceptAll:
    """Every pseudo-label is used, as in the published algorithms."""

    def judge(self, proposals: Sequence[Proposal]) -> dict[str, Judgement]:
        """Accept everything."""
        return {p.case_id: Judgement(verdict=Verdict.ACCEPT) for p in proposals}


class Oracle:
    """Knows the reference: accepts above a Dice, corrects ED and ES of the worst others, rejects the rest.

    Parameters
    ----------
    parameters : OracleParameters
    scheme : LabelScheme
    reference_of : callable
        Returns a case's true labels ``(T, Z, Y, X)`` and the frames that hold them, or None when it has none (the case
        stays undecided).
    """

    def __init__(
        self,
        parameters: OracleParameters,
        scheme: LabelScheme,
        reference_of: Callable[[str], tuple[Labels, tuple[int, ...]] | None],
    ) -> None:
        self.parameters = parameters
        self.scheme = scheme
        self.reference_of = reference_of

    def judge(self, proposals: Sequence[Proposal]) -> dict[str, Judgement]:
        """Judge by the mean Dice over the frames that proposal and reference share.

        Proposals beyond `review_cases`, in the order they come, stay undecided, as those that a reader had no time for.
        """
        accepted: dict[str, Judgement] = {}
        others: list[tuple[float, Proposal, Labels, tuple[int, ...]]] = []
        limit = self.parameters.review_cases or len(proposals)
        for proposal in proposals[:limit]:
            truth = self.reference_of(proposal.case_id)
            if truth is None:
                continue
            reference, frames = truth
            if reference.shape != proposal.labels.shape:
                raise LabelError(
                    f"case {proposal.case_id}: the reference has shape {reference.shape}, the labels "
                    f"{proposal.labels.shape}; give a reference on the image's own grid"
                )
            shared = tuple(f for f in proposal.frames if f in frames)
            if not shared:
                continue
            dice = mean_dice(proposal.labels[list(shared)], reference[list(shared)], self.scheme)
            if dice >= self.parameters.accept_dice:
                accepted[proposal.case_id] = Judgement(verdict=Verdict.ACCEPT, comment=f"mean Dice {dice:.3f}")
            else:
                others.append((dice, proposal, reference, shared))
        others.sort(key=lambda entry: (entry[0], entry[1].case_id))
        for rank, (dice, proposal, reference, shared) in enumerate(others):
            if rank < self.parameters.correct_cases:
                accepted[proposal.case_id] = self._correct(proposal, reference, shared, dice)
            else:
                accepted[proposal.case_id] = Judgement(
                    verdict=Verdict.REJECT, reason="Some frames wrong", comment=f"mean Dice {dice:.3f}"
                )
        return accepted

    def _correct(self, proposal: Proposal, reference: Labels, shared: tuple[int, ...], dice: float) -> Judgement:
        phases = {f for f in (proposal.ed_frame, proposal.es_frame) if f is not None}
        frames = tuple(f for f in shared if f in phases) or shared[:1]
        corrected = np.zeros_like(proposal.labels)
        corrected[list(frames)] = reference[list(frames)]
        return Judgement(
            verdict=Verdict.CORRECT, labels=corrected, frames=frames, comment=f"mean Dice {dice:.3f} before correction"
        )


def make_policy(
    name: str,
    values: Mapping[str, Any],
    *,
    scheme: LabelScheme,
    reference_of: Callable[[str], tuple[Labels, tuple[int, ...]] | None] | None = None,
) -> Policy | None:
    """Return the policy called `name`; None for ``clinician``, whose judgements come from people.

    Raises
    ------
    CatalogueError
        Unknown policy or parameter.
    SpecError
        The oracle without references.
    """
    entry = choose(POLICIES, name, "policy")
    parameters = from_mapping(entry.parameters, values)
    if name == "accept-all":
        return AcceptAll()
    if name == "oracle":
        if reference_of is None:
            raise SpecError("policy oracle needs references of the unlabelled cases; give --references FOLDER")
        return Oracle(parameters, scheme, reference_of)
    return None
