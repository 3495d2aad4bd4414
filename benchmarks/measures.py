"""What measuring and the plausibility rules cost, and how often the rules cry wolf on experts' labels.

    python benchmarks/measures.py [--data FOLDER] [--json]

A segmentation of 50 x 12 x 210 x 210 (a UK Biobank stack) is made from the phantom; FOLDER holds `acdc_cine` and
`acdc_ed_es` (expert labels of end-diastole and end-systole). Times are the best of five, on one core.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.measures.curves import indices, volume_curves
from napari_ssl.measures.rules import RULES, check_segmentation
from napari_ssl.phantom import make_sample_cohort, random_heart, render

ACDC = PRESETS["acdc"]
SHAPE, SPACING = (50, 12, 210, 210), (8.0, 1.8, 1.8)


def best_of(n: int, action: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(n):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def stack() -> np.ndarray:
    heart = random_heart(np.random.default_rng(0), "normal")
    case = render(
        heart,
        n_frames=SHAPE[0],
        n_slices=SHAPE[1],
        matrix_yx=SHAPE[2:],
        spacing_zyx_mm=SPACING,
        rng=np.random.default_rng(0),
    )
    return case.labels


def times() -> dict[str, Any]:
    labels = stack()

    def measure() -> None:
        indices(volume_curves("a", labels, ACDC, SPACING), ACDC)

    each = {name: best_of(3, lambda n=name: check_segmentation(labels, ACDC, SPACING, rules=[n])) for name in RULES}
    return {
        "shape": list(labels.shape),
        "measure_s": best_of(5, measure),
        "rules_s": best_of(5, lambda: check_segmentation(labels, ACDC, SPACING)),
        "each_rule_s": each,
    }


def two_frames(folder: Path) -> tuple[np.ndarray, tuple[float, ...]]:
    images = [SimpleITK.ReadImage(str(f)) for f in sorted(folder.glob("*_gt.nii.gz"))]
    return np.stack([SimpleITK.GetArrayFromImage(i) for i in images]).astype(np.uint8), images[0].GetSpacing()[::-1]


def false_alarms(folders: list[Path]) -> dict[str, Any]:
    flagged, by_rule = {}, Counter()
    for folder in folders:
        labels, spacing = two_frames(folder)
        flags = check_segmentation(labels, ACDC, spacing, ed_frame=0, es_frame=1)
        if flags:
            flagged[folder.name] = [f.message for f in flags]
            by_rule.update({f.rule for f in flags})
    return {"n": len(folders), "flagged": len(flagged), "by_rule": dict(by_rule), "messages": flagged}


def phantoms() -> dict[str, Any]:
    flagged, n = {}, 0
    for member in make_sample_cohort():
        n += 1
        case = member.case
        flags = check_segmentation(case.labels, ACDC, case.spacing_zyx_mm, frame_interval_ms=case.frame_interval_ms)
        if flags:
            flagged[member.subject_id] = [f.message for f in flags]
    return {"n": n, "flagged": len(flagged), "messages": flagged}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    document: dict[str, Any] = {"times": times(), "phantom_cycles": phantoms()}
    if options.data is not None:
        cine = sorted((options.data / "acdc_cine").glob("patient*"))
        names = {p.name for p in cine}
        others = [p for p in sorted((options.data / "acdc_ed_es").glob("patient*")) if p.name not in names]
        document["acdc_cine"] = false_alarms(cine)
        document["acdc_other_patients"] = false_alarms(others)
    if options.json:
        print(json.dumps(document, ensure_ascii=False))
        return
    cost = document["times"]
    print(
        f"{' x '.join(map(str, cost['shape']))}: measured in {cost['measure_s']:.3f} s, rules {cost['rules_s']:.3f} s"
    )
    print("  " + ", ".join(f"{name} {s:.3f}" for name, s in cost["each_rule_s"].items()))
    for name in ("phantom_cycles", "acdc_cine", "acdc_other_patients"):
        if name in document:
            found = document[name]
            print(f"{name}: {found['flagged']} of {found['n']} flagged {found.get('by_rule', '')}")
            for case, messages in found["messages"].items():
                print(f"  {case}: {' '.join(messages)}")


if __name__ == "__main__":
    main()
