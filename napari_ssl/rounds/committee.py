"""A second opinion on proposals: networks that were trained apart label the same images, and where they disagree the
proposal is doubtful (`napari_ssl.qc.predicted_dice`).

What a disagreement means for Dice is learnt anew by every run, from the validation cases: the committee labels the
frames that an expert has labelled, and a regression leads from its disagreement to the true Dice. With fewer than four
validation subjects the agreement is told without a prediction. No case of the test set is asked. A training that keeps
its best network has seen the validation Dice, so that the prediction may be a little hopeful.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.job import Emit, Event, EventKind
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.quality import QcParameters
from napari_ssl.core.training import PredictionSpec, TrainingItem
from napari_ssl.errors import NapariSslError, SpecError, StorageError
from napari_ssl.inference.labelling import Labelling
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.io.images import read_labels
from napari_ssl.measures.agreement import mean_dice
from napari_ssl.qc.predicted_dice import FEATURES, DicePredictor, disagreement, fit_dice_predictor
from napari_ssl.rounds.case_files import add_to_records

__all__ = ["disagreement_note", "predict_dice_of_committee"]


def disagreement_note(spec: PredictionSpec, labelling: Labelling, frames: Sequence[int]) -> dict[str, Any] | None:
    """Return how much the members disagree with a proposal, by feature, and who they are; None without members."""
    if not spec.members:
        return None
    chosen = list(frames)
    maps = [m[chosen] for m in (labelling.labels, *labelling.by_members)]
    features = disagreement(maps, spec.label_scheme)
    return {
        **dict(zip(FEATURES, features.tolist(), strict=True)),
        "members": [spec.model.model_id, *(m.model_id for m in spec.members)],
    }


def predict_dice_of_committee(
    spec: PredictionSpec,
    done: Sequence[str],
    output: Path,
    label: Callable[[TrainingItem], Labelling],
    emit: Emit,
) -> dict[str, Any] | None:
    """Add to the records of the cases the Dice that the committee's disagreement predicts.

    Parameters
    ----------
    done : sequence of str
        Cases whose records hold a ``committee``.
    output : Path
        Folder of the records; the validation cases leave theirs in ``committee/``, so that none is labelled twice.
    label : callable
        Labels an item as the proposals were labelled, with all members.

    Returns
    -------
    dict or None
        The predictor; None without members, or where the validation cases are too few, which is told.
    """
    if not spec.members:
        return None
    known = []
    for n, item in enumerate(spec.calibration):
        record = _validated(spec, item, output / "committee" / f"{item.case_id}.json", label, emit)
        if record is not None:
            known.append((item.subject_id, record))
        data = {"step": f"committee: {n + 1} of {len(spec.calibration)} validation cases"}
        emit(Event(kind=EventKind.PROGRESS, data={**data, "fraction": (n + 1) / len(spec.calibration)}))
    try:
        predictor = fit_dice_predictor(
            np.array([_features(record) for _, record in known]).reshape(-1, len(FEATURES)),
            [record["dice"] for _, record in known],
            [subject for subject, _ in known],
        )
    except SpecError as error:
        emit(Event(kind=EventKind.NOTICE, data={"message": f"the committee's agreement predicts no Dice: {error}"}))
        return None
    notes = {case_id: read_document(output / f"{case_id}.json")["committee"] for case_id in done}
    add_to_records(output, {c: {"committee": {**note, **_opinion(predictor, note)}} for c, note in notes.items()})
    return predictor.to_dict()


def _opinion(predictor: DicePredictor, record: dict[str, Any]) -> dict[str, Any]:
    features = _features(record)[None]
    dice = float(predictor.predict(features)[0])
    return {
        "predicted_dice": dice,
        "interval": [float(np.clip(dice + e, 0, 1)) for e in predictor.interval],
        "probability_good": float(predictor.probability_above(features, QcParameters().measured_dice)[0]),
    }


def _features(record: dict[str, Any]) -> NDArray[np.float64]:
    return np.array([record[name] for name in FEATURES])


def _validated(
    spec: PredictionSpec, item: TrainingItem, path: Path, label: Callable[[TrainingItem], Labelling], emit: Emit
) -> dict[str, Any] | None:
    """Disagreement and true Dice of a validation case; None, with a notice, where it cannot be labelled."""
    record = read_document(path)
    if record is not None:
        return record
    try:
        labelling = label(item)
        record = disagreement_note(spec, labelling, item.frames)
        record["dice"] = _true_dice(item, labelling, spec.label_scheme)  # type: ignore[index]  # there are members
    except StorageError:
        raise
    except NapariSslError as error:
        emit(Event(kind=EventKind.NOTICE, data={"message": f"validation case {item.case_id} was left out: {error}"}))
        return None
    path.parent.mkdir(exist_ok=True)
    write_document(path, record)
    return record


def _true_dice(item: TrainingItem, labelling: Labelling, scheme: LabelScheme) -> float:
    truth = read_labels(str(item.label_path))
    return float(np.mean([mean_dice(labelling.labels[f], truth[f], scheme) for f in item.frames]))
