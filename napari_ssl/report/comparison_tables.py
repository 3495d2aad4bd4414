"""The tables of a comparison's page, from the document of `napari_ssl.rounds.comparison.compare`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_ssl.report.html import Cell, Table
from napari_ssl.rounds.comparison_table import HIGHER_IS_BETTER, INDICES

__all__ = [
    "QUANTITIES",
    "clinical_table",
    "efficiency_table",
    "minutes_table",
    "scores_table",
    "settings_table",
    "test_table",
    "title_of",
]

QUANTITIES = ("dice", "hd95_mm", "asd_mm", "nsd", "hd95_voxel", "asd_voxel")
_TITLES = {
    "dice": ("Dice", ""),
    "hd95_mm": ("HD95", "mm"),
    "asd_mm": ("Average surface distance", "mm"),
    "nsd": ("Normalised surface Dice at 2 mm", ""),
    "hd95_voxel": ("HD95", "voxels"),
    "asd_voxel": ("Average surface distance", "voxels"),
}
_P_SHOWN = 0.05


def title_of(quantity: str) -> tuple[str, str]:
    """Return name and unit of a quantity."""
    return _TITLES[quantity]


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _digits(quantity: str) -> int:
    return 3 if quantity in ("dice", "nsd") else 2


def _mean_sd(row: Mapping[str, Any], digits: int) -> str:
    return _number(row["mean"], digits) + (f" ({_number(row['sd'], digits)})" if row["sd"] is not None else "")


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def scores_table(document: Mapping[str, Any], quantity: str) -> Table:
    """Arms × structures with mean (SD over subjects), below it the SD over seeds; the best of a column is coloured."""
    by_structure = document["scores"][quantity]
    title, unit = title_of(quantity)
    digits, higher = _digits(quantity), HIGHER_IS_BETTER[quantity]
    rows = []
    for arm in document["arms"]:
        cells = []
        for rows_of in by_structure.values():
            row = rows_of[arm]
            note = "" if row["seed_sd"] is None else f"seeds ±{_number(row['seed_sd'], digits)}"
            cells.append(Cell(_mean_sd(row, digits), note, "better" if arm == _best(rows_of, higher) else ""))
        rows.append([Cell(arm), *cells])
    caption = (
        f"{title}{f', {unit}' if unit else ''}: mean (SD) over subjects; {'higher' if higher else 'lower'} is better, "
        "the best mean of each column is coloured."
    )
    return Table(columns=["Arm", *("all" if s == "mean" else s for s in by_structure)], rows=rows, caption=caption)


def _best(rows: Mapping[str, Mapping[str, Any]], higher: bool) -> str | None:
    known = {arm: row["mean"] for arm, row in rows.items() if row["mean"] is not None}
    if len(known) < 2:
        return None
    return (max if higher else min)(known, key=lambda arm: known[arm])


def test_table(document: Mapping[str, Any], quantity: str) -> Table:
    """Difference of every arm to the baseline, its interval and adjusted p of both tests, by structure."""
    by_structure = document["scores"][quantity]
    title, unit = title_of(quantity)
    digits, higher = _digits(quantity), HIGHER_IS_BETTER[quantity]
    columns = ["Arm", "Structure", "Difference", "95 % interval", "Better", "Worse", "p (t)", "p (Wilcoxon)"]
    rows = []
    for arm in document["arms"]:
        for structure, rows_of in by_structure.items():
            found = rows_of[arm].get("against")
            if found is None or found["difference"] is None:
                continue
            interval = "–" if found["low"] is None else f"{found['low']:+.{digits}f} to {found['high']:+.{digits}f}"
            p_t, p_w = found["t"]["p_holm"], found["wilcoxon"]["p_holm"]
            good = (found["difference"] > 0) is higher
            css = ("better" if good else "worse") if p_t is not None and p_t < _P_SHOWN else ""
            rows.append(
                [
                    *(arm, "all" if structure == "mean" else structure),
                    *(Cell(f"{found['difference']:+.{digits}f}", css=css), interval),
                    *(str(found["better"]), str(found["worse"]), _p(p_t), _p(p_w)),
                ]
            )
    caption = f"{title}{f', {unit}' if unit else ''}: against {document['baseline']}, paired by subject; p after Holm."
    return Table(columns=columns, rows=rows, caption=caption)


test_table.__test__ = False  # type: ignore[attr-defined]  # no test of pytest


def clinical_table(document: Mapping[str, Any]) -> list[Table]:
    """Clinical indices as Ruijsink 2020, Table 3: mean (SD) of arms and reference; then errors against it."""
    clinical = document["clinical"]
    columns = ["Arm", *(INDICES[index] for index in clinical)]
    means = [
        [arm, *(_clinical_cell(row["arms"].get(arm), row) for row in clinical.values())] for arm in document["arms"]
    ]
    means.append(["Reference", *(_mean_sd(row["reference"], 1) for row in clinical.values())])
    errors = [
        [
            arm,
            *(_error_cell(row["arms"][arm], row) if arm in row["arms"] else _absent(row) for row in clinical.values()),
        ]
        for arm in document["arms"]
    ]
    return [
        Table(
            columns=columns,
            rows=means,
            strong_rows=[len(means) - 1],
            caption="Mean (SD) over subjects; * differs from the reference, p < 0.05 (paired t-test, Holm). Where an "
            "index does not exist for every subject (no ventricle, no ejection fraction), their number is given.",
        ),
        Table(
            columns=columns,
            rows=errors,
            caption="Mean absolute error (SD); below: bias and limits of agreement, network − reference.",
        ),
    ]


def _clinical_cell(row: Mapping[str, Any] | None, of_index: Mapping[str, Any]) -> Cell:
    if row is None:
        return _absent(of_index)
    p = row["t"]["p_holm"]
    return Cell(_mean_sd(row, 1) + ("*" if p is not None and p < _P_SHOWN else ""), _of_how_many(row, of_index))


def _absent(of_index: Mapping[str, Any]) -> Cell:
    return Cell("–", f"0 of {of_index['reference']['n']}")


def _of_how_many(row: Mapping[str, Any], of_index: Mapping[str, Any]) -> str:
    """How many subjects an arm's figure stands on, where they are fewer than the reference has."""
    n = of_index["reference"]["n"]
    return f"{row['n']} of {n}" if row["n"] < n else ""


