"""Images, labels, models and decisions for the tests of studies."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from napari_ssl.core.decision import Decision, Verdict
from napari_ssl.core.model import Model, ModelState
from napari_ssl.core.segmentation import Segmentation, Source
from napari_ssl.io.images import Geometry, write_volume
from napari_ssl.io.layouts.item import ImportItem
from napari_ssl.study import Study

SHAPE = (4, 3, 10, 12)
GEOMETRY = Geometry(size_xyz=(12, 10, 3), spacing_xyz=(1.5, 1.25, 8.0), origin_xyz=(-10.0, 20.0, 5.0), is_4d=True)


def make_image(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, np.random.default_rng(seed).integers(0, 255, SHAPE).astype(np.uint8), GEOMETRY)
    return path


def make_labels(seed: int = 0, frames: tuple[int, ...] = (0, 2)) -> np.ndarray:
    """Return ACDC labels (T, Z, Y, X) with an LV of a size that depends on the seed."""
    labels = np.zeros(SHAPE, np.uint8)
    for frame in frames:
        labels[frame, :, 1:5, 1:5] = 2
        labels[frame, :, 2:4, 2 : 4 + seed % 5] = 3
    return labels


def make_items(folder: Path, n: int = 6, n_labelled: int = 5) -> list[ImportItem]:
    """Return items of images and labels, which are written where they are not there."""
    result = []
    for i in range(n):
        image = folder / f"p{i}.nii.gz"
        if not image.exists():
            make_image(image, i)
        labels: tuple = ()
        if i < n_labelled:
            label_file = folder / f"p{i}_gt.nii.gz"
            if not label_file.exists():
                write_volume(label_file, make_labels(i), GEOMETRY)
            labels = ((None, label_file),)
        result.append(
            ImportItem(subject_id=f"s{i}", case_id=f"p{i}", image_path=image, label_paths=labels, group="NOR")
        )
    return result


def make_model(study: Study, folder: Path, model_id: str = "m1", round_: int = 1) -> Model:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.safetensors").write_bytes(model_id.encode() * 10)
    (folder / "card.json").write_text(json.dumps({"model_id": model_id}))
    model = Model(
        id=model_id,
        spec_hash="0" * 64,
        strategy="supervised",
        network="res-unet",
        round=round_,
        parents=(),
        metrics={},
        state=ModelState.CANDIDATE,
        created_at=datetime.now(UTC),
    )
    return study.register_model(model, folder)


def propose(study: Study, case_id: str, seed: int, model_id: str = "m1", **more) -> Segmentation:
    frames = tuple(range(SHAPE[0]))
    return study.add_segmentation(
        case_id, make_labels(seed, frames), source=Source.MODEL, frames=frames, model_id=model_id, **more
    )


def decide(segmentation: Segmentation, verdict: Verdict = Verdict.ACCEPT, reader: str = "Ada", **more) -> Decision:
    values = {"seconds": 3.0, "reason": "RV wrong" if verdict is Verdict.REJECT else "", **more}
    return Decision(
        case_id=segmentation.case_id,
        verdict=verdict,
        reader=reader,
        decided_at=datetime.now(UTC),
        segmentation_id=segmentation.id,
        label_hash=segmentation.label_hash,
        **values,
    )
