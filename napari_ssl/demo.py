"""The main job on the sample study: one whole loop, then the workspace, or a policy in the clinician's place.

::

    phantom images → study → baseline (supervised) → pseudo-labels of every frame, CRF, volume curves
        → clinician | oracle → retraining → old and new model on the test cases → report
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_ssl.core.case import Split
from napari_ssl.core.curve import VolumeCurve
from napari_ssl.core.job import Event, EventKind
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.segmentation import Segmentation
from napari_ssl.core.training import Preprocessing
from napari_ssl.errors import StudyError
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.jobs.runner import run_here
from napari_ssl.measures.curves import volume_curves
from napari_ssl.measures.evaluation import compare
from napari_ssl.report.round_report import write_round_report
from napari_ssl.rounds import prediction_spec, review_by_policy, training_spec
from napari_ssl.rounds.policy_review import read_truth_folder
from napari_ssl.study.settings import SETTINGS_FILE
from napari_ssl.study.study import Study

__all__ = ["has_display", "lines", "run"]

_MARKER = "demo.json"
_PARTS = ("images", "study", "report")
_CROP = (80, 80)
_BASELINE = {"duration": "400 iterations", "validate_every": 100}
_RETRAINING = {"alternations": 3, "per_alternation": "100 iterations", "validate_every": 100}
_ORACLE = {"accept_dice": 0.85, "correct_cases": 4, "review_cases": 8}

Say = Callable[[str], None]


def has_display() -> bool:
    """Whether a window can be shown."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def run(out: Path, *, headless: bool, seed: int, say: Say) -> dict[str, Any]:
    """Run the loop under `out`: up to the clinician's turn, or headless to the report.

    A former demo in `out` is replaced headless, and opened again otherwise.

    Returns
    -------
    dict
        The report: ``study``, ``seconds`` by step, ``baseline`` and, headless, ``verdicts``, ``retrained``,
        ``comparison`` and ``report``.

    Raises
    ------
    StudyError
        `out` holds something else.
    """
    out = out.resolve()
    former = read_document(out / _MARKER)
    if former is not None and not headless and "study" in former:
        say(f"Opening the demo study of before: {out / 'study'}")
        return {**former, "study": str(out / "study")}
    _make_room(out)
    say(
        f"This takes some {'six' if headless else 'three'} minutes on two processor cores that have nothing else to do."
    )
    clock = _Clock(say)
    study = _make_study(out, seed, clock)
    with study:
        baseline = _work(
            study, training_spec(study, strategy="supervised", overrides=_BASELINE, seed=seed), clock, "baseline"
        )
        _work(study, prediction_spec(study), clock, "pseudo-labels, CRF and curves")
        document: dict[str, Any] = {
            "study": str(study.folder),
            "headless": headless,
            "seed": seed,
            "baseline": {"model_id": baseline["model_id"], "mean": baseline["validation"]},
            "seconds": clock.seconds,
        }
        if headless:
            _second_round(study, out, baseline, document, clock, seed)
    document["total_seconds"] = round(sum(clock.seconds.values()), 1)
    write_document(out / _MARKER, document)
    return document


def _make_room(out: Path) -> None:
    """Remove a former demo, never anything else and never what a person entered; leave the marker of a demo begun."""
    there = {p.name for p in out.iterdir()} if out.is_dir() else set()
    if (there and _MARKER not in there) or there - {_MARKER, *_PARTS}:
        raise StudyError(f"{out}: holds files that no demo has made; give --out a folder that is new or empty")
    if (out / "study" / SETTINGS_FILE).exists():
        with Study.open(out / "study", read_only=True) as study:
            people = sorted({d.reader for d in study.decisions() if not d.reader.startswith("policy:")})
        if people or any((out / "study" / "journal").glob("*")):
            raise StudyError(
                f"{out}: holds a demo with decisions or strokes of {', '.join(people) or 'a reader'}; "
                "give --out another folder, or remove this one"
            )
    for part in _PARTS:
        if (out / part).exists():
            shutil.rmtree(out / part)
    write_document(out / _MARKER, {"unfinished": True})


