"""The two FLARE papers on real abdominal CT, end to end, with budgets that a CPU allows.

Makes a study of the volumes in FOLDER (``image_N.nii.gz`` and ``label_N.nii.gz``, thirteen organs): two subjects with
labels, two without, the others held out. Trains ``self-labelling`` and ``teacher-student`` with their papers' networks,
losses, augmentations and intensities, and beside each the supervised network with as many steps; writes the Dice of
the held-out subjects and the fall of the loss as Markdown, and checks that the pseudo-labels lie on the images' grid.

    python benchmarks/abdomen_ct.py --data FOLDER [--strategies NAME,…] [--steps 200] [--out FOLDER] [--table FILE]

Without ``--full`` slices are coarser (96×96 at 4 mm) and the papers' networks have fewer channels.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from napari_ssl.core.case import Split
from napari_ssl.core.catalogue import STRATEGIES
from napari_ssl.core.job import Event, EventKind
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.training import Preprocessing, TrainingItem, TrainingSpec
from napari_ssl.io.images import read_image
from napari_ssl.io.layouts import scan
from napari_ssl.networks import build_network, load_weights
from napari_ssl.rounds import execute, training_spec
from napari_ssl.rounds.evaluation import evaluate_items
from napari_ssl.study.study import Study
from napari_ssl.training.device import choose_device

ORGANS = (
    *("spleen", "right_kidney", "left_kidney", "gallbladder", "oesophagus", "liver", "stomach", "aorta"),
    *("inferior_vena_cava", "portal_vein", "pancreas", "right_adrenal", "left_adrenal"),
)
LABELLED, UNLABELLED = ("image_11", "image_18"), ("image_5", "image_14")
"""The volumes are windowed, each otherwise: after the papers' scaling (mean ± 3 SD) the liver has .74 of the range in
11 and 14, .79 in 5, .85 in 18 and 24. Labels of 11 and 14 alone would teach nothing about the held-out 24."""
SMALL = {"swin-unet": {"embedding": 36}, "unet": {"channels": "12,24,48,96,192"}}
COARSE = {"pixel_spacing_mm": 4.0, "crop_yx": (96, 96)}
RATE = {"batch_size": 8, "learning_rate": 1e-3, "keep": "last"}


def stages(strategy: str, steps: int) -> dict[str, Any]:
    """The whole number of steps, divided among the phases."""
    if strategy == "self-labelling":
        return {"first_phase": f"{steps // 2} iterations", "second_phase": f"{steps // 2} iterations"}
    if strategy == "teacher-student":
        teachers = {"folds": 2, "best": 2, "teacher_duration": f"{steps // 4} iterations"}
        student = {"student_batch_size": 0, "student_learning_rate": 0.0}
        return {**teachers, **student, "student_duration": f"{steps // 2} iterations"}
    return {"duration": f"{steps} iterations"}


def make_study(data: Path, folder: Path) -> None:
    """Import the volumes once."""
    if folder.exists():
        return
    scheme = LabelScheme.parse(",".join(f"{n}={name}:other" for n, name in enumerate(ORGANS, 1)))
    items = [
        dataclasses.replace(i, split=Split.TRAIN if i.case_id in LABELLED + UNLABELLED else Split.TEST)
        for i in scan(sorted(data.glob("*.nii.gz")), "files")
    ]
    with Study.create(folder, label_scheme=scheme, preprocessing=Preprocessing()) as study:
        failed = study.add_cases(items).failed
    if failed:
        raise SystemExit(f"{len(failed)} volumes could not be imported; the first: {failed[0][1]}")


def arms(strategy: str, steps: int) -> list[dict[str, Any]]:
    """Orders of the strategy and of supervised training with its network, recipe and preprocessing."""
    entry = STRATEGIES[strategy]
    recipe = {k: v for k, v in entry.presets["paper"].items() if k in ("augmentation", "optimiser")}
    return [
        {
            "strategy": "supervised",
            "network": entry.preset_network["paper"],
            "overrides": {"optimiser": "adam", "weight_decay": 0.0, **recipe, **RATE, **stages("supervised", steps)},
            "preprocessing_overrides": dict(entry.preset_preprocessing["paper"]),
        },
        {"strategy": strategy, "preset": "paper", "overrides": {**RATE, **stages(strategy, steps)}},
    ]


def train(study: Study, order: dict[str, Any], folder: Path, *, full: bool) -> dict[str, Any]:
    """Train one arm; held-out Dice, first and last loss of every phase, seconds."""
    losses: dict[str, list[float]] = {}

    def emit(event: Event) -> None:
        if event.kind is EventKind.PROGRESS and event.data.get("loss") is not None:
            losses.setdefault(event.data["step"], []).append(event.data["loss"])

    if not full:
        network = order.get("network") or STRATEGIES[order["strategy"]].preset_network["paper"]
        coarse = {**order.get("preprocessing_overrides", {}), **COARSE}
        order = {**order, "network_overrides": SMALL[network], "preprocessing_overrides": coarse}
    spec = training_spec(study, labelled_only=LABELLED, crf=False, **order)
    held_out, spec = spec.evaluation, dataclasses.replace(spec, evaluation=())
    begun = time.monotonic()
    execute(spec, folder, emit, lambda: False)
    seconds = time.monotonic() - begun
    return {
        "arm": f"{spec.strategy} ({spec.network})",
        "dice": held_out_dice(spec, held_out, folder),
        "loss": {step: (np.mean(values[:3]), np.mean(values[-3:])) for step, values in losses.items()},
        "seconds": seconds,
        "pseudo_labels": [p for c in UNLABELLED for p in folder.glob(f"steps/*/{c}.nii.gz")],
    }


def held_out_dice(spec: TrainingSpec, items: tuple[TrainingItem, ...], folder: Path) -> dict[str, float | None]:
    """Mean Dice of each organ, plain arg-max: the papers have no CRF."""
    device = choose_device(spec.device)
    network = build_network(spec.network, n_classes=spec.label_scheme.n_classes, parameters=spec.network_parameters)
    network.load_state_dict(load_weights(folder / "output" / "weights.safetensors")[0])
    summary = evaluate_items(
        network.to(device).eval(),
        items,
        image_of=lambda item: read_image(item.image_path).data,
        preprocessing=spec.preprocessing,
        scheme=spec.label_scheme,
        crf=None,
        device=device,
        folder=folder / "held-out",
        should_stop=lambda: False,
        on_case=lambda *_: None,
    )
    return summary["mean"]["dice"]


def check_geometry(data: Path, pseudo_labels: list[Path]) -> int:
    """Compare the grid of each pseudo-label with its image's; return their number."""
    for path in pseudo_labels:
        image, labels = (sitk.ReadImage(str(p)) for p in (data / path.name, path))
        for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            ours, theirs = (np.asarray(getattr(i, name)()) for i in (labels, image))
            n = len(theirs) if name != "GetDirection" else 9
            if name == "GetDirection" and labels.GetDimension() == 4:
                ours = ours.reshape(4, 4)[:3, :3].ravel()
            if not np.allclose(ours[:n], theirs[:n], atol=1e-4):
                raise SystemExit(f"{path.name}: {name[3:].lower()} {ours} of the labels, {theirs} of the image")
    return len(pseudo_labels)


