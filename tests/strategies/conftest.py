"""A tiny study on disk: discs of three brightnesses, learnt in a few steps."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from napari_ssl.core.catalogue import STRATEGIES, preset_values
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.quality import QcParameters
from napari_ssl.core.training import Preprocessing, QcReference, Role, TrainingItem, TrainingSpec
from napari_ssl.io.images import hash_file, hash_labels

SPACING = (8.0, 1.5, 1.5)
SHAPE = (3, 2, 32, 32)


def rings(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels ``(T, Z, Y, X)`` of a disc (3) in a ring (2) beside a disc (1)."""
    y, x = np.mgrid[: SHAPE[2], : SHAPE[3]]
    labels = np.zeros(SHAPE, np.uint8)
    for t in range(SHAPE[0]):
        for z in range(SHAPE[1]):
            cy, cx = 15 + rng.integers(-2, 3), 18 + rng.integers(-2, 3)
            r = np.hypot(y - cy, x - cx)
            labels[t, z][np.hypot(y - cy, x - cx + 13) < 5] = 1
            labels[t, z][r < 10] = 2
            labels[t, z][r < 6 - 0.5 * t] = 3
    image = np.array([20, 160, 80, 220])[labels] + rng.normal(0, 12, SHAPE)
    return np.clip(image, 0, 255).astype(np.uint8), labels


def write(path: Path, array: np.ndarray) -> Path:
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing((*SPACING[::-1], 1.0))
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture(scope="session")
def ring_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    folder = tmp_path_factory.mktemp("rings")
    rng = np.random.default_rng(0)
    files = {}
    for name in ("a", "b", "c", "d", "v"):
        image, labels = rings(rng)
        files[name] = (
            write(folder / f"{name}.nii.gz", image),
            write(folder / f"{name}_gt.nii.gz", labels),
        )
    return files


def item(name: str, files: dict[str, tuple[Path, Path]], role: Role) -> TrainingItem:
    image, labels = files[name]
    has = role.has_labels
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(labels)))
    return TrainingItem(
        case_id=name,
        subject_id=name,
        image_path=str(image),
        image_hash=hash_file(image),
        spacing_zyx_mm=SPACING,
        frames=(0, 2) if has else (0, 1, 2),
        role=role,
        label_path=str(labels) if has else None,
        label_hash=hash_labels(array) if has else None,
        ed_frame=0,
        es_frame=2,
    )


SHORT: dict[str, dict[str, Any]] = {
    "supervised": {"duration": "12 iterations"},
    "alternating-crf": {
        "initial": "8 iterations",
        "per_alternation": "4 iterations",
        "alternations": 2,
        "optimiser": "adamw",
    },
    "asdnet": {
        "duration": "12 iterations",
        "unlabelled_batch": 4,
        "discriminator_channels": 2,
        "gamma": 0.0,
        "schedule": "constant",
    },
    "self-labelling": {"first_phase": "6 iterations", "second_phase": "4 iterations"},
    "teacher-student": {
        "folds": 2,
        "best": 1,
        "teacher_duration": "4 iterations",
        "student_duration": "8 iterations",
        "student_batch_size": 4,
        "student_learning_rate": 3e-3,
    },
    "mean-teacher-copy-paste": {
        "initial": "6 iterations",
        "duration": "8 iterations",
        "unlabelled_batch": 4,
        "ema": 0.5,
    },
    "semi-qc-seg": {"duration": "8 iterations", "n_cases": 1},
    "weak-to-strong": {"duration": "10 iterations", "unlabelled_batch": 4, "threshold": 0.3},
}
"""A few steps of every strategy; a strategy without an entry here fails the contract tests."""


@pytest.fixture(scope="session")
def curve_judge(tmp_path_factory: pytest.TempPathFactory) -> QcReference:
    """A classifier of curves with random weights: whom it prefers is arbitrary, but always the same."""
    from napari_ssl.qc.classifier import new_classifier
    from napari_ssl.qc.inputs import N_PER_STRUCTURE
    from napari_ssl.qc.store import save_classifier

    folder = tmp_path_factory.mktemp("judge")
    parameters = QcParameters(width=4, n_points=8)
    network = new_classifier(3 * N_PER_STRUCTURE, parameters.width, parameters.n_points, seed=1)
    card = {
        "id": "judge",
        "kind": "short-axis",
        "threshold": 0.5,
        "parameters": dataclasses.asdict(parameters),
        "label_scheme": PRESETS["acdc"].to_dict(),
        "calibration": {"slope": 1.0, "intercept": 0.0},
    }
    card = save_classifier(network, card, folder)
    weights = folder / "weights.safetensors"
    return QcReference(classifier_id="judge", weights_path=str(weights), weights_hash=card["weights_hash"], card=card)


@pytest.fixture
def make_spec(ring_files, curve_judge):
    def make(strategy: str, **changes: Any) -> TrainingSpec:
        overrides = {"batch_size": 4, "validate_every": 4, "learning_rate": 3e-3, **SHORT[strategy]}
        overrides |= changes.pop("parameters", {})
        spec = TrainingSpec(
            strategy=strategy,
            network="res-unet",
            network_parameters={"base_channels": 4, "levels": 3},
            parameters=preset_values(STRATEGIES[strategy], None, overrides),
            label_scheme=PRESETS["acdc"],
            preprocessing=Preprocessing(crop_yx=(32, 32)),
            items=tuple(
                item(n, ring_files, r)
                for n, r in (("a", Role.LABELLED), ("b", Role.LABELLED), ("c", Role.UNLABELLED), ("d", Role.UNLABELLED))
                if r.has_labels or STRATEGIES[strategy].uses_unlabelled
            ),
            validation=(item("v", ring_files, Role.LABELLED),),
            qc=curve_judge if STRATEGIES[strategy].uses_qc else None,
            seed=3,
            device="cpu",
        )
        return dataclasses.replace(spec, **changes)

    return make
