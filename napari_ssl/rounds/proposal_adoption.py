"""The proposals of a prediction, taken into the study a batch at a time. Doing it twice changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.segmentation import Segmentation, Source
from napari_ssl.core.training import PredictionSpec
from napari_ssl.errors import LabelError, NapariSslError, StorageError, StudyError
from napari_ssl.io.documents import read_document
from napari_ssl.io.hashing import hash_file, hash_labels
from napari_ssl.io.nifti_header import NiftiHeader
from napari_ssl.io.nifti_voxels import read_voxels
from napari_ssl.measures.agreement import mean_dice
from napari_ssl.rounds.case_files import case_file
from napari_ssl.rounds.case_records import keep_failure
from napari_ssl.study.proposals import MadeFile, Proposal
from napari_ssl.study.study import Study

__all__ = ["adopt_cases"]


def adopt_cases(study: Study, spec: PredictionSpec, result: dict[str, Any], output: Path) -> tuple[str, ...]:
    """Take the cases of a prediction into the study; return what people must be told.

    A case whose files or record are damaged moves from the ``cases`` of `result` to its ``failed``; the others go on.

    Raises
    ------
    StudyError
        No case at all could be taken.
    StorageError
        The disk is full or refuses; the same call goes on.
    """
    before = study.proposals_of(result["cases"])
    proposals, errors = [], {}
    for case_id in result["cases"]:
        try:
            proposals.append(_proposal(study, spec, case_id, result, output, before.get(case_id, ())))
        except StorageError:
            raise
        except NapariSslError as error:
            errors[case_id] = error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            errors[case_id] = StudyError(
                f"case {case_id}: its record {output / case_id}.json is damaged ({type(error).__name__}: {error}); "
                "label the case again"
            )
    adoption = study.adopt_proposals(proposals, classifier_id=spec.qc.classifier_id if spec.qc else None)
    errors |= adoption.left_out
    if errors and not adoption.kept:
        raise next(iter(errors.values()))
    return _leave_out(result, errors, output)


def _leave_out(result: dict[str, Any], errors: Mapping[str, NapariSslError], output: Path) -> tuple[str, ...]:
    for case_id, error in errors.items():
        keep_failure(output, case_id, error)
    result["cases"] = [case_id for case_id in result["cases"] if case_id not in errors]
    result["failed"] = {**result.get("failed", {}), **{case_id: str(error) for case_id, error in errors.items()}}
    return tuple(f"{case_id} was left out: {error}" for case_id, error in errors.items())


def _proposal(
    study: Study,
    spec: PredictionSpec,
    case_id: str,
    result: Mapping[str, Any],
    output: Path,
    before: Sequence[Segmentation],
) -> Proposal:
    note = read_document(output / f"{case_id}.json")
    if note is None:
        raise StudyError(f"{output}: the result of case {case_id} is missing; run the prediction again")
    source = Source(result["source"])
    frames = tuple(int(f) for f in note["frames"])
    if "files" not in note:  # of a version that did not write them down
        note |= _looked_up(study, case_id, frames, note, output)
    files = {
        what: MadeFile(path=case_file(output, case_id, what), size=int(made["bytes"]), digest=str(made["sha256"]))
        for what, made in note["files"].items()
    }
    score = note.get("qc") if spec.qc is not None else None
    return Proposal(
        case_id=case_id,
        source=source,
        frames=frames,
        model_id=spec.model.model_id,
        label_hash=note["label_hash"],
        foreground_fraction=float(note["foreground_fraction"]),
        labels=files["labels"],
        confidence=files["confidence"],
        further={kind: files[f"confidence-{kind}"] for kind in note.get("also", ())},
        measures=_measures(spec, note, _disagreement(study, spec, note, source, files["labels"], before)),
        probability_good=None if score is None else float(score["probability_good"]),
    )


def _measures(spec: PredictionSpec, note: Mapping[str, Any], disagreement: float | None) -> dict[str, Any]:
    measures = {k: note[k] for k in ("confidence", "mean_confidence", "crf_changed", "curves_ml", "indices")}
    measures["lv_ef"] = note["indices"].get("lv_ef_percent")
    measures["rv_ef"] = note["indices"].get("rv_ef_percent")
    measures["round"] = spec.round
    if note.get("committee") is not None:
        measures["committee"] = note["committee"]
    measures["flags"] = note.get("flags")  # none in runs that began before there were rules
    measures["disagreement"] = disagreement
    if spec.qc is not None and "explanation" in note.get("qc", ()):
        measures["qc_explanation"] = {"classifier_id": spec.qc.classifier_id, **note["qc"]["explanation"]}
    return measures


def _disagreement(
    study: Study,
    spec: PredictionSpec,
    note: Mapping[str, Any],
    source: Source,
    made: MadeFile,
    before: Sequence[Segmentation],
) -> float | None:
    """1 − mean Dice between a proposal and the one before, over the frames that both label; None without such."""
    same = (source, spec.model.model_id, note["label_hash"], tuple(note["frames"]))
    known = [s for s in before if (s.source, s.model_id, s.label_hash, s.frames) == same]
    others = [s for s in before if (not known or s.id < known[-1].id) and set(s.frames) & set(note["frames"])]
    if not others:
        return None
    old = others[-1]
    if old.label_hash == note["label_hash"]:
        return 0.0
    new_file = made.path if made.path.is_file() or not known else study.label_file(known[-1])
    new_labels = _labels(new_file, note["label_hash"])
    old_labels = _labels(study.label_file(old), old.label_hash)
    shared = [f for f in note["frames"] if f in old.frames]
    return 1.0 - mean_dice(old_labels[shared], new_labels[shared], study.label_scheme)


def _labels(path: Path, label_hash: str) -> NDArray[np.uint8]:
    """Read labels that are known by the hash of their content."""
    labels = read_voxels(NiftiHeader.read(path))
    if hash_labels(labels) != label_hash:
        raise LabelError(f"{path}: is not what was stored (another hash); restore the file from a backup")
    return labels


def _looked_up(
    study: Study, case_id: str, frames: Sequence[int], note: Mapping[str, Any], output: Path
) -> dict[str, Any]:
    """Check the files of a record that knows no hashes by unpacking them, and write down what it lacks."""
    files = {}
    for what in ("labels", "confidence", *(f"confidence-{kind}" for kind in note.get("also", ()))):
        path = case_file(output, case_id, what)
        there = path.is_file()
        files[what] = {"bytes": path.stat().st_size if there else 0, "sha256": hash_file(path) if there else ""}
    fraction = 0.0
    if case_file(output, case_id, "labels").is_file():
        labels = study.read_label_file(case_file(output, case_id, "labels"), case_id)[list(frames)]
        fraction = float(np.count_nonzero(labels) / labels.size)
    return {"files": files, "foreground_fraction": fraction}
