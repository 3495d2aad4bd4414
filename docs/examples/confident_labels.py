"""Confident labels: train, label the unlabelled, keep what the network is sure of, train on both.

The oldest semi-supervised idea (self-training; Yarowsky, ACL 1995; Lee, ICML workshop 2013), here by whole cases::

    Θ₁ ← fit(L)
    ŷ_i = arg max P(y | x_i, Θ₁),   i ∈ U
    S   = {i ∈ U : mean confidence of ŷ_i ≥ τ}
    Θ₂ ← fit(L ∪ S)
"""

from __future__ import annotations

from dataclasses import dataclass

from napari_ssl.core.catalogue.base import FitParameters, StrategyEntry
from napari_ssl.core.duration import Duration
from napari_ssl.core.parameters import parameter, validate
from napari_ssl.strategies.items import ItemSet


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidentLabelsParameters(FitParameters):
    """Parameters of ``confident-labels``."""

    threshold: float = parameter(0.9, "Least mean confidence τ", low=0.0, high=1.0, source="project default")
    first: str = parameter("2000 iterations", "Training on the labelled cases", source="project default")
    second: str = parameter("2000 iterations", "Training on all cases", source="project default")

    def __post_init__(self) -> None:
        validate(self)
        for duration in (self.first, self.second):
            Duration.parse(duration)


ENTRY = StrategyEntry(
    name="confident-labels",
    title="Confident labels",
    sentence="Trains, labels the unlabelled cases, and trains again with those that the network is sure of.",
    paper="Lee, Pseudo-Label, ICML Workshop on Challenges in Representation Learning 2013",
    parameters=ConfidentLabelsParameters,
    module="confident_labels:ConfidentLabels",
    network="res-unet",
    uses_unlabelled=True,
)


class ConfidentLabels:
    """Self-training by whole cases."""

    def __init__(self, parameters: ConfidentLabelsParameters) -> None:
        self.parameters = parameters

    def run(self, lab):
        """Carry out the four lines of the module's docstring."""
        p = self.parameters
        first = lab.iterations(lab.labelled, p.first, p.batch_size)
        lab.plan(first, lab.iterations(lab.labelled + lab.unlabelled, p.second, p.batch_size))
        theta = lab.fit(lab.labelled, duration=p.first, step="labelled cases", parameters=p)
        labels = lab.refine(lab.predict(theta, lab.unlabelled), crf=None, step="pseudo-labels")
        sure = lab.mean_confidence(labels)
        chosen = ItemSet(i for i in lab.review(labels, step="review") if sure[i.case_id] >= p.threshold)
        lab.notice(f"{len(chosen)} of {len(labels)} cases are labelled with confidence")
        return lab.fit(lab.labelled + chosen, start=theta, duration=p.second, step="all cases", parameters=p)
