"""Strategies end to end on real volumes: prostate MR in 3D, abdominal CT in 2D, with budgets that a CPU allows.

    python benchmarks/volumes.py --data FOLDER [--only prostate,abdomen] [--strategies supervised,asdnet]
                                 [--iterations 150] [--keep FOLDER] [--json]

FOLDER holds ``prostate_mr/`` (``image_trainNN.npy.gz``, ``label_trainNN.npy.gz``, axes z, y, x) and ``abdomen_ct/``
(``image_N.nii.gz``, ``label_N.nii.gz``). Both are brought into studies below a temporary folder, or the one that
``--keep`` names: training subjects with labels, training subjects without, test subjects. For each strategy it prints
the loss at the beginning and at the end, Dice on the test subjects, what a case cost, and whether size, spacing, origin
and direction of each output equal the input's.

The prostate images come as bare arrays, without a spacing: they are written with 1.25×1.25 mm pixels and slices of
3 mm, a guess (such scans often have 0.6 mm pixels, and these were halved). Millimetres of that study mean nothing; Dice
does.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from napari_ssl.core.case import Split
from napari_ssl.core.job import Event, EventKind
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.io.layouts import scan
from napari_ssl.jobs.runner import run_here
from napari_ssl.rounds import prediction_spec, training_spec
from napari_ssl.study.study import Study

PROSTATE_SPACING_XYZ = (1.25, 1.25, 3.0)
ORGANS = (
    "spleen", "right kidney", "left kidney", "gallbladder", "oesophagus", "liver", "stomach", "aorta", "vena cava",
    "portal vein", "pancreas", "right adrenal", "left adrenal",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Task:
    """One study: its images, how they are split and preprocessed, and what runs on it."""

    name: str
    scheme: str
    preprocessing: Preprocessing
    n_labelled: int
    n_unlabelled: int
    strategies: tuple[str, ...]
    network: str
    network_parameters: dict[str, Any]
    common: dict[str, Any]
    special: dict[str, dict[str, Any]] = field(default_factory=dict)


TASKS = {
    "prostate": Task(
        name="prostate",
        scheme="1=Prostate",
        preprocessing=Preprocessing(
            dimensions=3, patch_z=16, crop_yx=(64, 64), intensity="percentile", overlap=0.25, pixel_spacing_mm=1.25
        ),
        n_labelled=5,
        n_unlabelled=3,
        strategies=("supervised", "asdnet"),
        network="res-unet",
        network_parameters={"base_channels": 8, "levels": 4},
        common={"batch_size": 4, "augmentation": "strong", "learning_rate": 2e-3, "validate_every": 100000},
        special={"asdnet": {"unlabelled_batch": 2, "discriminator_channels": 8}},
    ),
    "abdomen": Task(
        name="abdomen",
        scheme=",".join(f"{n}={name}:other" for n, name in enumerate(ORGANS, start=1)),
        preprocessing=Preprocessing(crop_yx=(112, 112), pixel_spacing_mm=3.0, slice_spacing_mm=5.0),
        n_labelled=2,
        n_unlabelled=1,
        strategies=("supervised", "self-labelling", "teacher-student"),
        network="res-unet",
        network_parameters={"base_channels": 12, "levels": 4},
        common={"batch_size": 10, "augmentation": "rotation-flips", "learning_rate": 2e-3, "validate_every": 100000},
        special={"teacher-student": {"folds": 2, "best": 2}},
    ),
}
"""What is small here for the sake of a CPU: the networks, the crops, the abdomen's grid of 3×3×5 mm."""


def write_prostate(source: Path, folder: Path) -> list[Path]:
    """Write the arrays as NIfTI files with the guessed spacing and return the images."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for path in sorted(source.glob("image_*.npy.gz")):
        number = re.sub(r"\D", "", path.name)
        for kind in ("image", "label"):
            with gzip.open(source / path.name.replace("image", kind)) as file:
                array = np.load(file)
            volume = sitk.GetImageFromArray(array.astype(np.uint8 if kind == "label" else np.int16))
            volume.SetSpacing(PROSTATE_SPACING_XYZ)
            target = folder / f"{kind}_{number}.nii.gz"
            sitk.WriteImage(volume, str(target))
        written.append(folder / f"image_{number}.nii.gz")
    return written


def make_study(task: Task, data: Path, folder: Path) -> Study:
    """Import the images; the first subjects are labelled, the next without labels, the rest for testing."""
    if task.name == "prostate":
        images = write_prostate(data / "prostate_mr", folder / "prostate_images")
    else:
        images = sorted((data / "abdomen_ct").glob("image_*.nii.gz"))
    images = [image for first in range(3) for image in images[first::3]]  # numbered by centre: mix them
    if not images:
        raise SystemExit(f"{data}: no images of {task.name}; see --help for the folders that are expected")
    study = Study.create(
        folder / task.name, label_scheme=LabelScheme.parse(task.scheme), preprocessing=task.preprocessing
    )
    for n, image in enumerate(images):
        label = image.with_name(image.name.replace("image", "label"))
        without = task.n_labelled <= n < task.n_labelled + task.n_unlabelled
        split = Split.TRAIN if n < task.n_labelled + task.n_unlabelled else Split.TEST
        failed = study.add_cases(scan([image] if without else [image, label], "files"), split=split).failed
        if failed:
            raise SystemExit(f"{image.name} could not be imported: {failed[0][1]}")
    return study


def durations(strategy: str, iterations: int) -> dict[str, str]:
    """The same number of steps for every strategy, divided among its stages."""
    half, quarter = (f"{max(1, iterations // n)} iterations" for n in (2, 4))
    return {
        "self-labelling": {"first_phase": half, "second_phase": half},
        "teacher-student": {"teacher_duration": quarter, "student_duration": half},
    }.get(strategy, {"duration": f"{iterations} iterations"})


class Losses:
    """Collects the loss of each step of a run by its stage."""

    def __init__(self) -> None:
        self.by_step: dict[str, list[float]] = {}

    def __call__(self, event: Event) -> None:
        if event.kind is EventKind.PROGRESS and event.data.get("loss") is not None:
            losses = self.by_step.setdefault(event.data["step"], [])
            if event.data.get("iteration", len(losses) + 1) > 0:
                losses.append(event.data["loss"])

    def summary(self) -> dict[str, tuple[float, float]]:
        """Mean of the first and the last three losses that were told of each stage."""
        return {
            step: (round(float(np.mean(v[:3])), 4), round(float(np.mean(v[-3:])), 4))
            for step, v in self.by_step.items()
            if len(v) >= 6
        }


def same_geometry(labels: Path, image: Path) -> bool:
    """Whether a label file lies on its image's grid: size, spacing, origin and direction."""
    first, second = sitk.ReadImage(str(labels)), sitk.ReadImage(str(image))

    def facts(volume: sitk.Image) -> Iterable[Any]:
        matrix = np.array(volume.GetDirection()).reshape(volume.GetDimension(), -1)[:3, :3]
        return (volume.GetSpacing()[:3], volume.GetOrigin()[:3], matrix.ravel())

    same = all(np.allclose(a, b, atol=1e-4) for a, b in zip(facts(first), facts(second), strict=True))
    return same and first.GetSize()[:3] == second.GetSize()[:3]


