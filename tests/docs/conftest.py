"""Tiny images in the ACDC layout, and the documentation's folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

DOCS = Path(__file__).resolve().parents[2] / "docs"


def discs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels ``(T, Z, Y, X)``: three frames, two slices."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    labels = np.zeros((3, 2, 32, 32), np.uint8)
    for t in range(3):
        r = np.hypot(y - 16 - rng.integers(-2, 3), x - 18)
        labels[t, :, np.hypot(y - 16, x - 5) < 4] = 1
        labels[t, :, r < 9] = 2
        labels[t, :, r < 6 - t] = 3
    image = np.array([20, 160, 80, 220])[labels] + rng.normal(0, 10, labels.shape)
    return np.clip(image, 0, 255).astype(np.uint8), labels


def write(path: Path, array: np.ndarray) -> None:
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing((1.5, 1.5, 8.0, 1.0)[: array.ndim])
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


@pytest.fixture(scope="session")
def acdc_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five patients with expert labels of two frames, one of them for tests, and one without."""
    folder = tmp_path_factory.mktemp("acdc")
    rows = ["patient,group,split,ed_frame,es_frame"]
    for n, split in enumerate(["train", "train", "validation", "train", "test", "train"], start=1):
        name = f"patient{n:03d}"
        image, labels = discs(n)
        write(folder / name / f"{name}_4d.nii.gz", image)
        for frame in (0, 2) if n < 6 else ():
            write(folder / name / f"{name}_frame{frame + 1:02d}_gt.nii.gz", labels[frame])
        rows.append(f"{name},NOR,{split},1,3")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder
