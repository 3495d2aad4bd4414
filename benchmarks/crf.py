"""Speed and agreement of the dense CRF on 224² cine slices: whole slice against uncertain region, both back ends.

Softmax maps are simulated: blurred one-hot references as logits plus correlated noise, at several difficulties, on real
slices (``--data FOLDER`` with ``*/*_gt.nii.gz``, such as ACDC) or on drawn hearts. Times are CPU time of one thread,
the best of three::

    python benchmarks/crf.py [--data FOLDER] [--slices N] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy import ndimage

from napari_ssl.core.catalogue import CRFParameters
from napari_ssl.errors import MissingDependencyError
from napari_ssl.refinement.crf import refine_slice, which_backend

MATRIX = 224
DIFFICULTIES = {"easy": (0.3, 12.0), "usual": (1.0, 12.0), "hard": (1.5, 8.0)}
N_CLASSES = 4


def fit_matrix(array: np.ndarray) -> np.ndarray:
    out = np.zeros((MATRIX, MATRIX), array.dtype)
    source, target = [], []
    for size in array.shape:
        kept = min(size, MATRIX)
        source.append(slice((size - kept) // 2, (size - kept) // 2 + kept))
        target.append(slice((MATRIX - kept) // 2, (MATRIX - kept) // 2 + kept))
    out[tuple(target)] = array[tuple(source)]
    return out


def real_slices(folder: Path, n_slices: int) -> list[tuple[np.ndarray, np.ndarray]]:
    import SimpleITK

    pairs = []
    for path in sorted(folder.glob("*/*_gt.nii.gz")):
        labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
        image = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path).replace("_gt", ""))).astype(np.float32)
        low, high = np.percentile(image, (1, 99))
        z = (len(pairs) * 3) % len(labels)  # base, middle and apex take turns
        pairs.append(
            (fit_matrix(np.clip((image[z] - low) / (high - low), 0, 1)), fit_matrix(labels[z].astype(np.uint8)))
        )
        if len(pairs) == n_slices:
            break
    return pairs


def drawn_slices(n_slices: int) -> list[tuple[np.ndarray, np.ndarray]]:
    pairs = []
    for seed in range(n_slices):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:MATRIX, :MATRIX] - MATRIX / 2 + rng.uniform(-10, 10, size=(2, 1, 1))
        inner = rng.uniform(6, 20)
        labels = np.zeros((MATRIX, MATRIX), np.uint8)
        labels[(np.hypot(y, x + inner + 12) < inner + 14) & (np.hypot(y, x) >= inner + 7)] = 1
        labels[np.hypot(y, x) < inner + 8] = 2
        labels[np.hypot(y, x) < inner] = 3
        grey = np.array([0.25, 0.75, 0.2, 0.8])[labels] + rng.normal(0, 0.05, labels.shape)
        pairs.append((np.clip(ndimage.gaussian_filter(grey, 0.7), 0, 1).astype(np.float32), labels))
    return pairs


def simulated_softmax(labels: np.ndarray, noise: float, scale: float, rng: np.random.Generator) -> np.ndarray:
    one_hot = np.stack([ndimage.gaussian_filter((labels == k).astype(float), 1.2) for k in range(N_CLASSES)])
    speckle = np.stack([ndimage.gaussian_filter(rng.normal(size=labels.shape), 1.5) * 5 for _ in range(N_CLASSES)])
    exponentials = np.exp(scale * one_hot + noise * speckle)
    return (exponentials / exponentials.sum(axis=0)).astype(np.float32)


def mean_dice(labels: np.ndarray, reference: np.ndarray) -> float:
    scores = []
    for k in range(1, N_CLASSES):
        size = int((labels == k).sum() + (reference == k).sum())
        if size:
            scores.append(2 * int(((labels == k) & (reference == k)).sum()) / size)
    return float(np.mean(scores)) if scores else float("nan")


def timed(probabilities: np.ndarray, image: np.ndarray, parameters: CRFParameters) -> tuple[np.ndarray, float]:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        labels = refine_slice(probabilities, image, parameters)
        best = min(best, time.process_time() - start)
    return labels, best


def measure(pairs: list, noise: float, scale: float, parameters: CRFParameters) -> dict:
    rng = np.random.default_rng(0)
    rows, whole_maps = [], []
    for image, reference in pairs:
        probabilities = simulated_softmax(reference, noise, scale, rng)
        arg_max = probabilities.argmax(axis=0)
        whole, whole_s = timed(probabilities, image, replace(parameters, region="whole"))
        region, region_s = timed(probabilities, image, replace(parameters, region="auto"))
        whole_maps.append(whole)
        rows.append(
            (whole_s, region_s, (whole == region).mean(), (whole != arg_max).mean(),
             mean_dice(arg_max, reference), mean_dice(whole, reference))
        )  # fmt: skip
    table = np.array(rows, dtype=float)
    return {
        "whole_ms": 1e3 * float(np.mean(table[:, 0])),
        "region_ms": 1e3 * float(np.mean(table[:, 1])),
        "speed_up": float(table[:, 0].sum() / table[:, 1].sum()),
        "slowest_slice_speed_up": float((table[:, 0] / table[:, 1]).min()),
        "agreement_percent": 100 * float(table[:, 2].mean()),
        "agreement_worst_slice_percent": 100 * float(table[:, 2].min()),
        "changed_percent": 100 * float(table[:, 3].mean()),
        "dice_arg_max": float(np.nanmean(table[:, 4])),
        "dice_refined": float(np.nanmean(table[:, 5])),
        "maps": whole_maps,
    }


def backends() -> list[str]:
    found = []
    for name in ("pydensecrf", "torch"):
        try:
            found.append(which_backend(CRFParameters(backend=name)))
        except MissingDependencyError as error:
            print(f"left out: {error}", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with */*_gt.nii.gz and the images beside them")
    parser.add_argument("--slices", type=int, default=12)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    pairs = real_slices(arguments.data, arguments.slices) if arguments.data else drawn_slices(arguments.slices)
    if not pairs:
        parser.error(f"no */*_gt.nii.gz in {arguments.data}")
    results = []
    for normalisation in ("none", "symmetric"):
        for difficulty, (noise, scale) in DIFFICULTIES.items():
            maps = {}
            for backend in backends():
                parameters = CRFParameters(backend=backend, normalisation=normalisation)
                row = measure(pairs, noise, scale, parameters)
                maps[backend] = row.pop("maps")
                results.append({"normalisation": normalisation, "softmax": difficulty, "backend": backend, **row})
            if len(maps) == 2:
                differing = [(a != b).mean() for a, b in zip(*maps.values(), strict=True)]
                results[-1]["differs_from_pydensecrf_percent"] = 100 * float(np.mean(differing))
    document = {
        "machine": platform.processor() or platform.machine(),
        "slices": len(pairs),
        "images": "real" if arguments.data else "drawn",
        "results": results,
    }
    if arguments.json:
        print(json.dumps(document, indent=1))
        return
    for row in results:
        print(
            "  ".join(f"{name} {value:.4g}" if isinstance(value, float) else str(value) for name, value in row.items())
        )


if __name__ == "__main__":
    main()
