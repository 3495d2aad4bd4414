"""From the results of all arms and seeds to a paper's table: plain JSON, subjects as the unit of every statistic.

Cases of a subject, and then seeds, are averaged before anything is tested: neither are independent of one another.
Means and deviations are over subjects; how much a mean moves from seed to seed is given beside (``seed_sd``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from napari_ssl.measures.overlap import METRICS, VOXEL_METRICS
from napari_ssl.measures.statistics import (
    bland_altman,
    bootstrap_interval,
    holm,
    mean_sd,
    paired_t_test,
    pearson,
    wilcoxon_test,
)

__all__ = ["HIGHER_IS_BETTER", "INDICES", "clinical_table", "efficiency_table", "minutes_table", "score_table"]

Results = Mapping[str, Sequence[Mapping[str, Any]]]
"""Arm → results of one round, one for each seed."""

HIGHER_IS_BETTER = {
    "dice": True, "nsd": True, "hd95_mm": False, "asd_mm": False, "hd95_voxel": False, "asd_voxel": False,
}  # fmt: skip
INDICES = {
    "lv_edv_ml": "LV EDV (ml)",
    "lv_esv_ml": "LV ESV (ml)",
    "lv_ef_percent": "LV EF (%)",
    "rv_edv_ml": "RV EDV (ml)",
    "rv_esv_ml": "RV ESV (ml)",
    "rv_ef_percent": "RV EF (%)",
    "lv_mass_g": "LV mass (g)",
}
"""Clinical indices as in Ruijsink 2020, Table 3, and what else is read from the labels."""

_Value = Callable[[Mapping[str, Any]], float | None]


def _by_subject(results: Sequence[Mapping[str, Any]], value: _Value) -> dict[str, float]:
    """Subject → value, the mean over its cases and then over the seeds; only subjects that every seed has."""
    seeds = [_of_one_seed(result, value) for result in results]
    shared = set.intersection(*(set(s) for s in seeds)) if seeds else set()
    return {subject: float(np.mean([s[subject] for s in seeds])) for subject in sorted(shared)}


def _of_one_seed(result: Mapping[str, Any], value: _Value) -> dict[str, float]:
    gathered: dict[str, list[float]] = {}
    for case in result["cases"]:
        found = value(case)
        if found is not None:
            gathered.setdefault(case["subject_id"], []).append(found)
    return {subject: float(np.mean(values)) for subject, values in gathered.items()}


def _score(quantity: str, structure: str) -> _Value:
    def value(case: Mapping[str, Any]) -> float | None:
        by_structure = case.get(quantity, {})
        values = list(by_structure.values()) if structure == "mean" else [by_structure.get(structure)]
        return None if not values or None in values else float(np.mean(values))

    return value


def score_table(results: Results, baseline: str, structures: Sequence[str], *, seed: int = 0) -> dict[str, Any]:
    """Overlap and distances of every arm, and its paired comparison with the baseline.

    Returns
    -------
    dict
        Quantity → structure (and ``mean`` over them) → arm → ``n``, ``mean``, ``sd`` over subjects, ``seed_sd``,
        ``by_seed``, ``by_subject`` and, for the others than the baseline, ``against``: ``difference``, bootstrap
        interval ``low``, ``high``, ``better``, ``worse`` (subjects), ``t``, ``wilcoxon`` (``n``, ``statistic``, ``p``
        and ``p_holm``, adjusted for the number of arms). A quantity that no case has is absent.
    """
    found: dict[str, Any] = {}
    for quantity in (*METRICS, *VOXEL_METRICS):
        if not any(quantity in case for arm in results.values() for result in arm for case in result["cases"]):
            continue
        found[quantity] = {
            structure: _compared(results, baseline, _score(quantity, structure), HIGHER_IS_BETTER[quantity], seed)
            for structure in (*structures, "mean")
        }
    return found


def _compared(results: Results, baseline: str, value: _Value, higher_is_better: bool, seed: int) -> dict[str, Any]:
    by_subject = {arm: _by_subject(of_arm, value) for arm, of_arm in results.items()}
    rows: dict[str, Any] = {}
    for arm, of_arm in results.items():
        by_seed = [float(np.mean(list(s.values()))) for r in of_arm if (s := _of_one_seed(r, value))]
        rows[arm] = {
            **asdict(mean_sd(list(by_subject[arm].values()))),
            "seed_sd": mean_sd(by_seed).sd,
            "by_seed": by_seed,
            "by_subject": by_subject[arm],
        }
    others = [arm for arm in results if arm != baseline]
    if baseline in by_subject:
        for arm in others:
            rows[arm]["against"] = _paired(by_subject[baseline], by_subject[arm], higher_is_better, seed)
        for test in ("t", "wilcoxon"):
            for arm, adjusted in zip(others, holm([rows[a]["against"][test]["p"] for a in others]), strict=True):
                rows[arm]["against"][test]["p_holm"] = adjusted
    return rows


def _paired(first: Mapping[str, float], second: Mapping[str, float], higher: bool, seed: int) -> dict[str, Any]:
    subjects = [s for s in first if s in second]
    a, b = [first[s] for s in subjects], [second[s] for s in subjects]
    gain = np.subtract(b, a)
    low, high = bootstrap_interval(gain, seed=seed)
    sign = 1 if higher else -1
    return {
        "n": len(subjects),
        "difference": float(gain.mean()) if len(gain) else None,
        "low": low,
        "high": high,
        "better": int((sign * gain > 0).sum()),
        "worse": int((sign * gain < 0).sum()),
        "t": asdict(paired_t_test(a, b)),
        "wilcoxon": asdict(wilcoxon_test(a, b)),
    }


def clinical_table(results: Results) -> dict[str, Any]:
    """Clinical indices of every arm against the reference's, as Ruijsink 2020, Table 3, with their agreement.

    Returns
    -------
    dict
        Index → ``reference`` (``n``, ``mean``, ``sd``, of every subject that has one) and ``arms``: arm → ``n``,
        ``mean``, ``sd``, ``error`` (mean and SD of the absolute error), ``agreement`` (Bland–Altman), ``r``, ``t``
        against the reference with ``p_holm``, ``pairs`` (subject, found, expected). Indices that no case has are
        absent.
    """
    table: dict[str, Any] = {}
    for index in INDICES:
        arms, references = {}, {}
        for arm, of_arm in results.items():
            found = _by_subject(of_arm, lambda case, index=index: case["indices"].get(index))
            expected = _by_subject(of_arm, lambda case, index=index: case["reference_indices"].get(index))
            references |= expected
            pairs = [(s, found[s], expected[s]) for s in found if s in expected]
            if pairs:
                arms[arm] = _agreement(pairs)
        if not arms:
            continue
        for arm, adjusted in zip(arms, holm([row["t"]["p"] for row in arms.values()]), strict=True):
            arms[arm]["t"]["p_holm"] = adjusted
        table[index] = {"reference": asdict(mean_sd(list(references.values()))), "arms": arms}
    return table


def _agreement(pairs: Sequence[tuple[str, float, float]]) -> dict[str, Any]:
    found, expected = [p[1] for p in pairs], [p[2] for p in pairs]
    error = mean_sd(np.abs(np.subtract(found, expected)))
    return {
        **asdict(mean_sd(found)),
        "error": {"mean": error.mean, "sd": error.sd},
        "agreement": asdict(bland_altman(found, expected)),
        "r": pearson(found, expected),
        "t": asdict(paired_t_test(expected, found)),
        "pairs": [list(p) for p in pairs],
    }


def efficiency_table(results: Results) -> dict[str, Any]:
    """Steps, time, memory, parameters and what the labelling of a case costs, by arm; means over the seeds."""
    table = {}
    for arm, of_arm in results.items():
        labelling = [r["efficiency"] for r in of_arm if r["efficiency"]]
        table[arm] = {
            "n_steps": max(r["n_steps"] for r in of_arm),
            "training_seconds": _mean(r["training_seconds"] for r in of_arm),
            "peak_memory_mib": max(r["peak_memory_mib"] for r in of_arm),
            "n_parameters": of_arm[0]["n_parameters"],
            "device": of_arm[0]["device_name"],
            "threads": of_arm[0]["threads"],
            **{
                name: _mean(e[name] for e in labelling) if labelling else None
                for name in ("mean_seconds", "mean_gpu_memory_area_mb_s", "mean_cpu_area_percent_s")
            },
            "peak_gpu_mb": max((e["peak_gpu_mb"] for e in labelling), default=None),
        }
    return table


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))


def minutes_table(by_round: Sequence[Results], structures: Sequence[str]) -> dict[str, Any]:
    """Dice against minutes of a clinician's time, by arm: one point for each round.

    Returns
    -------
    dict
        Arm → list of ``round``, ``minutes`` (mean over seeds), ``dice`` (mean over structures and subjects), ``low``
        and ``high`` (bootstrap over subjects), ``dice_by_structure``, ``training_cases`` with labels, and mean counts
        of ``accept``, ``correct``, ``reject`` and ``n_slices`` in the review before the round and in the reviews inside
        the run that cost somebody's time.
    """
    curves: dict[str, list[dict[str, Any]]] = {}
    for number, results in enumerate(by_round):
        for arm, of_arm in results.items():
            dice = _by_subject(of_arm, _score("dice", "mean"))
            low, high = bootstrap_interval(list(dice.values()))
            reviews = [_reviews_of(r) for r in of_arm]
            curves.setdefault(arm, []).append(
                {
                    "round": number,
                    "minutes": _mean(r["minutes"] for r in of_arm),
                    "dice": mean_sd(list(dice.values())).mean,
                    "low": low,
                    "high": high,
                    "dice_by_structure": {
                        s: mean_sd(list(_by_subject(of_arm, _score("dice", s)).values())).mean for s in structures
                    },
                    "training_cases": _mean(
                        sum(n for role, n in r["counts"].items() if role != "unlabelled") for r in of_arm
                    ),
                    **{
                        name: _mean(sum(review[name] for review in of_seed) for of_seed in reviews)
                        for name in ("accept", "correct", "reject", "n_slices")
                    },
                }
            )
    return curves


def _reviews_of(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The reviews that somebody's time went into: before a round, and inside it where a policy stands for a person."""
    inside = [review for review in result.get("reviewed", ()) if review["seconds"] > 0]
    return ([result["review"]] if result["review"] else []) + inside