class _Clock:
    """Says what begins and remembers how long each step took."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.seconds: dict[str, float] = {}

    def measure(self, step: str, action: Callable[[], Any]) -> Any:
        self.say(f"… {step}")
        started = time.monotonic()
        result = action()
        self.seconds[step] = round(time.monotonic() - started, 1)
        self.say(f"  {step}: {self.seconds[step]:.0f} s")
        return result


def _make_study(out: Path, seed: int, clock: _Clock) -> Study:
    from napari_ssl.io.layouts import scan
    from napari_ssl.phantom import write_sample_study_files

    clock.measure("sample images", lambda: write_sample_study_files(out / "images", seed=seed))
    study = Study.create(
        out / "study", label_scheme=PRESETS["acdc"], preprocessing=Preprocessing(crop_yx=_CROP), name="Sample study"
    )
    report = clock.measure("import", lambda: study.add_cases(scan(out / "images", "acdc")))
    if report.failed:
        raise StudyError(f"{report.failed[0][0]}: {report.failed[0][1]}")
    return study


def _work(study: Study, spec: Any, clock: _Clock, step: str) -> dict[str, Any]:
    def tell(event: Event) -> None:
        if event.kind is EventKind.NOTICE:
            clock.say(f"  {event.data['message']}")
        elif event.data.get("validation_dice"):
            dice = ", ".join(f"{k} {v:.3f}" for k, v in event.data["validation_dice"].items() if v is not None)
            clock.say(f"  {event.data['step']}, iteration {event.data['iteration']}: validation Dice {dice}")

    return clock.measure(step, lambda: run_here(study, spec, tell, lambda: False))


def _second_round(
    study: Study, out: Path, baseline: dict[str, Any], document: dict[str, Any], clock: _Clock, seed: int
) -> None:
    """The oracle decides, the network is retrained, old and new model are compared, the cohort is relabelled."""
    references = read_truth_folder(study, out / "images" / "truth")
    document["verdicts"] = clock.measure(
        "review by the stand-in, who knows the true labels",
        lambda: review_by_policy(study, "oracle", _ORACLE, references),
    )
    old = {c.id: p for c in study.cases(split=Split.TRAIN) if (p := study.proposal(c.id)) is not None}
    spec = training_spec(study, strategy="alternating-crf", preset="quick", overrides=_RETRAINING, seed=seed)
    retrained = _work(study, spec, clock, "retraining")
    document["retrained"] = {"model_id": retrained["model_id"], "mean": retrained["validation"]}
    document["comparison"] = compare(baseline["metrics"]["test"], retrained["metrics"]["test"])
    if document["comparison"]["dice"]["mean"]["difference"] > 0:
        study.promote(retrained["model_id"], by="demo: better mean Dice on the test cases")
    _work(study, prediction_spec(study, model_id=retrained["model_id"], cases=sorted(old)), clock, "relabelling")
    folder = out / "report"
    clock.measure("report", lambda: _write_report(study, folder, document, old, references))
    document["report"] = str(folder / "report.json")


def _write_report(
    study: Study, folder: Path, document: dict[str, Any], old: dict[str, Segmentation], references: dict[str, Any]
) -> None:
    from napari_ssl.io.images import read_image, read_labels

    curves: dict[str, dict[str, dict[str, VolumeCurve]]] = {}
    overlays = []
    for case in study.cases(ids=sorted(old)):
        new = study.proposal(case.id)
        truth = read_labels(references[case.id]["path"])
        labels = {"old": study.read_labels(old[case.id]), "new": study.read_labels(new), "truth": truth}
        curves[case.id] = {
            which: volume_curves(
                case.id,
                array,
                study.label_scheme,
                case.spacing_zyx_mm,
                frame_interval_ms=case.frame_interval_ms,
                ed_frame=case.ed_frame,
                es_frame=case.es_frame,
            )
            for which, array in labels.items()
        }
        frame = next(iter(curves[case.id]["truth"].values())).es_frame or 0
        z = case.n_slices // 2
        image = read_image(case.image_path).data[frame, z]
        overlays.append((case.id, frame, z, image, *(labels[w][frame, z] for w in ("old", "new", "truth"))))
    write_round_report(folder, document, scheme=study.label_scheme, curves=curves, overlays=overlays)


def lines(report: dict[str, Any]) -> list[str]:
    """Tell the report in a few lines."""
    text = [f"Study: {report['study']}"]
    if "comparison" not in report:
        return [*text, "Round 1 waits for your review."]
    comparison = report["comparison"]
    text.append("The stand-in decided: " + ", ".join(f"{verdict} {n}" for verdict, n in report["verdicts"].items()))
    text.append(
        f"Test cases ({comparison['n_subjects']} subjects), "
        f"{report['baseline']['model_id']} → {report['retrained']['model_id']}:"
    )
    for name, d in comparison["dice"].items():
        interval = "" if d["low"] is None else f" (95 % interval {d['low']:+.3f} to {d['high']:+.3f})"
        text.append(f"  Dice {name:5} {d['old']:.3f} → {d['new']:.3f}, {d['difference']:+.3f}{interval}")
    for name, d in comparison["ef_abs_error_points"].items():
        text.append(f"  EF error {name:5} {d['old']:.1f} → {d['new']:.1f} percentage points")
    text.append(f"Report: {report['report']}; {report['total_seconds']:.0f} s in all")
    return text
