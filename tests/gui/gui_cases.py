"""Small phantom cases and proposals for GUI tests."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np

from napari_ssl.core.model import Model, ModelState
from napari_ssl.core.segmentation import Source
from napari_ssl.io.images import Geometry
from napari_ssl.study.study import Study

SHAPE = (6, 3, 48, 40)
SPACING_ZYX = (8.0, 1.5, 1.5)


def beating_disc(n: int = 0, *, shape=SHAPE):
    """Image and ACDC labels of a disc (LV) in a ring (Myo) with a neighbour (RV) that contract by a cosine."""
    t, _, height, width = shape
    y, x = np.mgrid[:height, :width]
    labels = np.zeros(shape, np.uint8)
    for frame in range(t):
        radius = 6.0 + 2.0 * np.cos(2 * np.pi * frame / t) + 0.3 * n
        lv = np.hypot(y - height / 2, x - width / 2) < radius
        myo = (np.hypot(y - height / 2, x - width / 2) < radius + 4) & ~lv
        rv = (np.hypot(y - height / 2, x - width / 5) < radius) & ~lv & ~myo
        labels[frame] = (3 * lv + 2 * myo + rv).astype(np.uint8)
    image = np.choose(labels, (40, 220, 90, 230)).astype(np.int16)
    image += np.random.default_rng(n).integers(0, 20, shape, dtype=np.int16)
    return image, labels


def geometry_of(shape, spacing_zyx=SPACING_ZYX) -> Geometry:
    return Geometry(
        size_xyz=shape[:0:-1],
        spacing_xyz=spacing_zyx[::-1],
        origin_xyz=(0.0, 0.0, 0.0),
        direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
        is_2d=False,
        is_4d=shape[0] > 1,
    )


def add_model(study: Study, folder, name: str, round_: int = 1) -> None:
    """Register a model without weights of its own: the window never reads them."""
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"weights")
    (folder / "card.json").write_text(json.dumps({"id": name}))
    study.register_model(
        Model(
            id=name,
            spec_hash="0" * 64,
            strategy="supervised",
            network="res-unet",
            round=round_,
            parents=(),
            metrics={},
            state=ModelState.CANDIDATE,
            created_at=datetime.now(UTC),
        ),
        folder,
    )


def propose(study: Study, case_id: str, labels, model: str, confidence: float):
    """Store a proposal with confidence and measures, as a prediction job does."""
    segmentation = study.add_segmentation(
        case_id,
        labels,
        source=Source.REFINED,
        frames=range(labels.shape[0]),
        confidence=np.where(labels > 0, int(255 * confidence), 255).astype(np.uint8),
        model_id=model,
    )
    study.set_measures(segmentation.id, {"mean_confidence": confidence, "indices": {"lv_ef_percent": 55.0}})
    return segmentation
