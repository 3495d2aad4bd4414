"""The public protocol for ACDC with few labels: 3 and 7 labelled of 70 patients, 256×256, 30,000 steps, last weights.

For a GPU: on a CPU a step of 24 slices takes seconds. Slices are resampled to 1.5 mm and cut to 256×256, the ten public
validation patients are what is compared (nothing is chosen by them), every arm begins with random weights and keeps
its last ones; labelled patients are spread evenly over ACDC's five groups.

    python benchmarks/acdc_ed_es.py --data FOLDER [--labelled 3,7] [--arms ARM,…] [--iterations 30000] [--seeds 3]
                                    [--out FOLDER] [--table FILE] [-- OPTION OF COMPARE …]

FOLDER holds the whole-field ED and ES volumes in the ACDC layout. Called again with the same ``--out`` it goes on. The
best published: 89.7 with 3 and 90.5 with 7 labelled patients, on the public test patients, which are not these.
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

from acdc_cine import markdown

from napari_ssl.core.case import Split
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.training import Preprocessing
from napari_ssl.io.layouts import scan
from napari_ssl.study.study import Study

VALIDATION = tuple(f"patient{n:03d}" for n in (2, 19, 28, 30, 39, 45, 78, 82, 85, 87))
ARMS = "supervised,mean-teacher-copy-paste,weak-to-strong"
SETTINGS = {"batch_size": "24", "augmentation": "strong", "keep": "last"}


def make_study(data: Path, folder: Path, *, pixel_mm: float, side: int) -> None:
    """Import the volumes once; the public validation patients are for testing."""
    if folder.exists():
        return
    preprocessing = Preprocessing(pixel_spacing_mm=pixel_mm, crop_yx=(side, side))
    items = [
        dataclasses.replace(item, split=Split.TEST if item.subject_id in VALIDATION else Split.TRAIN)
        for item in scan(data, "acdc")
    ]
    with Study.create(folder, label_scheme=PRESETS["acdc"], preprocessing=preprocessing) as study:
        failed = study.add_cases(items).failed
    if failed:
        raise SystemExit(f"{len(failed)} volumes could not be imported; the first: {failed[0][1]}")


def labelled_cases(folder: Path, n: int) -> str:
    """ED and ES of `n` training patients, chosen evenly: ACDC numbers its five groups one after the other."""
    with Study.open(folder, read_only=True) as study:
        cases = study.cases(split=Split.TRAIN)
    subjects = sorted({case.subject_id for case in cases})
    chosen = {subjects[int(i * len(subjects) / n)] for i in range(n)}
    return ",".join(sorted(case.id for case in cases if case.subject_id in chosen))


def compare(study: Path, n: int, options: argparse.Namespace, out: Path) -> str:
    """Run the comparison with `n` labelled patients; its table."""
    words = ["compare", str(study), "--arms", options.arms, "--seeds", str(options.seeds), "--paper-protocol"]
    words += ["--iterations", str(options.iterations), "--out", str(out), "--labelled", labelled_cases(study, n)]
    for name, value in SETTINGS.items():
        words += ["--set", f"{name}={value}"]
    words += options.more
    if status := subprocess.run([sys.executable, "-W", "ignore", "-m", "napari_ssl", *words]).returncode:
        raise SystemExit(status)
    shown = ["STUDY" if w == str(study) else "OUT" if w == str(out) else w for w in words]
    text = markdown(json.loads((out / "comparison.json").read_text()), shown)
    return text.replace("# ACDC cine: all strategies with equal budgets", f"## {n} labelled patients")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--labelled", default="3,7", help="numbers of labelled patients")
    parser.add_argument("--arms", default=ARMS, help="as napari-ssl compare")
    parser.add_argument("--iterations", type=int, default=30_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pixel-mm", type=float, default=1.5)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--out", type=Path, help="keep study and comparisons here; by default they are temporary")
    parser.add_argument("--table", type=Path, help="write the Markdown tables here instead of printing them")
    parser.add_argument("more", nargs="*", help="options of napari-ssl compare, after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.out or Path(temporary)).resolve()
        make_study(options.data.resolve(), folder / "study", pixel_mm=options.pixel_mm, side=options.side)
        parts = [
            compare(folder / "study", n, options, folder / f"labelled{n}")
            for n in (int(word) for word in options.labelled.split(","))
        ]
    given = [
        f"--{name}={getattr(options, name.replace('-', '_'))}"
        for name in ("labelled", "iterations", "pixel-mm", "side")
    ]
    command = shlex.join(["python", "benchmarks/acdc_ed_es.py", "--data", "FOLDER", *given])
    text = "\n".join(["# ACDC, ED and ES with few labels", "", *parts, "```", command, "```", ""])
    if options.table:
        options.table.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
