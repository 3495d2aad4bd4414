"""A case as two models label it, to be looked at: the new model's labels, the old one's as contour. Free of Qt."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ssl.errors import CheckpointError, LabelError
from napari_ssl.gui.loaded_case import LoadedCase, load_case, measure_curves
from napari_ssl.study.journal import EditJournal

if TYPE_CHECKING:
    from napari_ssl.study.study import Study

__all__ = ["labels_of_model", "load_comparison"]


def labels_of_model(study: Study, model_id: str, case_id: str) -> tuple[NDArray[np.uint8], tuple[int, ...]] | None:
    """Return what a model made of a case ``(T, Z, Y, X)`` and the frames that it labelled; None where nothing is kept.

    Looked for among the proposals, then among the label maps that its evaluations judged.
    """
    own = [s for s in study.segmentations(case_id) if s.model_id == model_id]
    if own:
        return study.read_labels(own[-1]), own[-1].frames
    reference = study.reference(case_id)
    path = _evaluated(study, model_id, case_id)
    if path is None or reference is None:
        return None
    return study.read_label_file(path, case_id), reference.frames


def _evaluated(study: Study, model_id: str, case_id: str) -> Path | None:
    """Return the newest label map of an evaluation: of the training that made the model, or a measurement later."""
    name, runs = f"{case_id}.labels.nii.gz", study.folder / "runs"
    try:
        kept = study.model_card(model_id).get("evaluation")
    except CheckpointError:
        kept = None
    found = list(runs.glob(f"*/{kept}/{name}")) if kept else []
    found += [p for p in runs.glob(f"*/evaluation/{name}") if _model_of_run(p.parents[1]) == model_id]
    return max(found, key=lambda p: p.stat().st_mtime, default=None)


def _model_of_run(folder: Path) -> str | None:
    """Return the model that a measurement was of; None when its order cannot be read."""
    try:
        document = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
        return document["model"]["model_id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load_comparison(study: Study, case_id: str, reader: str, old_id: str, new_id: str) -> LoadedCase:
    """Read a case to look at under two models; takes up to a second, call it in a thread.

    The labels are the new model's, the previous model's contour is the old one's, the reference is the expert's. There
    is nothing to decide about them: `segmentation` is None.

    Raises
    ------
    LabelError
        What a model made of the case is not kept, or there are unsaved strokes.
    NapariSslError
        The image or the labels cannot be read.
    """
    new, old = labels_of_model(study, new_id, case_id), labels_of_model(study, old_id, case_id)
    for model_id, found in ((new_id, new), (old_id, old)):
        if found is None:
            raise LabelError(
                f"case {case_id}: what {model_id} made of it is not kept; press “Measure on test cases” for that "
                "model, then look again"
            )
    if case_id in EditJournal.cases_with_edits(study.folder, reader):
        raise LabelError(f"case {case_id}: there are unsaved strokes; open the case and save or revert them first")
    loaded = load_case(study, case_id, reader)
    case, (labels, frames) = loaded.case, new
    expert = study.reference(case_id)
    changed = {
        "segmentation": None,
        "base_labels": labels,
        "labels": labels.copy(),
        "confidence": None,
        "reference": None if expert is None else study.read_labels(expert),
        "previous": old[0],
        "curves": measure_curves(case, labels, study, frames),
        "ghost": measure_curves(case, old[0], study, old[1]),
        "edited_frames": frames,
        "n_recovered": 0,
        "is_outdated": False,
        "rule_flags": (),
        "score": None,
        "attribution": {},
    }
    return dataclasses.replace(loaded, **changed)
