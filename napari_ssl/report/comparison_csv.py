"""A comparison's tables as files for other programs: one row a figure, from the document of a comparison.

========================  =============================================================================================
``comparison.csv``        overlap and distances by arm and structure, with what tells them from the baseline
``clinical.csv``          clinical indices by arm against the reference: means, errors, agreement, test
``efficiency.csv``        steps, time, memory, parameters and FLARE's measures of labelling by arm
``minutes.csv``           Dice against a clinician's minutes, one row for each round, where somebody's time was counted
``cases.csv``             overlap, distances and errors of every case, arm and seed
``clinical_cases.csv``    clinical indices of every case, arm and seed, found and expected
========================  =============================================================================================
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_ssl.io.atomic import write_bytes
from napari_ssl.report.comparison_tables import QUANTITIES
from napari_ssl.rounds.comparison_table import INDICES

__all__ = ["CASE_COLUMNS", "CLINICAL_COLUMNS", "EFFICIENCY_COLUMNS", "MINUTES_COLUMNS", "SCORE_COLUMNS", "write_tables"]

SCORE_COLUMNS = (
    *("arm", "quantity", "structure", "n", "mean", "sd", "seed_sd", "difference", "low", "high"),
    *("better", "worse", "p_t", "p_t_holm", "p_wilcoxon", "p_wilcoxon_holm"),
)
CASE_COLUMNS = ("arm", "seed", "case", "subject", "quantity", "structure", "value")
CLINICAL_COLUMNS = (
    *("arm", "index", "n", "mean", "sd", "reference_n", "reference_mean", "reference_sd", "absolute_error"),
    *("absolute_error_sd", "bias", "lower_limit", "upper_limit", "r", "p_t", "p_t_holm"),
)
CLINICAL_CASE_COLUMNS = ("arm", "seed", "case", "subject", "index", "found", "reference")
EFFICIENCY_COLUMNS = (
    *("arm", "n_steps", "training_seconds", "peak_memory_mib", "n_parameters", "device", "threads", "mean_seconds"),
    *("peak_gpu_mb", "mean_gpu_memory_area_mb_s", "mean_cpu_area_percent_s"),
)
MINUTES_COLUMNS = (
    *("arm", "round", "minutes", "dice", "low", "high", "training_cases", "accept", "correct", "reject", "n_slices"),
)
_ERRORS = ("ef_error_points", "edv_error_ml", "esv_error_ml")


def write_tables(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the tables of a comparison and return the files; StorageError names one that cannot be written.

    A table of which the comparison has nothing is not written, and one that is there from before is removed.
    """
    tables = {
        "comparison.csv": (SCORE_COLUMNS, _score_rows(document)),
        "cases.csv": (CASE_COLUMNS, _case_rows(document)),
        "clinical.csv": (CLINICAL_COLUMNS, _clinical_rows(document)),
        "clinical_cases.csv": (CLINICAL_CASE_COLUMNS, _clinical_case_rows(document)),
        "efficiency.csv": (EFFICIENCY_COLUMNS, [{"arm": a, **row} for a, row in document["efficiency"].items()]),
        "minutes.csv": (MINUTES_COLUMNS, _minutes_rows(document)),
    }
    files = []
    for name, (columns, rows) in tables.items():
        if rows or name in ("comparison.csv", "cases.csv"):
            _write_csv(folder / name, columns, rows)
            files.append(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    return files


def _score_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for quantity in QUANTITIES:
        for structure, arms in document["scores"].get(quantity, {}).items():
            for arm, row in arms.items():
                against = row.get("against", {})
                tests = {
                    f"p_{test}{end}": against.get(test, {}).get(f"p{end}")
                    for test in ("t", "wilcoxon")
                    for end in ("", "_holm")
                }
                kept = {k: row[k] for k in ("n", "mean", "sd", "seed_sd")}
                paired = {k: against.get(k) for k in ("difference", "low", "high", "better", "worse")}
                rows.append({"arm": arm, "quantity": quantity, "structure": structure, **kept, **paired, **tests})
    return rows


def _case_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for where, case in _cases(document):
        for quantity in (*QUANTITIES, *_ERRORS):
            for structure, value in case.get(quantity, {}).items():
                rows.append({**where, "quantity": quantity, "structure": structure, "value": value})
    return rows


def _clinical_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for index, table in document["clinical"].items():
        reference = {f"reference_{k}": v for k, v in table["reference"].items()}
        for arm, row in table["arms"].items():
            agreement = row["agreement"]
            figures = {
                "absolute_error": row["error"]["mean"],
                "absolute_error_sd": row["error"]["sd"],
                "bias": agreement["bias"],
                "lower_limit": agreement["lower"],
                "upper_limit": agreement["upper"],
                "r": row["r"],
                "p_t": row["t"]["p"],
                "p_t_holm": row["t"]["p_holm"],
            }
            rows.append(
                {"arm": arm, "index": index, **{k: row[k] for k in ("n", "mean", "sd")}, **reference, **figures}
            )
    return rows


def _clinical_case_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for where, case in _cases(document):
        found, expected = case.get("indices", {}), case.get("reference_indices", {})
        for index in INDICES:
            pair = {"found": found.get(index), "reference": expected.get(index)}
            if any(value is not None for value in pair.values()):
                rows.append({**where, "index": index, **pair})
    return rows


def _minutes_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"arm": arm, **point} for arm, points in document.get("minutes", {}).items() for point in points]


def _cases(document: Mapping[str, Any]) -> list[tuple[dict[str, Any], Mapping[str, Any]]]:
    """Every case of every run, with the columns that say which it is."""
    return [
        ({"arm": run["arm"], "seed": run["seed"], "case": case["case_id"], "subject": case["subject_id"]}, case)
        for run in document["runs"]
        for case in run["cases"]
    ]


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, text.getvalue().encode())
