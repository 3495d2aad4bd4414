"""The table of contents of the whole program: what one round is made of.

::

    order (orders)  ──▶  execute (execution, in a process of its own, no database)  ──▶  adopt (adoption, in the study)

    propose a round:   prediction_spec → execute → adopt        labels, confidence and curves for the clinician
    decide:            the clinician, or review_by_policy        accept, correct, reject, defer
    retrain:           training_spec → execute → adopt          a candidate model, compared with the promoted one
    evaluate:          evaluation_spec → execute → adopt        a model on the test split

torch is imported when something is executed, not before; what adopts, and with it the database, when it is named, so
that a process that only computes begins a few seconds earlier.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_ssl.rounds.adoption import adopt, adopt_parked, hand_in_decisions
    from napari_ssl.rounds.execution import ParkedForReview, StoppedByRequest, execute
    from napari_ssl.rounds.orders import evaluation_spec, prediction_spec, training_spec
    from napari_ssl.rounds.policy_review import review_by_policy
    from napari_ssl.rounds.training_set import TrainingSetCounts, cases_to_label, count_training_set

__all__ = [
    "ParkedForReview",
    "StoppedByRequest",
    "TrainingSetCounts",
    "adopt",
    "adopt_parked",
    "cases_to_label",
    "count_training_set",
    "evaluation_spec",
    "execute",
    "hand_in_decisions",
    "prediction_spec",
    "review_by_policy",
    "training_spec",
]

_WHERE = {
    "adoption": ("adopt", "adopt_parked", "hand_in_decisions"),
    "execution": ("ParkedForReview", "StoppedByRequest", "execute"),
    "orders": ("evaluation_spec", "prediction_spec", "training_spec"),
    "policy_review": ("review_by_policy",),
    "training_set": ("TrainingSetCounts", "cases_to_label", "count_training_set"),
}


def __getattr__(name: str) -> Any:
    for module, names in _WHERE.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
