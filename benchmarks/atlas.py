"""Registration of atlases on the ACDC cine patients: Dice of multi-atlas fusion, and how well predicted Dice is true.

Atlases and references are ED and ES of training patients; what is segmented is ED and ES of validation patients. For
the prediction of Dice (reverse classification accuracy) each validation volume brings segmentations of known quality:
the fused atlases, and the expert's labels spoilt by shifts, erosion, dilation, lost slices
and swapped structures. One process, one thread a registration; times are of the CPU, since machines are shared.

    python benchmarks/atlas.py --data FOLDER [--atlases 22] [--targets 9] [--selected 8] [--references 8] [--json]
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage, stats

from napari_ssl.atlas.reverse_classification import register_to_references
from napari_ssl.atlas.segment import Atlas, FusionSettings, segment
from napari_ssl.atlas.volume import Volume
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.io.images import read_image, read_labels

NAMES = PRESETS["acdc"].names


def load(data: Path, row: dict[str, str], phase: str) -> Atlas:
    """ED or ES of a patient, intensities in [0, 1]."""
    frame = int(row[f"{phase}_frame"])
    stem = data / row["patient"] / f"{row['patient']}_frame{frame:02d}"
    image = read_image(f"{stem}.nii.gz")
    voxels = image.data[0].astype(np.float32)
    low, high = np.percentile(voxels, [0.5, 99.5])
    spacing = (float(row["spacing_z_mm"]), float(row["spacing_x_mm"]), float(row["spacing_x_mm"]))
    labels = PRESETS["acdc"].to_classes(read_labels(f"{stem}_gt.nii.gz")[0])
    return Atlas(
        volume=Volume(data=np.clip((voxels - low) / (high - low), 0, 1), spacing_zyx_mm=spacing), labels=labels
    )


def spread(rows: list[Any], n: int) -> list[Any]:
    """`n` of the rows, evenly: ACDC numbers its groups one after the other."""
    n = min(n, len(rows))
    return [rows[int(i * len(rows) / n)] for i in range(n)]


def dice(a: np.ndarray, b: np.ndarray) -> list[float]:
    """Dice of each structure."""
    return [
        2.0 * ((a == k) & (b == k)).sum() / max(1, (a == k).sum() + (b == k).sum()) for k in range(1, len(NAMES) + 1)
    ]


def spoilt(labels: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """An expert's labels with the faults that networks make."""
    shift = tuple(int(s) for s in rng.integers(4, 12, 2))
    without = labels.copy()
    without[: max(1, len(labels) // 3)] = 0
    swapped = np.array([0, 3, 2, 1], np.uint8)[labels]
    plane = np.ones((1, 3, 3), bool)
    eroded, grown = np.zeros_like(labels), labels.copy()
    for k in range(1, 4):
        eroded[ndimage.binary_erosion(labels == k, plane, iterations=2)] = k
        grown[ndimage.binary_dilation(labels == k, plane, iterations=3) & (labels == 0)] = k
    leak = labels.copy()
    leak[ndimage.binary_dilation(labels == 1, plane, iterations=8) & (labels != 3)] = 1
    return {
        "expert": labels,
        "shifted": np.roll(labels, shift, (1, 2)),
        "slices lost": without,
        "structures swapped": swapped,
        "eroded": eroded,
        "grown": grown,
        "RV leaks": leak,
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Segment, spoil, predict; gather the figures."""
    rows = list(csv.DictReader((options.data / "cases.csv").open()))
    train = spread([r for r in rows if r["split"] == "train"], options.atlases)
    targets = spread([r for r in rows if r["split"] != "train"], options.targets)
    atlases = {phase: [load(options.data, r, phase) for r in train] for phase in ("ed", "es")}
    everyone = [*atlases["ed"], *atlases["es"]]
    references = [a for phase in ("ed", "es") for a in spread(atlases[phase], options.references // 2)]
    settings = FusionSettings(selected=options.selected)
    rng = np.random.default_rng(options.seed)
    fused: list[list[float]] = []
    pairs: list[tuple[str, int, float, float]] = []
    seconds = {"multi-atlas": 0.0, "predicted Dice": 0.0}
    for row in targets:
        for phase in ("ed", "es"):
            case = load(options.data, row, phase)
            started = time.process_time()
            labels = segment(case.volume, everyone, 4, settings).argmax(axis=0).astype(np.uint8)
            seconds["multi-atlas"] += time.process_time() - started
            fused.append(dice(labels, case.labels))
            started = time.process_time()
            found = register_to_references(case.volume, references, settings.registration)
            candidates = {"multi-atlas": labels, **spoilt(case.labels, rng)}
            predicted = {name: found.predicted_dice(c, 4) for name, c in candidates.items()}
            seconds["predicted Dice"] += time.process_time() - started
            for name, candidate in candidates.items():
                for k, true in enumerate(dice(candidate, case.labels)):
                    pairs.append((name, k, float(predicted[name][k]), true))
            sys.stderr.write(f"{row['patient']} {phase}: multi-atlas Dice {np.round(fused[-1], 3).tolist()}\n")
    n = len(fused)
    return {
        "atlas_volumes": len(everyone),
        "selected": options.selected,
        "targets": n,
        "reference_volumes": len(references),
        "dice": dict(zip(NAMES, np.mean(fused, axis=0).round(4).tolist(), strict=True)),
        "dice_median": dict(zip(NAMES, np.median(fused, axis=0).round(4).tolist(), strict=True)),
        "cpu_seconds_per_volume": {name: round(value / n, 1) for name, value in seconds.items()},
        "predicted_dice": {
            name: agreement([p for p in pairs if k is None or p[1] == k])
            for name, k in {"all structures": None, **{s: i for i, s in enumerate(NAMES)}}.items()
        },
        "by_fault": {
            name: {
                "true": round(float(np.mean([t for f, _, _, t in pairs if f == name])), 3),
                "predicted": round(float(np.nanmean([p for f, _, p, _ in pairs if f == name])), 3),
            }
            for name in dict.fromkeys(f for f, *_ in pairs)
        },
    }


def agreement(pairs: list[tuple[str, int, float, float]]) -> dict[str, float]:
    """Correlation and error of predicted against true Dice."""
    p, t = (np.array([pair[i] for pair in pairs]) for i in (2, 3))
    p, t = p[np.isfinite(p)], t[np.isfinite(p)]
    return {
        "n": len(p),
        "pearson": round(float(stats.pearsonr(p, t)[0]), 3),
        "spearman": round(float(stats.spearmanr(p, t)[0]), 3),
        "mean_absolute_error": round(float(np.abs(p - t).mean()), 3),
        "bias": round(float((p - t).mean()), 3),
        "auc_below_0.7": _auc(p, t < 0.7),
    }


def _auc(score: np.ndarray, bad: np.ndarray) -> float:
    """Probability that a bad segmentation is predicted worse than a good one."""
    if bad.all() or not bad.any():
        return float("nan")
    return round(float(stats.mannwhitneyu(score[~bad], score[bad]).statistic / (bad.sum() * (~bad).sum())), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--atlases", type=int, default=22, help="training patients")
    parser.add_argument("--targets", type=int, default=9, help="validation patients")
    parser.add_argument("--selected", type=int, default=8)
    parser.add_argument("--references", type=int, default=8, help="reference volumes, half ED, half ES")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report = run(options)
    print(json.dumps(report, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
