"""All strategies on the ACDC cine patients with equal budgets: 3 labelled patients, the others unlabelled, three seeds.

Builds a study of the cine patients (their validation patients become the test split, so that nothing in training sees
them), trains one supervised network on the labelled patients (``--start-iterations``; 0: none, every arm then begins
with random weights), lets every arm go on from it with ``napari-ssl compare --from-promoted``, and writes the table as
Markdown. The same start, optimiser steps, batches, crop, augmentation, network and post-processing for every arm; ED
and ES of the test patients are what is compared.

    python benchmarks/acdc_cine.py --data FOLDER [--arms ARM,…] [--iterations 300] [--seeds 3] [--out FOLDER]
                                   [--table benchmarks/acdc_cine.md] [-- OPTION OF COMPARE …]

FOLDER holds the cine patients in the ACDC layout with ``cases.csv``. The comparison is resumed when it is called again
with the same ``--out``. What stands after ``--`` goes to the comparison as it is, for example
``-- --rounds 3 --policy-set minutes=20`` (Dice against minutes) or ``-- --workers 2``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from napari_ssl.core.case import Split
from napari_ssl.core.catalogue import STRATEGIES
from napari_ssl.core.catalogue.budget import duration_parameters
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.training import Preprocessing
from napari_ssl.io.layouts import scan
from napari_ssl.study.study import Study

RECIPE = {
    "batch_size": "10",
    "loss": "dice-cross-entropy",
    "optimiser": "adamw",
    "learning_rate": "0.001",
    "schedule": "poly",
    "weight_decay": "0.0001",
    "augmentation": "strong",
}
"""Set in every arm that has it, so that arms differ in what they do with unlabelled cases and in nothing else."""

CROP = (112, 112)


def make_study(data: Path, folder: Path) -> None:
    """Import the patients once; validation patients are for testing."""
    if folder.exists():
        return
    with Study.create(folder, label_scheme=PRESETS["acdc"], preprocessing=Preprocessing(crop_yx=CROP)) as study:
        items = [
            dataclasses.replace(item, split=Split.TEST) if item.split is Split.VALIDATION else item
            for item in scan(data, "acdc")
        ]
        failed = study.add_cases(items).failed
    if failed:
        raise SystemExit(f"{len(failed)} patients could not be imported; the first: {failed[0][1]}")


def spread_labelled(folder: Path, n: int) -> str:
    """Choose `n` training patients evenly: ACDC numbers its five groups one after the other."""
    with Study.open(folder, read_only=True) as study:
        ids = sorted(case.id for case in study.cases(split=Split.TRAIN))
    return ",".join(ids[int(i * len(ids) / n)] for i in range(n))


def train_start(folder: Path, labelled: str, iterations: int) -> None:
    """Train the network that the arms go on from, once; a study's first model is promoted by itself."""
    with Study.open(folder, read_only=True) as study:
        if study.promoted() is not None:
            return
    words = ["train", str(folder), "--strategy", "supervised", "--labelled", labelled]
    words += ["--set", f"duration={iterations} iterations", "--set", f"batch_size={RECIPE['batch_size']}"]
    if subprocess.run([sys.executable, "-W", "ignore", "-m", "napari_ssl", *words]).returncode:
        raise SystemExit("the start network was not trained")


def default_arms(n_labelled: int) -> str:
    """Every strategy that trains by steps and needs no classifier of curves; as many folds as patients allow."""
    arms = {n: n for n, e in STRATEGIES.items() if not e.uses_qc and duration_parameters(e)}
    if n_labelled < 5:
        arms["teacher-student"] += f":folds={n_labelled};best={max(1, n_labelled - 1)}"
    return ",".join(["supervised", *(word for name, word in arms.items() if name != "supervised")])


def compare_words(study: Path, options: argparse.Namespace, out: Path) -> list[str]:
    words = [
        "compare",
        str(study),
        "--arms",
        options.arms or default_arms(_n_labelled(options)),
        "--seeds",
        str(options.seeds),
    ]
    words += ["--iterations", str(options.iterations), "--out", str(out), "--paper-protocol"]
    words += ["--labelled", options.labelled or spread_labelled(study, options.n_labelled)]
    words += ["--from-promoted"] if options.start_iterations else []
    for name, value in RECIPE.items():
        words += ["--set", f"{name}={value}"]
    return words + options.more


