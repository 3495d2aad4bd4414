"""A tiny study for comparisons: five labelled patients to learn from, two to test on; discs of three brightnesses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.training import Preprocessing
from napari_ssl.io.layouts import scan
from napari_ssl.study.study import Study

QUICK = {"batch_size": "4", "validate_every": "50", "augmentation": "none", "learning_rate": "0.003"}
TINY = "network.base_channels=4;network.levels=3"


def discs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels ``(T, Z, Y, X)``: two frames, two slices."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    labels = np.zeros((2, 2, 32, 32), np.uint8)
    for t in range(2):
        r = np.hypot(y - 16 - rng.integers(-2, 3), x - 18)
        labels[t, :, np.hypot(y - 16, x - 5) < 4] = 1
        labels[t, :, r < 9] = 2
        labels[t, :, r < 6 - 2 * t] = 3
    image = np.array([20, 160, 80, 220])[labels] + rng.normal(0, 10, labels.shape)
    return np.clip(image, 0, 255).astype(np.uint8), labels


def write(path: Path, array: np.ndarray) -> None:
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing((1.5, 1.5, 8.0, 1.0)[: array.ndim])
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def make_study(folder: Path, *, n_labelled: int = 5) -> Study:
    """Make images and study; the first patients and those of the test split have expert labels."""
    rows = ["patient,group,split,ed_frame,es_frame"]
    for n, split in enumerate(["train"] * 5 + ["test"] * 2, start=1):
        name = f"patient{n:03d}"
        image, labels = discs(n)
        write(folder / "images" / name / f"{name}_4d.nii.gz", image)
        for frame in (0, 1) if n <= n_labelled or split == "test" else ():
            write(folder / "images" / name / f"{name}_frame{frame + 1:02d}_gt.nii.gz", labels[frame])
        rows.append(f"{name},NOR,{split},1,2")
    (folder / "images" / "cases.csv").write_text("\n".join(rows) + "\n")
    study = Study.create(folder / "study", label_scheme=PRESETS["acdc"], preprocessing=Preprocessing(crop_yx=(32, 32)))
    assert not study.add_cases(scan(folder / "images", "acdc")).failed
    return study
