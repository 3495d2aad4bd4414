"""Predicted Dice of the proposals of a study, by reverse classification accuracy; stored with their measures.

A case is done when its measures hold the prediction for these references: work that was stopped goes on with the next
case, and the same call again costs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_ssl.atlas.registration import RegistrationSettings
from napari_ssl.atlas.reverse_classification import register_to_references
from napari_ssl.atlas.segment import Atlas
from napari_ssl.atlas.volume import Volume
from napari_ssl.core.case import Case, Split
from napari_ssl.core.job import Emit, Event, EventKind, ShouldStop
from napari_ssl.core.segmentation import Segmentation
from napari_ssl.errors import ImageError, NapariSslError, SpecError, StorageError
from napari_ssl.inference.intensity import normalise
from napari_ssl.io.images import hash_file, read_image
from napari_ssl.study.study import Study

__all__ = ["METHOD", "predict_dice"]

METHOD = "reverse classification accuracy"


def predict_dice(
    study: Study,
    *,
    cases: Sequence[str] | None = None,
    n_references: int = 8,
    settings: RegistrationSettings | None = None,
    workers: int = 1,
    emit: Emit,
    should_stop: ShouldStop,
) -> dict[str, Any]:
    """Predict the Dice of the newest proposal of each case, at ED and ES.

    Parameters
    ----------
    cases : sequence of str, optional
        By default every case that has a proposal.
    n_references : int
        Labelled training cases that serve as references, spread evenly over their names; each brings ED and ES. A case
        of the same subject as the one that is judged is left out.
    workers : int
        Registrations at a time.

    Returns
    -------
    dict
        ``cases`` {case id: what was stored}, ``failed`` {case id: why}, ``stopped`` (bool), ``seconds``. Stored under
        ``predicted_dice`` of a proposal's measures: the mean over the frames by structure (None where nobody shows
        it), ``method``, ``frames`` {frame: {structure: Dice}}, ``references``.

    Raises
    ------
    SpecError
        No labelled training case, or no case with a proposal.
    UnknownCaseError
    """
    started = time.monotonic()
    chosen = [study.case(c) for c in cases] if cases is not None else study.cases()
    proposals = {case.id: study.proposal(case.id) for case in chosen}
    if cases is None:
        chosen = [case for case in chosen if proposals[case.id] is not None]
    if not chosen:
        raise SpecError("no case has a proposal whose Dice could be predicted; run 'napari-ssl predict' first")
    references = _spread([c for c in study.cases(split=Split.TRAIN) if study.reference(c.id) is not None], n_references)
    if not references:
        raise SpecError("predicted Dice needs labelled training cases as references; import some with labels")
    atlases: dict[str, list[Atlas]] = {}
    done: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for n, case in enumerate(chosen):
        if should_stop():
            break
        try:
            done[case.id] = _of_case(study, case, proposals[case.id], references, atlases, settings, workers)
        except StorageError:
            raise
        except NapariSslError as error:
            failed[case.id] = str(error)
            emit(Event(kind=EventKind.NOTICE, data={"message": f"{case.id} was left out: {error}"}))
        data = {"step": f"predicted Dice: {n + 1} of {len(chosen)} cases", "fraction": (n + 1) / len(chosen)}
        emit(Event(kind=EventKind.PROGRESS, data=data))
    return {
        "kind": "predict-dice",
        "method": METHOD,
        "references": [c.id for c in references],
        "cases": done,
        "failed": failed,
        "stopped": len(done) + len(failed) < len(chosen),
        "seconds": round(time.monotonic() - started, 1),
    }


def _spread(cases: list[Case], n: int) -> list[Case]:
    n = min(n, len(cases))
    return [cases[i * len(cases) // n] for i in range(n)]


def _frames(case: Case, segmentation: Segmentation) -> tuple[int, ...]:
    """ED and ES as far as they are known and labelled; else the first labelled frame and the one at a third."""
    labelled = segmentation.frames
    known = tuple(dict.fromkeys(f for f in (case.ed_frame, case.es_frame) if f in labelled))
    return known or tuple(dict.fromkeys((labelled[0], labelled[min(len(labelled) - 1, max(1, len(labelled) // 3))])))


def _volumes(study: Study, case: Case, segmentation: Segmentation) -> dict[int, Atlas]:
    """Images with classes by frame, whatever is labelled in them."""
    if hash_file(case.image_path) != case.image_hash:
        raise ImageError(
            f"case {case.id}: {case.image_path} has changed since it was imported; restore the file or import it again "
            "under another case id"
        )
    images = normalise(read_image(case.image_path).data, study.preprocessing)
    classes = study.label_scheme.to_classes(study.read_labels(segmentation))
    return {
        f: Atlas(volume=Volume(data=images[f], spacing_zyx_mm=case.spacing_zyx_mm), labels=classes[f])
        for f in _frames(case, segmentation)
    }


def _of_case(
    study: Study,
    case: Case,
    proposal: Segmentation | None,
    references: list[Case],
    atlases: dict[str, list[Atlas]],
    settings: RegistrationSettings | None,
    workers: int,
) -> dict[str, Any]:
    """Return what is known of a case already, or find it out and store it."""
    if proposal is None:
        raise SpecError(f"case {case.id}: no proposal; run 'napari-ssl predict' first")
    others = [r for r in references if r.subject_id != case.subject_id]
    if not others:
        raise SpecError(f"case {case.id}: every reference is of the same subject; label another subject")
    basis = [[r.id, study.reference(r.id).label_hash] for r in others]  # type: ignore[union-attr]  # they have one
    measures = study.measures(proposal.id)
    kept = measures.get("predicted_dice")
    if kept is not None and kept.get("references") == basis:
        return kept
    for reference in others:
        if reference.id not in atlases:
            labels = study.reference(reference.id)
            found = _volumes(study, reference, labels).values()  # type: ignore[arg-type]
            atlases[reference.id] = [a for a in found if a.labels.any()]
    usable = [a for r in others for a in atlases[r.id]]
    by_frame = {f: _predicted(study, v, usable, settings, workers) for f, v in _volumes(study, case, proposal).items()}
    names = study.label_scheme.names
    document: dict[str, Any] = {
        name: _plain(np.nanmean(column)) if np.isfinite(column).any() else None
        for name, column in zip(names, np.array(list(by_frame.values())).T, strict=True)
    }
    document |= {
        "method": METHOD,
        "frames": {
            str(f): dict(zip(names, map(_plain, values.tolist()), strict=True)) for f, values in by_frame.items()
        },
        "references": basis,
    }
    study.set_measures(proposal.id, {**study.measures(proposal.id), "predicted_dice": document})
    return document


def _predicted(
    study: Study, volume: Atlas, references: list[Atlas], settings: RegistrationSettings | None, workers: int
) -> np.ndarray:
    found = register_to_references(volume.volume, references, settings, workers=workers)
    return found.predicted_dice(volume.labels, study.label_scheme.n_classes)


def _plain(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
