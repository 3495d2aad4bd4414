"""A study of many tiny images and a network of random weights that can label them."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.model import Model, ModelState
from napari_ssl.core.training import Preprocessing
from napari_ssl.io.images import Geometry, write_volume
from napari_ssl.io.layouts.item import ImportItem
from napari_ssl.networks import build_network, save_weights
from napari_ssl.study.study import Study

PREPROCESSING = Preprocessing(crop_yx=(16, 16))
NETWORK = {"base_channels": 2, "levels": 3}
GEOMETRY = Geometry(size_xyz=(16, 16, 2), spacing_xyz=(1.5, 1.5, 8.0), origin_xyz=(0.0, 0.0, 0.0), is_4d=True)


def make_study(folder: Path, n_cases: int) -> Study:
    """A study of `n_cases` images ``(2, 2, 16, 16)`` with a promoted model."""
    study = Study.create(folder / "study", label_scheme=PRESETS["acdc"], preprocessing=PREPROCESSING)
    items = []
    for n in range(n_cases):
        image = folder / "images" / f"c{n:03d}.nii.gz"
        image.parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(n).integers(0, 255, (2, 2, 16, 16)).astype(np.uint8)
        write_volume(image, pixels, GEOMETRY)
        items.append(ImportItem(subject_id=f"s{n:03d}", case_id=f"c{n:03d}", image_path=image))
    assert not study.add_cases(items, split="train").failed
    add_model(study, folder / "made")
    return study


def add_model(study: Study, folder: Path) -> None:
    """Register and promote a small network with the weights that a seed gives."""
    torch.manual_seed(0)
    folder.mkdir()
    network = build_network("res-unet", n_classes=study.label_scheme.n_classes, parameters=NETWORK, dimensions=2)
    save_weights(network, folder / "weights.safetensors", {})
    card = {
        "model_id": "m1",
        "network": "res-unet",
        "network_parameters": NETWORK,
        "preprocessing": dataclasses.asdict(PREPROCESSING),
    }
    (folder / "card.json").write_text(json.dumps(card))
    model = Model(
        id="m1",
        spec_hash="0" * 64,
        strategy="supervised",
        network="res-unet",
        round=1,
        parents=(),
        metrics={},
        state=ModelState.CANDIDATE,
        created_at=datetime.now(UTC),
    )
    study.register_model(model, folder)
    study.promote("m1", by="test")


def count_labelled(monkeypatch) -> list[str]:
    """Note every case that is labelled in this process; what is returned grows."""
    from napari_ssl.rounds import prediction

    labelled: list[str] = []
    keep_case = prediction._keep_case

    def noting(spec, item, *rest):
        keep_case(spec, item, *rest)
        labelled.append(item.case_id)

    monkeypatch.setattr(prediction, "_keep_case", noting)
    return labelled