def _error_cell(row: Mapping[str, Any], of_index: Mapping[str, Any]) -> Cell:
    agreement = row["agreement"]
    few = _of_how_many(row, of_index)
    note = f"{few}, {agreement['bias']:+.1f}" if few else f"{agreement['bias']:+.1f}"
    if agreement["lower"] is not None:
        note += f" [{agreement['lower']:.1f}, {agreement['upper']:.1f}]"
    return Cell(_mean_sd(row["error"], 1), note)


def minutes_table(document: Mapping[str, Any]) -> Table:
    """What each round of review cost and brought."""
    columns = ["Arm", "Round", "Minutes so far", "Dice", "95 % interval", "Accepted", "Corrected", "Rejected"]
    columns += ["Slices redrawn", "Cases with labels"]
    rows = []
    for arm, points in document["minutes"].items():
        for point in points:
            interval = "–" if point["low"] is None else f"{point['low']:.3f} to {point['high']:.3f}"
            counts = [f"{point[name]:g}" for name in ("accept", "correct", "reject", "n_slices")]
            rows.append(
                [
                    *(arm, str(point["round"]), f"{point['minutes']:.1f}", _number(point["dice"], 3), interval),
                    *(*counts, f"{point['training_cases']:g}"),
                ]
            )
    return Table(
        columns=columns, rows=rows, caption="Means over the seeds; the review comes before the round's training."
    )


def efficiency_table(document: Mapping[str, Any]) -> Table:
    """Steps, time, memory, parameters and FLARE's measures of the labelling."""
    columns = ["Arm", "Steps", "Training (s)", "Memory (MiB)", "Parameters", "Labelling (s a case)"]
    columns += ["GPU peak (MB)", "GPU memory–time (MB·s)", "CPU–time (%·s)"]
    rows = []
    for arm, row in document["efficiency"].items():
        rows.append(
            [
                *(arm, str(row["n_steps"]), _number(row["training_seconds"], 0), _number(row["peak_memory_mib"], 0)),
                *(f"{row['n_parameters']:,}", _number(row["mean_seconds"], 2), _number(row["peak_gpu_mb"], 0)),
                _number(row["mean_gpu_memory_area_mb_s"], 0),
                _number(row["mean_cpu_area_percent_s"], 0),
            ]
        )
    caption = (
        "Training: all steps of an arm, mean over seeds, shared steps counted in every arm that uses them. Memory: "
        "highest of a process on the CPU, of the device on CUDA. The last columns are FLARE's measures of labelling."
    )
    return Table(columns=columns, rows=rows, caption=caption)


def settings_table(document: Mapping[str, Any]) -> Table:
    """What each arm is, in full."""
    rows = []
    for arm, what in document["arms"].items():
        values = ", ".join(f"{k} = {v}" for k, v in what["parameters"].items())
        network = ", ".join(f"{k} = {v}" for k, v in what["network_parameters"].items())
        rows.append(
            [
                *(arm, what["strategy"], f"{what['network']} ({network})", _policy_of(what)),
                *(str(what["n_labelled"]), str(what["n_unlabelled"]), values),
            ]
        )
    columns = ["Arm", "Strategy", "Network", "Policy", "Labelled", "Unlabelled", "Parameters"]
    return Table(columns=columns, rows=rows, text_columns=(2, 6))


def _policy_of(what: Mapping[str, Any]) -> str:
    values = ", ".join(f"{k} = {v:g}" for k, v in what.get("policy_parameters", {}).items())
    return f"{what['policy']} ({values})" if values else what["policy"]
