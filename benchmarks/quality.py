"""Quality control by volume curves: what the classifier finds, how quickly, and what its settings were chosen by.

``simulated``  1,000 curve sets of 250 phantom subjects, half with a fault: five folds by subject, figures on subjects
               never seen with 95 % intervals over subjects; learning curve, calibration, sensitivity by kind of fault.
``aorta``      the same for the classifier of aortic area, on analytic curves.
``length``     cycles resampled against cycles masked, on the same two folds.
``cine``       errors that networks make which are stopped early. Three networks learn from eight ACDC patients and
               label the full cycles of the others at several numbers of steps; a segmentation is erroneous below a mean
               Dice of 0.8 at ED and ES. One classifier has seen simulated faults alone, the other also the curves of
               other patients (folds by patient). AUC also against errors that are worse (Dice below 0.7, below 0.5) and
               on the patients that no setting was chosen by (every second one, from the second). Beside them the
               committee: Dice predicted from the disagreement with one other network, or with both, patients held out
               one by one.
``speed``      10,000 curve sets scored on one thread.

    python benchmarks/quality.py [--parts simulated,aorta,length,cine,speed] [--data FOLDER] [--sets 1000]
                                 [--keep FILE] [--steps 40,100,250] [--network-share 0.5] [--seed 0] [--json]

FOLDER holds the cine patients in the ACDC layout with ``cases.csv``; the part ``cine`` needs it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from napari_ssl.core.catalogue import FitParameters
from napari_ssl.core.label_scheme import PRESETS, LabelScheme
from napari_ssl.core.quality import CurveExample, QcParameters
from napari_ssl.core.training import Preprocessing
from napari_ssl.inference.labelling import label_image
from napari_ssl.inference.preprocess import normalise
from napari_ssl.io.images import read_image, read_labels
from napari_ssl.io.layouts import scan
from napari_ssl.measures.agreement import mean_dice
from napari_ssl.measures.curves import volume_curves
from napari_ssl.networks import build_network
from napari_ssl.qc.classifier import new_classifier
from napari_ssl.qc.data import folds_by_subject, gather
from napari_ssl.qc.evaluate import (
    Calibration,
    area_under_curve,
    bootstrap,
    calibration_curve,
    evaluate,
    fit_calibration,
    operating_threshold,
    rates,
)
from napari_ssl.qc.fitting import fit, logits_of
from napari_ssl.qc.inputs import N_PER_STRUCTURE
from napari_ssl.qc.learning import learning_curve
from napari_ssl.qc.predicted_dice import disagreement, fit_dice_predictor
from napari_ssl.qc.score import score_curves
from napari_ssl.qc.simulation import simulate
from napari_ssl.qc.store import Classifier
from napari_ssl.qc.train import cross_validate
from napari_ssl.training.dataset import SliceStore
from napari_ssl.training.loop import fit as fit_network

ACDC = PRESETS["acdc"]
KIND = "short-axis"
STEPS = (40, 100, 250)
MEMBERS = 3
N_TAUGHT = 8
ERRONEOUS_BELOW = 0.8


def told(part: str, started: float) -> None:
    sys.stderr.write(f"{part}: {time.monotonic() - started:.0f} s, {time.process_time():.0f} s of CPU so far\n")


def at_specificity(probability: np.ndarray, good: np.ndarray, subjects: Any, least: float) -> dict[str, Any]:
    """Sensitivity at the most sensitive threshold with at least this specificity, with intervals by subject."""
    threshold = float(np.quantile(probability[good], 1 - least, method="lower"))
    sensitivity, specificity = rates(probability, good, threshold)
    found = bootstrap(probability, good, subjects, threshold)
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "intervals": {k: [round(v, 3) for v in found[k]] for k in ("sensitivity", "specificity")},
    }


def judged(score: np.ndarray, dice: np.ndarray, subjects: np.ndarray, rows: np.ndarray | None = None) -> dict[str, Any]:
    """AUC of a score for a Dice from 0.8 on, with its interval by subject, also against worse errors alone."""
    if rows is not None:
        score, dice, subjects = score[rows], dice[rows], subjects[rows]
    good = dice >= ERRONEOUS_BELOW
    found: dict[str, Any] = {"n": len(dice), "n_good": int(good.sum())}
    if 0 < good.sum() < len(good):
        interval = bootstrap(score, good, subjects.tolist(), 0.0)["auc"]
        found |= {"auc": area_under_curve(score, good), "auc_interval": [round(v, 3) for v in interval]}
        found["at_specificity_80"] = at_specificity(score, good, subjects.tolist(), 0.8)
        for limit in (0.7, 0.5):
            clear = good | (dice < limit)
            if not good[clear].all():
                found[f"auc_against_below_{limit}"] = area_under_curve(score[clear], good[clear])
    found["rank_correlation_with_dice"] = float(spearmanr(score, dice).statistic)
    return found


def simulated(
    n: int, seed: int, kind: str = KIND, scheme: LabelScheme = ACDC, network_share: float = 0.0
) -> tuple[dict[str, Any], Any]:
    started = time.monotonic()
    examples, faults, provenance = simulate(kind, scheme, n, seed, network_share=network_share)
    told("simulation", started)
    parameters = QcParameters()
    data = gather(examples, scheme, kind, parameters)
    logits, epochs, _ = cross_validate(data, parameters, seed)
    told("folds", started)
    calibrations = {}
    for method in ("none", "temperature", "platt"):  # fitted on one half of the subjects, measured on the other
        half = np.isin(data.subjects, np.unique(data.subjects)[::2])
        found = fit_calibration(logits[half], data.good[half], method)
        curve = calibration_curve(found.probability(logits[~half]), data.good[~half])
        calibrations[method] = {k: round(curve[k], 4) for k in ("expected_error", "brier")}
    probability = fit_calibration(logits, data.good, parameters.calibration).probability(logits)
    weights = {}
    for w in (0.5, 0.6, 0.7, 0.8, 0.9):
        threshold = operating_threshold(probability, data.good, w)
        weights[str(w)] = [round(v, 3) for v in rates(probability, data.good, threshold)]
    threshold = operating_threshold(probability, data.good, parameters.sensitivity_weight)
    report = evaluate(probability, data.good, data.subjects.tolist(), threshold)
    at80 = at_specificity(probability, data.good, data.subjects, 0.8)
    limit = np.quantile(probability[data.good], 0.2, method="lower")
    kinds, found_kinds = Counter(), Counter()
    for example, p in zip(examples, probability, strict=True):
        if not example.good:
            kinds[faults[example.id].kind] += 1
            found_kinds[faults[example.id].kind] += p < limit
    report_ = {k: report[k] for k in ("n", "n_subjects", "auc", "sensitivity", "specificity", "intervals", "confusion")}
    points = learning_curve(data, parameters, seed, epochs=int(np.median(epochs)))
    told("learning curve", started)
    return {
        **report_,
        "at_specificity_80": at80,
        "sensitivity_by_fault": {k: f"{found_kinds[k]}/{kinds[k]}" for k in sorted(kinds)},
        "youden_weight": weights,
        "calibration": calibrations,
        "learning_curve": points,
        "epochs": epochs,
        "provenance": provenance,
    }, examples


def length(examples: list[CurveExample], seed: int) -> dict[str, Any]:
    result = {}
    for name in ("resample", "mask"):
        started = time.process_time()
        parameters = QcParameters(length=name)
        data = gather(examples, ACDC, KIND, parameters)
        logits, rows = [], []
        for k, held_out in enumerate(folds_by_subject(data, parameters.folds, seed)[:2]):
            rest = np.setdiff1d(np.arange(len(data)), held_out)
            network, _, _ = fit(data, rest, held_out, parameters, seed=seed + k, epochs=parameters.epochs)
            logits.append(logits_of(network, data.inputs[held_out], data.lengths[held_out]))
            rows.append(held_out)
        logit, row = np.concatenate(logits), np.concatenate(rows)
        result[name] = {
            "auc": area_under_curve(logit, data.good[row]),
            "at_specificity_80": at_specificity(logit, data.good[row], data.subjects[row], 0.8),
            "cpu_seconds": round(time.process_time() - started),
        }
        sys.stderr.write(f"length {name}: {result[name]}\n")
    return result


def patients(data: Path) -> list[dict[str, Any]]:
    """Read image, ED and ES labels of every patient."""
    found = []
    for item in scan(data, "acdc"):
        image = read_image(item.image_path)
        labels = {int(f): read_labels(p)[0] for f, p in item.label_paths}
        spacing = tuple(float(s) for s in reversed(image.geometry.spacing_xyz))
        found.append({"id": item.subject_id, "image": image.data, "labels": labels, "spacing": spacing})
    return found


def early_networks(
    taught: list[dict[str, Any]], preprocessing: Preprocessing, seed: int, stops: tuple[int, ...]
) -> Any:
    """Yield (steps, network) of one network at each number of steps."""
    store = SliceStore(preprocessing, ACDC.n_classes)
    for patient in taught:
        frames = sorted(patient["labels"])
        store.add(
            patient["id"],
            normalise(patient["image"], preprocessing)[frames],
            ACDC.to_classes(np.stack([patient["labels"][f] for f in frames])),
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network("res-unet", n_classes=ACDC.n_classes, parameters={"base_channels": 8, "levels": 4})
    done = 0
    for steps in stops:
        with tempfile.TemporaryDirectory() as folder:
            fit_network(
                network, store, parameters=FitParameters(batch_size=12, learning_rate=2e-3, schedule="constant"),
                iterations=steps - done, validation=None, scheme=ACDC, seed=1000 * seed + steps, device="cpu",
                emit=lambda event: None, should_stop=lambda: False, checkpoint_folder=Path(folder), step_name="early",
            )  # fmt: skip
        done = steps
        yield steps, network.eval()


def early_segmentations(
    data: Path, stops: tuple[int, ...] = STEPS
) -> tuple[list[CurveExample], dict[str, float], dict[str, Any]]:
    """Curve sets of what the early networks say, their true Dice, and each one's disagreement with the others."""
    started = time.monotonic()
    everyone = patients(data)
    taught = everyone[:: len(everyone) // N_TAUGHT][:N_TAUGHT]
    names = {p["id"] for p in taught}
    others = [p for p in everyone if p["id"] not in names]
    preprocessing = Preprocessing(crop_yx=(96, 96))
    examples, dice, kept = [], {}, {}
    for member in range(MEMBERS):
        for steps, network in early_networks(taught, preprocessing, member, stops):
            for patient in others:
                frames = tuple(range(len(patient["image"])))
                labels = label_image(
                    network, patient["image"], preprocessing=preprocessing, spacing_zyx_mm=patient["spacing"],
                    scheme=ACDC, frames=frames, device=torch.device("cpu"),
                ).labels  # fmt: skip
                name = f"{patient['id']}-{steps}-{member}"
                dice[name] = float(np.mean([mean_dice(labels[f], t, ACDC) for f, t in patient["labels"].items()]))
                curves = volume_curves(patient["id"], labels, ACDC, patient["spacing"])
                examples.append(
                    CurveExample(
                        id=name, subject_id=patient["id"], good=dice[name] >= ERRONEOUS_BELOW,
                        curves={k: tuple(c.volume_ml.tolist()) for k, c in curves.items()},
                    )
                )  # fmt: skip
                packed = (zlib.compress(labels.tobytes(), 1), labels.shape)
                kept.setdefault((patient["id"], steps), []).append(packed)
            told(f"network {member}, {steps} steps", started)
    agreement: dict[str, dict[str, list[float]]] = {}
    for (case, steps), members in kept.items():
        maps = [np.frombuffer(zlib.decompress(data), np.uint8).reshape(shape) for data, shape in members]
        for m in range(MEMBERS):
            in_turn = maps[m:] + maps[:m]
            agreement[f"{case}-{steps}-{m}"] = {
                str(n): disagreement(in_turn[:n], ACDC).tolist() for n in range(2, MEMBERS + 1)
            }
    return examples, dice, agreement


def unchosen(data: Path) -> set[str]:
    """Every second patient, from the second: no setting was chosen by them."""
    return set(sorted(item.subject_id for item in scan(data, "acdc"))[1::2])


def cine(
    folder: Path, n_simulated: int, seed: int, kept: Path | None, stops: tuple[int, ...], network_share: float
) -> dict[str, Any]:
    if kept is not None and kept.exists():
        document = json.loads(kept.read_text())
    else:
        examples, dice, agreement = early_segmentations(folder, stops)
        document = {"examples": [dataclasses.asdict(e) for e in examples], "dice": dice, "agreement": agreement}
        if kept is not None:
            kept.write_text(json.dumps(document))
    dice, agreement = document["dice"], document["agreement"]
    examples = [CurveExample(**{**e, "good": dice[e["id"]] >= ERRONEOUS_BELOW}) for e in document["examples"]]
    parameters = QcParameters()
    faulty, _, _ = simulate(
        KIND, ACDC, n_simulated, seed + 1, weight=parameters.simulated_weight, network_share=network_share
    )
    both = gather([*faulty, *examples], ACDC, KIND, parameters)
    real = np.flatnonzero(both.sources == "rated")
    result: dict[str, Any] = {
        "n": len(examples),
        "n_subjects": len(set(both.subjects[real].tolist())),
        "n_good": int(both.good[real].sum()),
        "mean_dice_by_steps": {
            str(s): round(float(np.mean([d for n, d in dice.items() if f"-{s}-" in n])), 3)
            for s in sorted({int(n.split("-")[-2]) for n in dice})
        },
    }

    truth_of_all = np.array([dice[e.id] for e in examples])
    reserved = unchosen(folder)

    def figures(logit: np.ndarray) -> dict[str, Any]:
        subjects = both.subjects[real]
        found = judged(logit, truth_of_all, subjects)
        found["unchosen_patients"] = judged(logit, truth_of_all, subjects, np.isin(subjects, sorted(reserved)))
        return found

    alone = np.flatnonzero(both.sources == "simulated")
    hold = alone[np.isin(both.subjects[alone], np.unique(both.subjects[alone])[::5])]
    network, _, _ = fit(both, np.setdiff1d(alone, hold), hold, parameters, seed=seed, epochs=parameters.epochs)
    result["simulated_alone"] = figures(logits_of(network, both.inputs[real], both.lengths[real]))
    logits, _, _ = cross_validate(both, parameters, seed)
    result["with_other_patients"] = figures(logits[real])
    calibration = fit_calibration(logits[real], both.good[real], parameters.calibration)
    probability = calibration.probability(logits[real])
    threshold = operating_threshold(probability, both.good[real], parameters.sensitivity_weight)
    report = evaluate(probability, both.good[real], both.subjects[real].tolist(), threshold)
    result["with_other_patients"]["operating_point"] = {
        k: report[k] for k in ("sensitivity", "specificity", "intervals", "confusion")
    }
    subjects = both.subjects[real]
    for n in range(2, MEMBERS + 1):
        features = np.array([agreement[e.id][str(n)] for e in examples])
        result[f"committee_of_{n}"] = committee(features, truth_of_all, subjects, reserved)
    return result


def committee(features: np.ndarray, dice: np.ndarray, subjects: np.ndarray, reserved: set[str]) -> dict[str, Any]:
    """Dice predicted from disagreement: how near, and how well it tells erroneous from good, patients held out."""
    predictor = fit_dice_predictor(features, dice, subjects.tolist())
    told_apart = np.zeros(len(dice))
    for name in np.unique(subjects):
        rest = subjects != name
        fitted = fit_dice_predictor(features[rest], dice[rest], subjects[rest].tolist())
        told_apart[~rest] = fitted.predict(features[~rest])
    names = ("kind", "mean_absolute_error", "interval", "correlation", "n_cases")
    found: dict[str, Any] = {k: getattr(predictor, k) for k in names} | {"sd_of_dice": float(np.std(dice))}
    for what, score in (("as_classifier", told_apart), ("agreement_alone", features[:, 0])):
        found[what] = judged(score, dice, subjects)
        found[what]["unchosen_patients"] = judged(score, dice, subjects, np.isin(subjects, sorted(reserved)))
    return found


def speed(examples: list[CurveExample]) -> dict[str, Any]:
    parameters = QcParameters()
    network = new_classifier(3 * N_PER_STRUCTURE, parameters.width, parameters.n_points, 0).eval()
    classifier = Classifier(
        network=network, kind=KIND, parameters=parameters, label_scheme=ACDC, calibration=Calibration(),
        threshold=0.5, card={},
    )  # fmt: skip
    sets = [examples[i % len(examples)].curves for i in range(10_000)]
    started, cpu = time.perf_counter(), time.process_time()
    score_curves(classifier, sets)
    return {
        "curve_sets": len(sets),
        "seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="simulated,aorta,length,cine,speed")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--keep", type=Path, help="keep what the early networks said here, or take it from here")
    parser.add_argument("--steps", default=",".join(map(str, STEPS)), help="where the early networks are stopped")
    parser.add_argument("--network-share", type=float, default=QcParameters().network_share)
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if "cine" in parts and options.data is None:
        parser.error("the part 'cine' needs --data")
    torch.set_num_threads(1)
    report: dict[str, Any] = {}
    examples: list[CurveExample] = []
    if "simulated" in parts:
        report["simulated"], examples = simulated(options.sets, options.seed, network_share=options.network_share)
    elif {"length", "speed"} & set(parts):
        examples, _, _ = simulate(KIND, ACDC, options.sets if "length" in parts else 40, options.seed)
    if "aorta" in parts:
        report["aorta"], _ = simulated(options.sets, options.seed, "aorta", PRESETS["aorta"])
    if "length" in parts:
        report["length"] = length(examples, options.seed)
    if "cine" in parts:
        report["cine"] = cine(
            options.data, options.sets // 2, options.seed, options.keep,
            tuple(int(n) for n in options.steps.split(",")), options.network_share,
        )  # fmt: skip
    if "speed" in parts:
        report["speed"] = speed(examples)
    print(json.dumps(report) if options.json else json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