def run(task: Task, study: Study, strategy: str, iterations: int, device: str) -> dict[str, Any]:
    """Train, measure on the test subjects, label the unlabelled and the test subjects and check the files."""
    started, losses = time.monotonic(), Losses()
    spec = training_spec(
        study,
        strategy=strategy,
        network=task.network,
        network_overrides=task.network_parameters,
        overrides={**task.common, **task.special.get(strategy, {}), **durations(strategy, iterations)},
        device=device,
        crf=False,
    )
    trained = run_here(study, spec, losses, lambda: False)
    test = trained["metrics"]["test"]
    cases = [c.id for c in study.cases() if c.split is Split.TEST or not study.segmentations(case_id=c.id)]
    order = prediction_spec(study, model_id=trained["model_id"], cases=cases, crf=False, device=device)
    predicted = run_here(study, order, lambda event: None, lambda: False)
    folder = study.folder / "predictions" / trained["model_id"]
    kept = {
        case: all(same_geometry(path, Path(study.case(case).image_path)) for path in folder.glob(f"{case}.*.nii.gz"))
        for case in predicted["cases"]
    }
    return {
        "strategy": strategy,
        "dimensions": task.preprocessing.dimensions,
        "iterations": iterations,
        "seconds": round(time.monotonic() - started, 1),
        "loss_first_last": losses.summary(),
        "dice": {name: round(value, 4) for name, value in test["mean"]["dice"].items() if value is not None},
        "n_test": test["n"],
        "efficiency": test["efficiency"],
        "geometry_kept": kept,
    }


def tell(task: str, result: dict[str, Any]) -> None:
    dice = result["dice"]
    mean = np.mean(list(dice.values()))
    print(f"{task}, {result['strategy']} in {result['dimensions']}D, {result['iterations']} steps: "
          f"mean Dice {mean:.3f} on {result['n_test']} test subjects, {result['seconds']:.0f} s")  # fmt: skip
    for step, (first, last) in result["loss_first_last"].items():
        print(f"  loss {first:.3f} → {last:.3f}  {step}")
    print("  " + ", ".join(f"{name} {value:.3f}" for name, value in dice.items()))
    cost = result["efficiency"]
    print(f"  {cost['mean_seconds']:.1f} s a case, {cost['peak_rss_mb']:.0f} MB, "
          f"{cost['mean_cpu_area_percent_s']:.0f} %·s of the CPU")  # fmt: skip
    wrong = [case for case, same in result["geometry_kept"].items() if not same]
    print(f"  geometry equals the image's in {len(result['geometry_kept']) - len(wrong)} of "
          f"{len(result['geometry_kept'])} outputs" + (f"; not in {', '.join(wrong)}" if wrong else ""))  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default=",".join(TASKS), help="prostate, abdomen or both")
    parser.add_argument("--strategies", help="by default those of each study")
    parser.add_argument("--iterations", type=int, default=150, help="optimiser steps of each strategy")
    parser.add_argument("--keep", type=Path, help="make the studies here instead of in a temporary folder")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    results: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        for name in options.only.split(","):
            task = TASKS[name]
            with make_study(task, options.data, folder) as study:
                for strategy in (options.strategies or ",".join(task.strategies)).split(","):
                    result = run(task, study, strategy, options.iterations, options.device)
                    results.setdefault(name, []).append(result)
                    if not options.json:
                        tell(name, result)
    if options.json:
        print(json.dumps(results, indent=1))
    return 0 if all(all(r["geometry_kept"].values()) for rs in results.values() for r in rs) else 1


if __name__ == "__main__":
    sys.exit(main())
