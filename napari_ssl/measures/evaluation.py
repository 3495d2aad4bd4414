"""Evaluation of a model on cases with expert labels, and the paired comparison of two models.

Documents are plain JSON (numbers that do not exist are null), so that they can be stored with the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.curve import ClinicalIndices
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.errors import LabelError
from napari_ssl.measures.curves import indices, volume_curves
from napari_ssl.measures.overlap import METRICS, VOXEL_METRICS, evaluate_frames, mean_over_frames
from napari_ssl.measures.statistics import bootstrap_interval

__all__ = ["case_document", "compare", "summarise"]

_VENTRICLES = ("LV", "RV")
_ERRORS = ("ef_error_points", "ef_abs_error_points", "edv_error_ml", "esv_error_ml")
_HIGHER_IS_BETTER = {"dice": True, "nsd": True, "hd95_mm": False, "asd_mm": False, "ef_abs_error_points": False}


def case_document(
    case_id: str,
    prediction: NDArray[Any],
    reference: NDArray[Any],
    scheme: LabelScheme,
    spacing_zyx_mm: Sequence[float],
    *,
    frames: Iterable[int],
    subject_id: str | None = None,
    ed_frame: int | None = None,
    es_frame: int | None = None,
    in_voxels: bool = False,
) -> dict[str, Any]:
    """Compare one case's proposal with its reference in the reference's frames.

    Parameters
    ----------
    prediction, reference : (T, Z, Y, X) uint8
    frames : iterable of int
        Frames that the reference labels; nothing outside them is compared.
    subject_id : str, optional
        Subject that the case counts for; by default the case itself.
    ed_frame, es_frame : int, optional
        A missing one is found from the reference.
    in_voxels : bool
        Also give the distances in voxels, the spacing left out (``hd95_voxel``, ``asd_voxel``), as many papers do.

    Returns
    -------
    dict
        ``case_id``, ``subject_id``, ``frames`` (frame to structure to scores), ``dice``, ``hd95_mm``, ``asd_mm``,
        ``nsd`` (structure to mean over frames), ``ef_error_points``, ``ef_abs_error_points``, ``edv_error_ml``,
        ``esv_error_ml`` (by ventricle ``LV``, ``RV``; proposal minus reference, EF in percentage points),
        ``mass_error_g``, ``indices`` and ``reference_indices``. Both EFs are read at the same ED and ES.
    """
    frames = sorted({int(f) for f in frames})
    by_frame = evaluate_frames(prediction, reference, scheme, spacing_zyx_mm, frames, in_voxels=in_voxels)
    scores = mean_over_frames(by_frame)
    metrics = (*METRICS, *VOXEL_METRICS) if in_voxels else METRICS
    truth = volume_curves(
        case_id, reference, scheme, spacing_zyx_mm, frames=frames, ed_frame=ed_frame, es_frame=es_frame
    )
    first = next(iter(truth.values()))
    proposal = volume_curves(
        case_id, prediction, scheme, spacing_zyx_mm, frames=frames, ed_frame=first.ed_frame, es_frame=first.es_frame
    )
    found, expected = indices(proposal, scheme), indices(truth, scheme)
    document = {
        "case_id": case_id,
        "subject_id": subject_id or case_id,
        "frames": {str(f): s for f, s in by_frame.items()},
        **{metric: {name: s[metric] for name, s in scores.items()} for metric in metrics},
        "ef_error_points": _index_errors(found, expected, "ef_percent"),
        "edv_error_ml": _index_errors(found, expected, "edv_ml"),
        "esv_error_ml": _index_errors(found, expected, "esv_ml"),
        "mass_error_g": found.lv_mass_g - expected.lv_mass_g,
        "indices": asdict(found),
        "reference_indices": asdict(expected),
    }
    document["ef_abs_error_points"] = {k: abs(v) for k, v in document["ef_error_points"].items()}
    return _strict(document)


def _index_errors(found: ClinicalIndices, expected: ClinicalIndices, index: str) -> dict[str, float]:
    """Return proposal minus reference by ventricle; ventricles without that index are left out."""
    errors = {
        v: getattr(found, f"{v.lower()}_{index}") - getattr(expected, f"{v.lower()}_{index}") for v in _VENTRICLES
    }
    return {v: e for v, e in errors.items() if not math.isnan(getattr(expected, f"{v.lower()}_{index}"))}


def _strict(value: Any) -> Any:
    """Replace NaN and infinity by None, all the way down."""
    if isinstance(value, dict):
        return {k: _strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def summarise(cases: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Gather `case_document`s: ``{"cases", "mean", "sd", "n"}``.

    Means and standard deviations (n − 1) are over cases, per quantity and structure; ``mean.mean_dice`` is over the
    structures too. A quantity that no case has is absent; with fewer than two cases the deviation is null.
    """
    cases = list(cases)
    mean: dict[str, Any] = {}
    sd: dict[str, Any] = {}
    in_voxels = tuple(metric for metric in VOXEL_METRICS if any(metric in case for case in cases))
    for quantity in (*METRICS, *in_voxels, *_ERRORS):
        keys = list(dict.fromkeys(key for case in cases for key in case.get(quantity, {})))
        values = {key: _present(case.get(quantity, {}).get(key) for case in cases) for key in keys}
        mean[quantity] = {key: float(np.mean(v)) for key, v in values.items() if v}
        sd[quantity] = {key: float(np.std(v, ddof=1)) if len(v) > 1 else None for key, v in values.items() if v}
    mean["mean_dice"] = float(np.mean(list(mean["dice"].values()))) if mean["dice"] else None
    return {"cases": cases, "mean": mean, "sd": sd, "n": len(cases)}


