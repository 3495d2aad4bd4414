"""Training a classifier of curves: folds by subject, early stop, operating point, calibration, then one on everything.

1. In each fold a classifier learns from the other folds and stops where the loss on the held-out subjects is smallest.
   What it says about them, whose curves it has never learnt from, gives ROC, calibration and operating point. Epoch and
   threshold are chosen by the same subjects that they are judged by, so the figures are a little too good; for figures
   that are not, score subjects that no example is of (`benchmarks/quality.py`, `rounds.quality.against_ratings`).
2. The classifier that is kept learns from all examples, for the median of the folds' numbers of epochs.

Same examples, parameters and seed: same weights, bit for bit, on the same machine with the same number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_ssl.core.job import ShouldStop
from napari_ssl.core.quality import QcParameters
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.qc.classifier import CurveClassifier
from napari_ssl.qc.data import Examples, folds_by_subject
from napari_ssl.qc.evaluate import Calibration, evaluate, fit_calibration, operating_threshold
from napari_ssl.qc.fitting import fit, logits_of
from napari_ssl.qc.inputs import resampling_matrix
from napari_ssl.qc.learning import learning_curve
from napari_ssl.training.device import deterministic

__all__ = ["Progress", "Training", "cross_validate", "train"]

Progress = Callable[[str, float, dict[str, Any]], None]
"""Takes what is being done, the share of the whole that is done, and more fields of a progress event."""

_FEWEST_OF_A_VERDICT = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Training:
    """What training gave: the classifier, its calibration and threshold, and what goes into the card."""

    network: CurveClassifier
    calibration: Calibration
    threshold: float
    epochs: int
    metrics: dict[str, Any]
    history: list[list[dict[str, float]]]


def cross_validate(
    examples: Examples,
    parameters: QcParameters,
    seed: int,
    *,
    device: torch.device | str = "cpu",
    should_stop: ShouldStop | None = None,
    progress: Progress | None = None,
    folder: Path | None = None,
) -> tuple[NDArray[np.float64], list[int], list[list[dict[str, float]]]]:
    """Return the logits (N,) of every example by a classifier that has not seen its subject, the epochs, the histories.

    With `folder` each finished fold is kept there, and found again by a run that was stopped; the folder belongs to
    these examples, parameters and seed.
    """
    logits = np.zeros(len(examples))
    epochs: list[int] = []
    histories = []
    folds = folds_by_subject(examples, parameters.folds, seed)
    for k, held_out in enumerate(folds):
        path = None if folder is None else folder / f"fold-{k}.json"
        kept = None if path is None else read_document(path)
        if kept is None:
            rows = np.setdiff1d(np.arange(len(examples)), held_out)
            network, epoch, history = fit(
                examples, rows, held_out, parameters, seed=1000 * seed + k, epochs=parameters.epochs, device=device,
                should_stop=should_stop,
            )  # fmt: skip
            found = logits_of(network, examples.inputs[held_out], examples.lengths[held_out])
            kept = {"logits": found.tolist(), "epoch": epoch, "history": history}
            if path is not None:
                write_document(path, kept)
        logits[held_out] = kept["logits"]
        epochs.append(kept["epoch"])
        histories.append(kept["history"])
        if progress is not None:
            last = kept["history"][-1]
            progress(
                f"fold {k + 1} of {len(folds)}",
                (k + 1) / len(folds),
                {"loss": last["loss"], "validation_loss": last.get("validation_loss"), "epoch": last["epoch"]},
            )
    return logits, epochs, histories


def train(
    examples: Examples,
    parameters: QcParameters,
    seed: int,
    *,
    device: torch.device | str = "cpu",
    should_stop: ShouldStop | None = None,
    progress: Progress | None = None,
    folder: Path | None = None,
) -> Training:
    """Train as the module says.

    Raises
    ------
    SpecError
        Too few subjects, or all examples of one verdict.
    Stopped
        `should_stop` said yes; with `folder` the folds that are done are kept.
    """
    tell = progress or (lambda step, fraction, data: None)
    with deterministic():
        logits, epochs, history = cross_validate(
            examples, parameters, seed, device=device, should_stop=should_stop, folder=folder,
            progress=lambda step, fraction, data: tell(f"cross-validation: {step}", 0.6 * fraction, data),
        )  # fmt: skip
        people = _decisive(examples)
        calibration = fit_calibration(
            logits[people], examples.good[people], parameters.calibration, examples.weight[people]
        )
        probability = calibration.probability(logits)
        threshold = operating_threshold(probability[people], examples.good[people], parameters.sensitivity_weight)
        metrics = _metrics(examples, probability, threshold, people)
        n_epochs = int(np.median(epochs))
        if parameters.learning_curve:
            chosen = _subset(examples, people)
            points = learning_curve(
                chosen, parameters, seed, epochs=n_epochs, device=device, should_stop=should_stop,
                progress=lambda done, of: tell(f"learning curve: point {done + 1} of {of}", 0.6 + 0.25 * done / of, {}),
            )  # fmt: skip
            metrics["learning_curve"] = {"of": metrics["decided_on"], "points": points}
        tell("training on all examples", 0.85, {})
        everything = np.arange(len(examples))
        network, _, last = fit(
            examples, everything, None, parameters, seed=seed, epochs=n_epochs, device=device, should_stop=should_stop
        )
    network.baseline.copy_(torch.from_numpy(_mean_of_good(examples, parameters.n_points)))
    return Training(
        network=network,
        calibration=calibration,
        threshold=threshold,
        epochs=n_epochs,
        metrics=metrics,
        history=[*history, last],
    )


def _decisive(examples: Examples) -> NDArray[np.intp]:
    """Rows that calibration and operating point come from: those that people judged where they suffice, else all."""
    people = np.flatnonzero(examples.sources != "simulated")
    n_good = int(examples.good[people].sum())
    if min(n_good, len(people) - n_good) >= _FEWEST_OF_A_VERDICT:
        return people
    return np.arange(len(examples))


def _subset(examples: Examples, rows: NDArray[np.intp]) -> Examples:
    return Examples(
        inputs=examples.inputs[rows],
        lengths=examples.lengths[rows],
        good=examples.good[rows],
        weight=examples.weight[rows],
        subjects=examples.subjects[rows],
        sources=examples.sources[rows],
    )


def _metrics(
    examples: Examples, probability: NDArray[np.float64], threshold: float, people: NDArray[np.intp]
) -> dict[str, Any]:
    """Evaluate on held-out folds: over all examples, and over each source that has both verdicts."""
    metrics: dict[str, Any] = {
        "all": evaluate(probability, examples.good, examples.subjects.tolist(), threshold),
        "decided_on": "all" if len(people) == len(examples) else "people",
    }
    for source in np.unique(examples.sources):
        rows = np.flatnonzero(examples.sources == source)
        if len(rows) < len(examples) and len(set(examples.good[rows].tolist())) == 2:
            metrics[str(source)] = evaluate(
                probability[rows], examples.good[rows], examples.subjects[rows].tolist(), threshold
            )
    return metrics


def _mean_of_good(examples: Examples, n_points: int) -> NDArray[np.float32]:
    """Mean of the good inputs over `n_points`, (n_points, C)."""
    rows = np.flatnonzero(examples.good)
    curves = [
        resampling_matrix(int(examples.lengths[n]), n_points) @ examples.inputs[n, : int(examples.lengths[n])].numpy()
        for n in rows
    ]
    return np.average(curves, axis=0, weights=examples.weight[rows]).astype(np.float32)
