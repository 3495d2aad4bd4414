"""The oracle: a clinician who is always right and whose time is counted.

It looks at the proposals in the order they come, accepts those above a Dice, and puts the others aside (a look costs
the seconds of an accept or a reject). Then it corrects the worst of those, as far as the number of cases and the time
of the round go, and rejects the rest. Corrected are ED and ES, or the first frame that can be judged where neither can.
In a frame only slices that differ from the reference are redrawn, the worst first, each for the stated seconds, until
the frame's own budget is used up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_ssl.core.catalogue import OracleParameters
from napari_ssl.core.decision import Verdict
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.errors import LabelError
from napari_ssl.measures.agreement import mean_dice
from napari_ssl.strategies.judgement import Judgement, Labels, Proposal, ReferenceOf

__all__ = ["Oracle"]


@dataclass(frozen=True, slots=True, eq=False)
class _Looked:
    """A proposal beside its reference; `shared` are the frames in which both can be compared."""

    proposal: Proposal
    reference: Labels
    shared: tuple[int, ...]
    dice: float


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

    def __init__(self, parameters: OracleParameters, scheme: LabelScheme, reference_of: ReferenceOf) -> None:
        self.parameters = parameters
        self.scheme = scheme
        self.reference_of = reference_of

    def judge(self, proposals: Sequence[Proposal]) -> dict[str, Judgement]:
        """Judge by the mean Dice over the frames that proposal and reference share.

        Proposals beyond `review_cases` or the round's minutes, in the order they come, stay undecided, as those that a
        reader had no time for.
        """
        p = self.parameters
        left = 60.0 * p.minutes if p.minutes else float("inf")
        judgements: dict[str, Judgement] = {}
        aside: list[_Looked] = []
        for proposal in proposals[: p.review_cases or len(proposals)]:
            looked = self._look(proposal)
            if looked is None:
                continue
            good = looked.dice >= p.accept_dice
            seconds = p.seconds_accept if good else p.seconds_reject
            if seconds > left:
                break
            left -= seconds
            judgements[proposal.case_id] = Judgement(
                verdict=Verdict.ACCEPT if good else Verdict.REJECT,
                reason="" if good else "Some frames wrong",
                comment=f"mean Dice {looked.dice:.3f}",
                seconds=seconds,
            )
            if not good:
                aside.append(looked)
        n_corrected = 0
        for looked in sorted(aside, key=lambda entry: (entry.dice, entry.proposal.case_id)):
            if n_corrected == p.correct_cases:
                break
            correction = self._correct(looked)
            if correction.seconds <= left:
                left -= correction.seconds
                n_corrected += 1
                judgements[looked.proposal.case_id] = replace(correction, seconds=correction.seconds + p.seconds_reject)
        return judgements

    def _look(self, proposal: Proposal) -> _Looked | None:
        truth = self.reference_of(proposal.case_id)
        if truth is None:
            return None
        reference, frames = truth
        if reference.shape != proposal.labels.shape:
            raise LabelError(
                f"case {proposal.case_id}: the reference has shape {reference.shape}, the labels "
                f"{proposal.labels.shape}; give a reference on the image's own grid"
            )
        shared = tuple(f for f in proposal.frames if f in frames)
        if not shared:
            return None
        dice = mean_dice(proposal.labels[list(shared)], reference[list(shared)], self.scheme)
        return _Looked(proposal, reference, shared, dice)

    def _correct(self, looked: _Looked) -> Judgement:
        p, proposal = self.parameters, looked.proposal
        phases = {f for f in (proposal.ed_frame, proposal.es_frame) if f is not None}
        frames = tuple(f for f in looked.shared if f in phases) or looked.shared[:1]
        corrected = np.zeros_like(proposal.labels)
        n_slices = 0
        for f in frames:
            corrected[f] = proposal.labels[f]
            chosen = self._slices_to_redraw(proposal.labels[f], looked.reference[f])
            corrected[f, chosen] = looked.reference[f, chosen]
            n_slices += len(chosen)
        return Judgement(
            verdict=Verdict.CORRECT,
            labels=corrected,
            frames=frames,
            comment=f"mean Dice {looked.dice:.3f} before correction, {n_slices} slices redrawn",
            seconds=n_slices * p.seconds_slice,
            n_slices=n_slices,
        )

    def _slices_to_redraw(self, proposed_zyx: Labels, reference_zyx: Labels) -> list[int]:
        """Slices that differ, the worst first, as many as the time for a frame allows."""
        differ = [z for z in range(len(proposed_zyx)) if (proposed_zyx[z] != reference_zyx[z]).any()]
        differ.sort(key=lambda z: (mean_dice(proposed_zyx[z], reference_zyx[z], self.scheme), z))
        if self.parameters.frame_seconds:
            differ = differ[: int(self.parameters.frame_seconds // self.parameters.seconds_slice)]
        return differ
