"""The loop's training arms on the ACDC cine patients: 3, 7 and all labelled, and alternating-crf with 3 + unlabelled.

Every arm takes the same number of optimiser steps, the same augmentation and the same post-processing (dense CRF), and
runs in a process of its own through the command line, so that time and memory are the program's.

    python benchmarks/acdc_cine.py --data FOLDER [--iterations 600] [--seed 0] [--out FOLDER] [--json]

FOLDER holds the cine patients in the ACDC layout with ``cases.csv``; its validation patients are what is reported.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def command(*words: str) -> Any:
    """Run one ``napari-ssl`` command and return its JSON document."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "napari_ssl", *words, "--json"], stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def spread(ids: list[str], n: int) -> list[str]:
    """Choose `n` of the ids evenly: ACDC numbers its five groups one after the other."""
    return [ids[int(i * len(ids) / n)] for i in range(n)]


def arms(ids: list[str], iterations: int) -> dict[str, list[str]]:
    """Words for ``napari-ssl train`` by arm."""
    supervised = ["--strategy", "supervised", "--set", f"duration={iterations} iterations"]
    initial = iterations // 2
    each = (iterations - initial) // 3
    recipe = ["loss=dice-cross-entropy", "optimiser=adamw", "schedule=poly", "augmentation=strong", "weight_decay=1e-4"]
    alternating = ["--strategy", "alternating-crf"]
    for setting in (f"initial={initial} iterations", f"per_alternation={each} iterations", "alternations=3", *recipe):
        alternating += ["--set", setting]
    return {
        "supervised, 3 labelled": [*supervised, "--labelled", ",".join(spread(ids, 3))],
        "alternating-crf, 3 labelled + the rest": [*alternating, "--labelled", ",".join(spread(ids, 3))],
        "supervised, 7 labelled": [*supervised, "--labelled", ",".join(spread(ids, 7))],
        "supervised, all labelled": supervised,
    }


def run(data: Path, out: Path, iterations: int, seed: int) -> dict[str, Any]:
    """Import, train every arm, gather the figures."""
    study = str(out / "study")
    command("study", "new", study, "--labels", "acdc", "--crop", "112", "112")
    started = time.monotonic()
    imported = command("study", "import", study, str(data), "--layout", "acdc")
    report: dict[str, Any] = {
        "import_seconds": round(time.monotonic() - started, 1),
        "n_imported": len(imported["added"]),
        "iterations": iterations,
        "seed": seed,
        "arms": {},
    }
    train_ids = sorted(_training_ids(study))
    peak_before = 0.0
    for name, words in arms(train_ids, iterations).items():
        started = time.monotonic()
        result = command("train", study, *words, "--seed", str(seed))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        mean = result["metrics"]["validation"]["mean"]
        report["arms"][name] = {
            "dice": mean["dice"],
            "mean_dice": mean["mean_dice"],
            "hd95_mm": mean["hd95_mm"],
            "ef_abs_error_points": mean["ef_abs_error_points"],
            "seconds": round(time.monotonic() - started, 1),
            "peak_memory_mib_at_most": round(max(peak, peak_before)),
        }
        peak_before = max(peak, peak_before)
        sys.stderr.write(f"{name}: {report['arms'][name]}\n")
    return report


def _training_ids(study: str) -> list[str]:
    from napari_ssl.core.case import Split
    from napari_ssl.study.study import Study

    with Study.open(study, read_only=True) as opened:
        return [case.id for case in opened.cases(split=Split.TRAIN)]


def table(report: dict[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    rows = [
        f"Import of {report['n_imported']} patients: {report['import_seconds']} s. "
        f"{report['iterations']} optimiser steps per arm, seed {report['seed']}.",
        "",
        "| arm | Dice LV | Dice Myo | Dice RV | mean | EF error LV | EF error RV | time | memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, arm in report["arms"].items():
        dice, ef = arm["dice"], arm["ef_abs_error_points"]
        rows.append(
            f"| {name} | {dice['LV']:.3f} | {dice['Myo']:.3f} | {dice['RV']:.3f} | {arm['mean_dice']:.3f} | "
            f"{ef['LV']:.1f} | {ef['RV']:.1f} | {arm['seconds']:.0f} s | {arm['peak_memory_mib_at_most']} MiB |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--iterations", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="keep the study here; by default it is temporary")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        report = run(options.data.resolve(), options.out or Path(temporary), options.iterations, options.seed)
    print(json.dumps(report) if options.json else table(report))


if __name__ == "__main__":
    main()
