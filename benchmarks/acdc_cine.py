"""The loop's training arms on the ACDC cine patients: 3, 7 and all labelled, and alternating-crf with 3 + unlabelled.

The first arm trains N steps on three labelled patients. Alternating-crf goes on from there for N steps (three
alternations), and so does its control, which sees the three alone; 7 and all labelled take 2 N steps from scratch.
Augmentation, loss, optimiser and post-processing (dense CRF) are the same. Every arm runs in a process of its own
through the command line, so that time and memory are the program's.

    python benchmarks/acdc_cine.py --data FOLDER [--iterations N] [--seed 0] [--out FOLDER] [--json]

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


def arms(ids: list[str], n: int) -> dict[str, list[str]]:
    """Words for ``napari-ssl train`` by arm."""

    def supervised(steps: int, labelled: list[str], *, goes_on: bool = False) -> list[str]:
        words = ["--strategy", "supervised", "--set", f"duration={steps} iterations"]
        words += ["--set", f"from_scratch={'no' if goes_on else 'yes'}"]
        return words + (["--labelled", ",".join(labelled)] if labelled else [])

    alternating = ["--strategy", "alternating-crf", "--preset", "quick", "--set", "learning_rate=0.001"]
    alternating += ["--set", f"per_alternation={n // 3} iterations", "--labelled", ",".join(spread(ids, 3))]
    return {
        "supervised, 3 labelled, N steps": supervised(n, spread(ids, 3)),
        "the same, N steps more": supervised(n, spread(ids, 3), goes_on=True),
        "alternating-crf from there, N steps, 19 unlabelled": alternating,
        "supervised, 7 labelled, 2 N steps": supervised(2 * n, spread(ids, 7)),
        "supervised, 22 labelled, 2 N steps": supervised(2 * n, []),
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
        f"N = {report['iterations']} optimiser steps, seed {report['seed']}.",
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
    parser.add_argument("--iterations", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="keep the study here; by default it is temporary")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        report = run(options.data.resolve(), options.out or Path(temporary), options.iterations, options.seed)
    print(json.dumps(report) if options.json else table(report))


if __name__ == "__main__":
    main()