def markdown(rows: list[dict[str, Any]], steps: int, *, full: bool) -> str:
    """The table for people who read text."""
    shown = [o for o in ORGANS if any(r["dice"].get(o) is not None for r in rows)]
    lines = [
        "# Abdominal CT: the FLARE papers end to end",
        "",
        f"{steps} optimiser steps of 8 slices for each arm, one seed; 2 labelled, 2 unlabelled, 1 held-out subject; "
        + ("the papers' networks and resolutions." if full else "networks with fewer channels, 96×96 at 4 mm."),
        "",
        "| arm | mean Dice | " + " | ".join(o.replace("_", " ") for o in shown) + " | training |",
        "|---|" + "---|" * (len(shown) + 2),
    ]
    for row in rows:
        values = [row["dice"].get(o) for o in shown]
        mean = np.mean([v for v in values if v is not None])
        cells = [f"{mean:.3f}", *("–" if v is None else f"{v:.2f}" for v in values), f"{row['seconds']:.0f} s"]
        lines.append(f"| {row['arm']} | " + " | ".join(cells) + " |")
    lines += ["", "Loss, first and last of each phase:", ""]
    for row in rows:
        lines += [f"- {row['arm']}, {step}: {a:.2f} → {b:.2f}" for step, (a, b) in row["loss"].items()]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--strategies", default="self-labelling,teacher-student")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--full", action="store_true", help="the papers' networks and resolutions, for a GPU")
    parser.add_argument("--out", type=Path, help="keep study and runs here; called again, it goes on")
    parser.add_argument("--table", type=Path, help="write the Markdown table here instead of printing it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        make_study(options.data, out / "study")
        rows, n_checked = [], 0
        with Study.open(out / "study") as study:
            for strategy in options.strategies.split(","):
                for order in arms(strategy, options.steps):
                    rows.append(train(study, order, out / f"{strategy}-{order['strategy']}", full=options.full))
                    n_checked += check_geometry(options.data, rows[-1]["pseudo_labels"])
        text = markdown(rows, options.steps, full=options.full)
        text += f"\n{n_checked} pseudo-labels have the size, spacing, origin and direction of their images.\n"
    if options.table:
        options.table.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
