"""How many proposals readers accept, without the bias of an order that shows some before others.

Queues that begin with the worst, or the best, make the share of accepted cases say nothing about the model. The audit
stream (`napari_ssl.review.audit_draw`) is drawn without looking at the cases and comes in random order: whatever part
of it is read is a random sample of all, and its share of accepted cases estimates the one of all without bias.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from statistics import NormalDist
from typing import Any

from napari_ssl.core.consensus import FINAL, counting
from napari_ssl.core.decision import STATE_OF, Decision, Verdict, standing_decisions
from napari_ssl.core.segmentation import Segmentation, Source
from napari_ssl.review.audit_draw import AUDIT_SEED, in_audit
from napari_ssl.study.queue_rows import QueueRow

__all__ = ["acceptance", "audit_of_rows", "wilson_interval"]

_VERDICT_OF = {STATE_OF[verdict]: verdict for verdict in FINAL}
_PROPOSED = (Source.MODEL, Source.REFINED)


def wilson_interval(k: int, n: int, *, level: float = 0.95) -> tuple[float, float] | tuple[None, None]:
    """Interval of a share k of n (Wilson, J. Am. Stat. Assoc. 22:209, 1927); None, None without any."""
    if n == 0:
        return None, None
    z, p = NormalDist().inv_cdf((1 + level) / 2), k / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


def acceptance(
    decisions: Iterable[Decision], versions: Mapping[int, Segmentation], *, seed: int = AUDIT_SEED
) -> dict[str, Any]:
    """Return the share of cases whose proposal was accepted as it is: in the audit stream, and of all that were read.

    A case counts once, with the newest verdict on its newest proposal that was read, whoever gave it.

    Returns
    -------
    dict
        ``audit`` and ``all``, each with ``n``, ``n_accepted``, ``rate``, ``low``, ``high`` (95 % Wilson interval).
    """
    newest: dict[str, tuple[int, Decision]] = {}
    for decision in standing_decisions(counting(decisions)):
        version = versions.get(decision.segmentation_id)
        while version is not None and version.source is Source.CORRECTED:
            version = versions.get(version.parent_id) if version.parent_id is not None else None
        if decision.verdict not in FINAL or version is None or version.source not in _PROPOSED:
            continue
        known = newest.get(decision.case_id)
        if known is None or version.id >= known[0]:
            newest[decision.case_id] = (version.id, decision)
    verdicts = {case_id: decision.verdict for case_id, (_, decision) in newest.items()}
    return {
        "audit": _share([v for case_id, v in verdicts.items() if in_audit(case_id, seed)]),
        "all": _share(list(verdicts.values())),
    }


def audit_of_rows(rows: Iterable[QueueRow], *, seed: int = AUDIT_SEED) -> dict[str, Any]:
    """Return the same share of the audit stream for the reader that the rows of the queue were read for."""
    verdicts = [_VERDICT_OF[r.state] for r in rows if r.state in _VERDICT_OF and in_audit(r.case_id, seed)]
    return _share(verdicts)


def _share(verdicts: list[Verdict]) -> dict[str, Any]:
    n, k = len(verdicts), verdicts.count(Verdict.ACCEPT)
    low, high = wilson_interval(k, n)
    return {"n": n, "n_accepted": k, "rate": k / n if n else None, "low": low, "high": high}
