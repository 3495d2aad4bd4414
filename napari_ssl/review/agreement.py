"""How well readers agree with each other, with themselves, and with what is known to be right.

Verdicts: Cohen's kappa on accept / correct / reject, with the large-sample interval and a bootstrap over cases. Labels:
Dice between what both stand for, and limits of agreement of the LV ejection fraction (Bland & Altman, Lancet 1986).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np

from napari_ssl.core.consensus import open_tasks
from napari_ssl.core.segmentation import Segmentation
from napari_ssl.errors import NapariSslError
from napari_ssl.measures.agreement import mean_dice
from napari_ssl.measures.curves import indices, volume_curves
from napari_ssl.measures.reader_agreement import bootstrap_kappa, cohen_kappa, plain_kappa
from napari_ssl.measures.statistics import bland_altman, mean_sd
from napari_ssl.review.audit import acceptance
from napari_ssl.review.reads import (
    CATEGORIES,
    Read,
    ReadPair,
    between_readers,
    first_reads,
    gold_reads,
    within_readers,
)
from napari_ssl.study.study import Study

__all__ = ["agreement_report", "gold_summary", "verdict_agreement"]


def agreement_report(study: Study, *, with_labels: bool = True) -> dict[str, Any]:
    """Return all that is known of the readers' agreement; plain JSON types, None for what cannot be said.

    Parameters
    ----------
    with_labels : bool
        Also compare label maps, which reads their files (seconds for many corrections).

    Returns
    -------
    dict
        ``readers`` (progress by reader), ``between`` (a list, one entry a pair of readers), ``within`` (hidden repeats
        by reader), ``gold`` by reader, ``disputed`` (cases on which readers differ), ``acceptance`` (see
        `napari_ssl.review.audit`).
    """
    decisions, tasks = study.decisions(), study.reading_tasks()
    versions = {s.id: s for s in study.segmentations()}
    by_id = {task.id: task for task in tasks}
    reads = first_reads(decisions, versions, by_id)
    labels = _Labels(study, versions) if with_labels else None
    waiting = Counter((task.reader, task.kind.value) for task in open_tasks(tasks, decisions))
    return {
        "readers": _progress(reads, waiting),
        "between": [
            {"readers": list(names), **_pairs(pairs, labels)} for names, pairs in between_readers(reads).items()
        ],
        "within": [
            {"reader": name, **_pairs(pairs, labels)}
            for name, pairs in within_readers(decisions, versions, by_id).items()
        ],
        "gold": [
            {"reader": name, **gold_summary(found)} for name, found in gold_reads(decisions, versions, by_id).items()
        ],
        "disputed": [row.case_id for row in study.queue_rows() if row.is_disputed],
        "acceptance": acceptance(decisions, versions),
    }


def verdict_agreement(pairs: Sequence[ReadPair]) -> dict[str, Any]:
    """Compare two lists of verdicts: table (rows: first), share of agreement, kappa with both intervals."""
    table = np.zeros((len(CATEGORIES),) * 2, int)
    for a, b in pairs:
        table[CATEGORIES.index(a.category), CATEGORIES.index(b.category)] += 1
    kappa = plain_kappa(cohen_kappa(table))
    low, high = bootstrap_kappa(table)
    return {
        "n": len(pairs),
        "table": table.tolist(),
        "agreement": kappa["agreement"],
        "kappa": {"value": kappa["value"], "low": kappa["low"], "high": kappa["high"]},
        "kappa_bootstrap": {"low": low, "high": high},
    }


def gold_summary(reads: Sequence[Read]) -> dict[str, Any]:
    """Compare verdicts with what is right; correcting says, as rejecting does, that the labels were wrong."""
    counts = Counter((read.expected, "good" if read.category == "accept" else "wrong") for read in reads)
    n_good = sum(n for (expected, _), n in counts.items() if expected == "good")
    n_wrong = len(reads) - n_good
    return {
        "n": len(reads),
        "n_right": counts["good", "good"] + counts["wrong", "wrong"],
        "n_wrong_shown": n_wrong,
        "wrong_found": counts["wrong", "wrong"] / n_wrong if n_wrong else None,
        "n_good_shown": n_good,
        "good_accepted": counts["good", "good"] / n_good if n_good else None,
    }


def _progress(reads: Mapping[tuple[str, int], Read], waiting: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
    names = sorted({name for name, _ in reads} | {name for name, _ in waiting})
    result = []
    for name in names:
        own = [read for (reader, _), read in reads.items() if reader == name]
        verdicts = Counter(read.category for read in own)
        seconds = sorted(read.decision.seconds for read in own)
        result.append(
            {
                "reader": name,
                "n_read": len(own),
                **{category: verdicts[category] for category in CATEGORIES},
                "median_seconds": float(np.median(seconds)) if seconds else None,
                "open": {kind: n for (reader, kind), n in sorted(waiting.items()) if reader == name},
            }
        )
    return result


def _pairs(pairs: Sequence[ReadPair], labels: _Labels | None) -> dict[str, Any]:
    result = verdict_agreement(pairs)
    if labels is not None:
        result["labels"] = labels.compare(pairs)
    return result


class _Labels:
    """Compares the label maps that readers stand for; each is measured once."""

    def __init__(self, study: Study, versions: Mapping[int, Segmentation]) -> None:
        self._study = study
        self._versions = versions
        self._ef = cache(self._measured_ef)

    def compare(self, pairs: Sequence[ReadPair]) -> dict[str, Any] | None:
        """Return Dice and the limits of agreement of the EF over pairs in which both stand for labels."""
        both = [
            (self._versions[a.labels_id], self._versions[b.labels_id])
            for a, b in pairs
            if a.labels_id is not None and b.labels_id is not None
        ]
        dice = [d for d in (self._dice(a, b) for a, b in both) if d is not None]
        if not dice:
            return None
        fractions = [(self._ef(a), self._ef(b)) for a, b in both]
        known = [(a, b) for a, b in fractions if a is not None and b is not None]
        return {
            "n": len(dice),
            "n_identical": sum(a.label_hash == b.label_hash for a, b in both),
            "dice": asdict(mean_sd(dice)),
            "lv_ef_percent": asdict(bland_altman(*zip(*known, strict=True))) if known else None,
        }

    def _dice(self, a: Segmentation, b: Segmentation) -> float | None:
        if a.label_hash == b.label_hash:
            return 1.0
        shared = sorted(set(a.frames) & set(b.frames))
        try:
            return mean_dice(self._read(a)[shared], self._read(b)[shared], self._study.label_scheme) if shared else None
        except (NapariSslError, OSError):  # a lost file is 'study check's to report; the other pairs count
            return None

    def _read(self, version: Segmentation) -> Any:
        return self._study.read_labels(version)

    def _measured_ef(self, version: Segmentation) -> float | None:
        stored = (self._study.measures(version.id).get("indices") or {}).get("lv_ef_percent")
        if stored is not None:
            return float(stored)
        case, scheme = self._study.case(version.case_id), self._study.label_scheme
        try:
            curves = volume_curves(
                case.id,
                self._read(version),
                scheme,
                case.spacing_zyx_mm,
                frames=version.frames,
                ed_frame=case.ed_frame,
                es_frame=case.es_frame,
            )
        except (NapariSslError, OSError):
            return None
        value = indices(curves, scheme).lv_ef_percent
        return None if value is None or not np.isfinite(value) else float(value)
