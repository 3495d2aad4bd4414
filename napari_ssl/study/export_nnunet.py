"""A raw data set of nnU-Net v2, with splits in which no subject is on both sides.

Format: nnU-Net's ``documentation/dataset_format.md`` (Isensee et al., Nature Methods 18:203, 2021): 3D images
``imagesTr/<name>_0000.nii.gz``, ``labelsTr/<name>.nii.gz``, ``imagesTs`` for test cases, ``dataset.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_ssl import __version__
from napari_ssl.core.case import Split
from napari_ssl.errors import GeometryError, LabelError
from napari_ssl.io.images import read_image, write_volume
from napari_ssl.study.export_run import ExportItem, ExportRun

__all__ = ["export_nnunet", "subject_folds"]

_ENDING = ".nii.gz"
_CHANNELS = {"MR": "MRI", "CT": "CT"}


def export_nnunet(run: ExportRun) -> None:
    """Write every exported frame as one training case of nnU-Net, test subjects apart."""
    values = _consecutive(run.structure_values())
    items = run.items()
    if not items:
        return
    name = f"Dataset{run.options.dataset_id:03d}_{re.sub(r'[^A-Za-z0-9]+', '', run.study.name) or 'study'}"
    written: dict[str, list[str]] = {}
    for item in run.each(items):
        written[item.case.id] = _write_frames(run, item, name)
    training = [item for item in items if item.case.split is not Split.TEST]
    n_training = sum(len(written[item.case.id]) for item in training)
    document = {
        "channel_names": {"0": _CHANNELS[run.options.modality]},
        "labels": {"background": 0, **values},
        "numTraining": n_training,
        "file_ending": _ENDING,
        "name": name,
        "description": f"{run.study.name}: {' and '.join(run.options.states)} labels; napari-ssl {__version__}",
    }
    run.target.write(f"{name}/dataset.json", json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    folds = subject_folds(training, run.options.n_folds)
    splits = [{side: [n for c in ids for n in written[c]] for side, ids in fold.items()} for fold in folds]
    if splits:
        run.target.write(f"{name}/splits_final.json", json.dumps(splits, indent=2) + "\n")
        run.notes.append(
            f"nnU-Net reads splits_final.json in its folder nnUNet_preprocessed/{name}: copy it there after planning"
        )
    else:
        run.notes.append("no splits_final.json: it needs two subjects or more")
    if n_training == 0:
        run.notes.append("all exported cases are of test subjects: there is nothing that nnU-Net could train on")


def _consecutive(values: dict[str, int]) -> dict[str, int]:
    if sorted(values.values()) != list(range(1, len(values) + 1)):
        present = ", ".join(f"{name}={value}" for name, value in values.items())
        raise LabelError(
            f"nnU-Net wants label values 1 to {len(values)} without a gap, this study has {present}; "
            "export it with --relabel OLD=NEW,…"
        )
    return dict(sorted(values.items(), key=lambda pair: pair[1]))


def _write_frames(run: ExportRun, item: ExportItem, name: str) -> list[str]:
    """Write image and labels of each frame as 3D files; return the names that nnU-Net knows them by."""
    case, labels = item.case, run.labels(item)
    image = read_image(case.image_path)
    if image.data.shape != labels.shape:
        raise GeometryError(
            f"case {case.id}: labels have shape {labels.shape}, the image {image.data.shape}; the image was replaced "
            "since its import; put the original back"
        )
    geometry = replace(image.geometry, is_4d=False, is_2d=False, frame_interval_ms=None)
    side = "Ts" if case.split is Split.TEST else "Tr"
    names = []
    for frame in run.frames(item):
        run.check_stop()
        known_by = case.id if case.n_frames == 1 else f"{case.id}_frame{frame + 1:02d}"
        pixels = image.data[frame : frame + 1]
        pixels = pixels.astype(np.float32) if pixels.dtype == np.float16 else pixels
        write_volume(run.target.file(f"{name}/images{side}/{known_by}_0000{_ENDING}"), pixels, geometry)
        write_volume(run.target.file(f"{name}/labels{side}/{known_by}{_ENDING}"), labels[frame : frame + 1], geometry)
        names.append(known_by)
    return names


def subject_folds(items: Sequence[ExportItem], n_folds: int, seed: int = 0) -> list[dict[str, list[str]]]:
    """Return folds ``{"train": cases, "val": cases}``; all cases of a subject are on the same side.

    Parameters
    ----------
    items : sequence of ExportItem
    n_folds : int
        0: one fold, the study's own training and validation subjects, or five where it has none of either. Never more
        than subjects.
    seed : int
        Decides which subject is in which fold.
    """
    subjects: dict[str, list[str]] = {}
    for item in items:
        subjects.setdefault(item.case.subject_id, []).append(item.case.id)
    own = {
        "train": [i.case.id for i in items if i.case.split is Split.TRAIN],
        "val": [i.case.id for i in items if i.case.split is Split.VALIDATION],
    }
    if n_folds == 0 and own["train"] and own["val"]:
        return [own]
    order = [sorted(subjects)[i] for i in np.random.default_rng(seed).permutation(len(subjects))]
    n = min(n_folds or 5, len(order))
    if n < 2:
        return []
    return [
        {
            "train": [c for s in sorted(subjects) if s not in order[k::n] for c in subjects[s]],
            "val": [c for s in sorted(order[k::n]) for c in subjects[s]],
        }
        for k in range(n)
    ]
