"""A labelling for tests, without torch: notes every case that it finishes, in files that outlive whatever is killed."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from napari_ssl.core.job import Event, EventKind
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.model import Model, ModelState
from napari_ssl.errors import StorageError
from napari_ssl.io.images import Geometry, write_volume
from napari_ssl.io.layouts.item import ImportItem
from napari_ssl.rounds import ParkedForReview, StoppedByRequest
from napari_ssl.study.study import Study

__all__ = ["ParkedForReview", "StoppedByRequest", "add_model", "adopt", "execute", "make_study", "noted"]

SHAPE = (1, 1, 4, 4)
GEOMETRY = Geometry(size_xyz=(4, 4, 1), spacing_xyz=(1.5, 1.5, 8.0), origin_xyz=(0.0, 0.0, 0.0), is_4d=True)


def make_study(folder: Path, n_cases: int) -> Study:
    study = Study.create(folder / "study", label_scheme=PRESETS["acdc"])
    (folder / "images").mkdir()
    items = []
    for n in range(n_cases):
        image = folder / "images" / f"c{n:03d}.nii.gz"
        write_volume(image, np.full(SHAPE, n, np.uint8), GEOMETRY)
        items.append(ImportItem(subject_id=f"s{n:03d}", case_id=f"c{n:03d}", image_path=image))
    assert not study.add_cases(items, split="train").failed
    add_model(study, folder, "m1")
    return study


def add_model(study: Study, folder: Path, name: str) -> None:
    """Register and promote a model that nothing reads."""
    made = folder / name
    made.mkdir()
    (made / "weights.safetensors").write_bytes(name.encode() * 32)
    card = {
        "model_id": name,
        "weights_hash": f"{sum(name.encode()):064d}",
        "network": "res-unet",
        "network_parameters": {},
        "preprocessing": dataclasses.asdict(study.preprocessing),
    }
    (made / "card.json").write_text(json.dumps(card))
    model = Model(
        id=name, spec_hash="0" * 64, strategy="supervised", network="res-unet", round=1, parents=(), metrics={},
        state=ModelState.CANDIDATE, created_at=datetime.now(UTC),
    )  # fmt: skip
    study.register_model(model, made)
    study.promote(name, by="test")


def behaviour(study_folder: Path) -> dict:
    """What the test asks for: ``step_s``, cases that are ``broken``, cases at which the process ``dies``, ``full``."""
    path = study_folder / "behaviour.json"
    return json.loads(path.read_text()) if path.exists() else {}


def noted(study: Study) -> list[str]:
    """Every case that was finished, in order, by whatever process."""
    path = study.folder / "noted.txt"
    return path.read_text().split() if path.exists() else []


def execute(spec, run_folder: Path, emit, should_stop) -> dict:
    study_folder, output = run_folder.parent.parent, run_folder / "output"
    output.mkdir(exist_ok=True)
    asked = behaviour(study_folder)
    failed = {}
    for number, item in enumerate(spec.items, start=1):
        name = item.case_id
        if should_stop():
            raise StoppedByRequest("stopped between two cases")
        if name in asked.get("broken", ()):
            failed[name] = f"case {name}: the image is truncated; copy it again"
            data = {"message": f"{name} was left out", "case_id": name, "left_out": failed[name]}
            emit(Event(kind=EventKind.NOTICE, data=data))
        elif not (output / name).exists():
            time.sleep(asked.get("step_s", 0))
            if name in asked.get("full", ()) and (study_folder / "disk is full").exists():
                raise StorageError(f"{output / name}: the disk is full; make space on the disk, then go on")
            if name in asked.get("dies", ()):
                mark = output / f"{name}.trying"
                if not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), 9)
            (output / name).touch()
            with (study_folder / "noted.txt").open("a") as file:
                file.write(f"{name}\n")
        emit(Event(kind=EventKind.PROGRESS, data={"step": "labelling", "n_done": number, "n_failed": len(failed)}))
    done = [item.case_id for item in spec.items if item.case_id not in failed]
    return {
        "kind": "predict", "model_id": spec.model.model_id, "cases": done, "failed": failed, "seconds": 0.0,
        "over_memory_limit": [], "efficiency": {},
    }  # fmt: skip


def adopt(study, spec, result, run_folder) -> None:
    for name in result["cases"]:
        labels = np.zeros(SHAPE, np.uint8)
        labels[..., 0] = 1 + sum(spec.model.model_id.encode()) % 3
        study.add_segmentation(name, labels, source="model", frames=(0,), model_id=spec.model.model_id)