def _present(values: Iterable[float | None]) -> list[float]:
    return [v for v in values if v is not None]


def compare(
    old: dict[str, Any], new: dict[str, Any], *, level: float = 0.95, n_resamples: int = 5000, seed: int = 0
) -> dict[str, Any]:
    """Compare two models on the cases that both `summarise` documents hold, paired by subject.

    Cases of a subject are averaged first, because they are not independent of one another.

    Returns
    -------
    dict
        ``n_cases``, ``n_subjects``, ``level``, ``n_resamples``, ``seed`` and, for ``dice``, ``nsd``, ``hd95_mm``,
        ``asd_mm`` and ``ef_abs_error_points``, by structure (and ``mean`` over the structures): ``old``, ``new``,
        ``difference`` (new − old), ``low`` and ``high`` (interval of the difference, null for one subject),
        ``better``, ``worse`` (number of subjects) and ``verdict``: ``better`` or ``worse`` when the interval leaves
        zero out, else ``undecided``.

    Raises
    ------
    LabelError
        The documents have no case in common.
    """
    old_cases = {case["case_id"]: case for case in old["cases"]}
    pairs = [(old_cases[case["case_id"]], case) for case in new["cases"] if case["case_id"] in old_cases]
    if not pairs:
        raise LabelError("the two evaluations have no case in common; evaluate both models on the same split")
    result: dict[str, Any] = {
        "n_cases": len(pairs),
        "n_subjects": len({case["subject_id"] for _, case in pairs}),
        "level": level,
        "n_resamples": n_resamples,
        "seed": seed,
    }
    for quantity, higher_is_better in _HIGHER_IS_BETTER.items():
        keys = list(dict.fromkeys(key for _, case in pairs for key in case.get(quantity, {})))
        result[quantity] = {}
        for key in [*keys, "mean"] if keys else []:
            by_subject = _by_subject(pairs, quantity, keys if key == "mean" else [key])
            if by_subject:
                result[quantity][key] = _difference(by_subject, higher_is_better, level, n_resamples, seed)
    return result


def _by_subject(
    pairs: list[tuple[dict[str, Any], dict[str, Any]]], quantity: str, keys: list[str]
) -> list[tuple[float, float]]:
    """Return (old, new) per subject, averaged over its cases and over `keys`; cases with a null value are left out."""
    gathered: dict[str, list[tuple[float, float]]] = {}
    for before, after in pairs:
        values = [(before.get(quantity, {}).get(key), after.get(quantity, {}).get(key)) for key in keys]
        if all(a is not None and b is not None for a, b in values):
            gathered.setdefault(after["subject_id"], []).append(tuple(np.mean(values, axis=0)))
    return [tuple(np.mean(values, axis=0).tolist()) for _, values in sorted(gathered.items())]


def _difference(
    by_subject: list[tuple[float, float]], higher_is_better: bool, level: float, n_resamples: int, seed: int
) -> dict[str, Any]:
    old, new = np.array(by_subject).T
    gain = new - old
    low, high = bootstrap_interval(gain, level=level, n_resamples=n_resamples, seed=seed)
    sign = 1 if higher_is_better else -1
    verdict = "undecided"
    if low is not None and (low > 0 or high < 0):
        verdict = "better" if sign * low > 0 else "worse"
    return {
        "old": float(old.mean()),
        "new": float(new.mean()),
        "difference": float(gain.mean()),
        "low": low,
        "high": high,
        "better": int((sign * gain > 0).sum()),
        "worse": int((sign * gain < 0).sum()),
        "verdict": verdict,
    }
