"""The five arms of Ruijsink 2020 on the ACDC cine patients, and two with a committee: full cycles, true spacing.

Builds the study of `acdc_cine.py`, trains a classifier of curves on simulated faults (nobody has rated these curves)
and compares the arms: ``full`` learns from all labelled patients, the others from half of them; the pool is every
other training patient, of whom N join with whole cycles. As in the paper every network is trained equally long, so that
the arms that train a second one take twice the optimiser steps of ``half`` and ``full``; ``committee`` and ``both``
train a third, whose Dice with the first ranks the pool (for ``both`` among the cases whose curves pass). Simulated
faults are made in the training patients' own cycles, those of the pool among them: the classifier has seen their
curves.

    python benchmarks/semi_qc_seg.py --data FOLDER [--n-labelled 10] [--n-cases 4] [--iterations 300] [--seeds 3]
                                     [--out FOLDER] [--table benchmarks/semi_qc_seg.md]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from acdc_cine import RECIPE, make_study, markdown

ARMS = {
    "half": "arm=half",
    "full": "arm=full",
    "without-qc": "arm=without-qc",
    "without-qc-crf": "arm=without-qc-crf",
    "qc": "arm=qc",
    "committee": "arm=qc;evidence=committee",
    "both": "arm=qc;evidence=both",
}


def command(*words: str) -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-m", "napari_ssl", *words])
    if done.returncode:
        raise SystemExit(done.returncode)


def arms(n_cases: int) -> str:
    """The arms of Sec. 3.2 and the committee's; the first is the baseline."""
    return ",".join(f"semi-qc-seg:name={n};{v};labelled_share=0.5;n_cases={n_cases}" for n, v in ARMS.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--n-labelled", type=int, default=10)
    parser.add_argument("--n-cases", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="keep study and comparison here; by default they are temporary")
    parser.add_argument("--table", type=Path, help="write the Markdown table here instead of printing it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.out or Path(temporary)).resolve()
        study, out = folder / "study", folder / "comparison"
        if not study.exists():
            make_study(options.data.resolve(), study)
            command("qc", "train", str(study), "--set", "learning_curve=no")
        words = ["compare", str(study), "--arms", arms(options.n_cases), "--seeds", str(options.seeds)]
        words += ["--iterations", str(options.iterations), "--n-labelled", str(options.n_labelled), "--out", str(out)]
        for name, value in RECIPE.items():
            words += ["--set", f"{name}={value}"]
        command(*words)
        document = json.loads((out / "comparison.json").read_text())
    shown = ["STUDY" if w == str(study) else "OUT" if w == str(out) else w for w in words]
    title = "# ACDC cine: the five arms of Ruijsink 2020, and a committee"
    text = "\n".join([title, *markdown(document, shown).splitlines()[1:]]) + "\n"
    if options.table:
        options.table.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