def _n_labelled(options: argparse.Namespace) -> int:
    return len(options.labelled.split(",")) if options.labelled else options.n_labelled


def markdown(document: dict[str, Any], words: list[str]) -> str:
    """The table of a comparison for people who read text."""
    plan, scores = document["plan"], document["scores"]
    labelled = next(run["labelled"] for run in document["runs"] if run["arm"] == document["baseline"])
    after = ", all from one supervised network" if plan.get("from_promoted") else ""
    lines = [
        "# ACDC cine: all strategies with equal budgets",
        "",
        f"{plan['iterations']} optimiser steps for each arm{after}, {len(plan['seeds'])} seeds; {', '.join(labelled)} "
        f"labelled; {len(document['subjects'])} test patients, ED and ES. Mean (SD) over patients; p: paired t-test of "
        f"the mean Dice against {document['baseline']}, Holm; ± over seeds.",
        "",
        "| arm | "
        + " | ".join(f"Dice {s}" for s in document["structures"])
        + " | Dice | ± | change [95 %] | p | HD95 mm | ASD mm | NSD | EF error LV | EF error RV | training | memory |",
        "|---|" + "---|" * (len(document["structures"]) + 12),
    ]
    for arm in document["arms"]:
        dice = [_mean_sd(scores["dice"][s][arm], 3) for s in document["structures"]]
        whole = scores["dice"]["mean"][arm]
        rest = [_mean_sd(scores[q]["mean"][arm], d) for q, d in (("hd95_mm", 1), ("asd_mm", 2), ("nsd", 3))]
        ef = [_ef(document, arm, v) for v in ("lv", "rv")]
        cost = document["efficiency"][arm]
        spent = [f"{cost['training_seconds']:.0f} s", f"{cost['peak_memory_mib']:.0f} MiB"]
        cells = [*dice, _mean_sd(whole, 3), _number(whole["seed_sd"], 3), *_change(whole), *rest, *ef, *spent]
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    lines += [f"\n{run}: failed, {why}" for run, why in document["failed"].items()]
    for arm, points in document.get("minutes", {}).items():
        lines.append(f"\n{arm}: " + ", ".join(f"{p['dice']:.3f} after {p['minutes']:.0f} min" for p in points))
    return "\n".join([*lines, "", "```", "napari-ssl " + shlex.join(words), "```", ""])


def _change(row: dict[str, Any]) -> list[str]:
    against = row.get("against")
    if not against or against["low"] is None:
        return ["–", "–"]
    interval = f"{against['difference']:+.3f} [{against['low']:+.3f}, {against['high']:+.3f}]"
    p = against["t"]["p_holm"]
    return [interval, "<0.001" if p is not None and p < 0.001 else _number(p, 3)]


def _ef(document: dict[str, Any], arm: str, ventricle: str) -> str:
    row = document["clinical"].get(f"{ventricle}_ef_percent", {}).get("arms", {}).get(arm)
    return "–" if row is None else _number(row["error"]["mean"], 1)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _mean_sd(row: dict[str, Any], digits: int) -> str:
    return _number(row["mean"], digits) + (f" ({_number(row['sd'], digits)})" if row["sd"] is not None else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--arms", help="as napari-ssl compare; by default every strategy")
    parser.add_argument("--start-iterations", type=int, default=900)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--n-labelled", type=int, default=3)
    parser.add_argument("--labelled", help="CASE,… instead of an even choice")
    parser.add_argument("--out", type=Path, help="keep study and comparison here; by default they are temporary")
    parser.add_argument("--table", type=Path, help="write the Markdown table here instead of printing it")
    parser.add_argument("more", nargs="*", help="options of napari-ssl compare, after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.out or Path(temporary)).resolve()
        make_study(options.data.resolve(), folder / "study")
        if options.start_iterations:
            labelled = options.labelled or spread_labelled(folder / "study", options.n_labelled)
            train_start(folder / "study", labelled, options.start_iterations)
        words = compare_words(folder / "study", options, folder / "comparison")
        status = subprocess.run([sys.executable, "-W", "ignore", "-m", "napari_ssl", *words]).returncode
        if status:
            raise SystemExit(status)
        document = json.loads((folder / "comparison" / "comparison.json").read_text())
    shown = ["STUDY" if w == str(folder / "study") else "OUT" if w == str(folder / "comparison") else w for w in words]
    text = markdown(document, shown)
    if options.table:
        options.table.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
