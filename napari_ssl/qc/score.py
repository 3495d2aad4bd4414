"""Probability of being good for curve sets, thousands in a second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.qc.fitting import logits_of
from napari_ssl.qc.inputs import curve_array, prepare
from napari_ssl.qc.store import Classifier, read_classifier

__all__ = ["Scorer", "score_curves"]

_AT_ONCE = 4096


def score_curves(
    classifier: Classifier, curve_sets: Iterable[Mapping[str, Any]], scheme: LabelScheme | None = None
) -> NDArray[np.float64]:
    """Return the calibrated probability of being good of each curve set, (N,).

    Parameters
    ----------
    curve_sets : iterable of mappings of structure name to (T,) values or `VolumeCurve`
        Cycles may differ in length.
    scheme : LabelScheme, optional
        Names of the structures; by default those that the classifier was trained with.

    Raises
    ------
    SpecError
        A curve set lacks what the classifier reads.
    """
    names = scheme or classifier.label_scheme
    sets = [curve_array(curves, names, classifier.kind) for curves in curve_sets]
    found = []
    for first in range(0, len(sets), _AT_ONCE):
        inputs, lengths = prepare(
            sets[first : first + _AT_ONCE], length=classifier.parameters.length, n_points=classifier.parameters.n_points
        )
        whole = classifier.parameters.length == "resample"
        logits = logits_of(classifier.network, torch.from_numpy(inputs), None if whole else torch.from_numpy(lengths))
        found.append(classifier.calibration.probability(logits))
    return np.concatenate(found) if found else np.zeros(0)


class Scorer:
    """A classifier by its files, for strategies, policies and prediction runs.

    Parameters
    ----------
    weights_path : str or Path
    weights_hash : str or None
        Checked when it is given.
    card : mapping
        The classifier's ``card.json``.
    scheme : LabelScheme, optional
        Of the curves to come; by default the one that the classifier was trained with.

    Raises
    ------
    CheckpointError
        The files are damaged or belong to another classifier.
    """

    def __init__(
        self,
        weights_path: str | Path,
        weights_hash: str | None,
        card: Mapping[str, Any],
        scheme: LabelScheme | None = None,
    ) -> None:
        self.classifier = read_classifier(weights_path, weights_hash, card)
        self.scheme = scheme or self.classifier.label_scheme

    @classmethod
    def from_reference(cls, reference: Mapping[str, Any], scheme: LabelScheme | None = None) -> Scorer:
        """Build from what orders carry: ``weights_path``, ``weights_hash``, ``card``."""
        return cls(reference["weights_path"], reference["weights_hash"], reference["card"], scheme)

    @property
    def threshold(self) -> float:
        """A probability below it flags."""
        return self.classifier.threshold

    def probabilities(self, curve_sets: Sequence[Mapping[str, Any]]) -> list[float]:
        """Return the probability of being good of each curve set."""
        return score_curves(self.classifier, curve_sets, self.scheme).tolist()
