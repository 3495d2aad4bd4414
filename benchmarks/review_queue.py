"""Sorting and filtering of a long queue, as the window does it: call times, without drawing.

    python benchmarks/review_queue.py --cases 10000

Budget: p95 under 50 ms for 10,000 cases. Times are the CPU time of the window's thread (``thread_time``), which other
programs on the machine do not lengthen; ``wall`` is what the clock says.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import sys
import time
from collections.abc import Callable

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
from qtpy.QtWidgets import QApplication

from napari_ssl.core.case import Split
from napari_ssl.core.decision import ReviewState
from napari_ssl.gui.queue_model import COLUMNS
from napari_ssl.gui.queue_panel import QueuePanel
from napari_ssl.review.audit_draw import draw, draw_ahead, waiting_time
from napari_ssl.review.queue import ORDERS
from napari_ssl.study.queue_rows import QueueRow

FILTERS = ("0042", "state:todo", "reader:ada -state:accepted", "flag:yes ef<45", "audit:yes qc<0.6", "group:dcm 7")


def make_rows(n: int, seed: int = 0) -> list[QueueRow]:
    """Return rows as a study of `n` cases has them after some rounds with two readers."""
    rng = random.Random(seed)
    states = list(ReviewState)
    return [
        QueueRow(
            case_id=f"patient{i:05d}",
            subject_id=f"patient{i:05d}",
            group=rng.choice(("NOR", "DCM", "HCM", None)),
            split=rng.choice((Split.TRAIN, Split.TRAIN, Split.VALIDATION, Split.TEST)),
            state=rng.choice(states),
            mean_confidence=rng.random(),
            lv_ef=rng.uniform(15, 75),
            disagreement=rng.random() if i % 3 else None,
            foreground_fraction=rng.random() * 0.1,
            model_id="m3",
            round=rng.randrange(3),
            reader_of_decision=rng.choice(("Ada", "Bob", None)),
            proposal_id=i + 1,
            probability_good=rng.random(),
            is_flagged=rng.random() < 0.2,
            n_flags=rng.randrange(4),
        )
        for i in range(n)
    ]


def measure(n_cases: int = 10_000, n_repeats: int = 10) -> dict[str, dict[str, float]]:
    """Return p50 and p95 in ms of every order, filter and heading, and of the first call of each (``first``)."""
    QApplication.instance() or QApplication(sys.argv[:1])
    rows = make_rows(n_cases)
    panel = QueuePanel()
    panel.resize(340, 700)
    found = {"take rows": _times(lambda: panel.set_rows(rows), n_repeats)}
    forget = functools.partial(_forget, panel)
    for name in ORDERS:
        panel.order.setCurrentIndex(panel.order.findData("case-id"))
        for kept in (draw, waiting_time):
            kept.cache_clear()
        draw_ahead(r.case_id for r in rows)  # as the thread does that reads the rows
        found[f"order {name}"] = _times(lambda name=name: _choose_order(panel, name), n_repeats, forget)
    panel.audit.setChecked(True)
    found["with audit"] = _times(lambda: _choose_order(panel, "worst-qc-first"), n_repeats, forget)
    panel.audit.setChecked(False)
    for text in FILTERS:
        found[f"filter {text!r}"] = _times(lambda text=text: _type(panel, text), n_repeats)
    panel.search.setText("")
    for column, (title, *_) in enumerate(COLUMNS):
        found[f"heading {title}"] = _times(lambda column=column: panel._sort_by(column), n_repeats)
    panel.close()
    return found


def _forget(panel: QueuePanel) -> None:
    """Take the same rows anew, as after a decision: no order is kept from before."""
    panel.model.set_rows(panel.model.all_rows)


def _choose_order(panel: QueuePanel, name: str) -> None:
    panel.order.blockSignals(True)
    panel.order.setCurrentIndex(panel.order.findData(name))
    panel.order.blockSignals(False)
    panel._reorder()


def _type(panel: QueuePanel, text: str) -> None:
    panel.model.text = ""
    panel.search.blockSignals(True)
    panel.search.setText(text)
    panel.search.blockSignals(False)
    panel._filter()


def _times(action: Callable[[], object], n: int, before: Callable[[], object] = lambda: None) -> dict[str, float]:
    cpu, wall = [], []
    for _ in range(n):
        before()
        start, clock = time.thread_time(), time.perf_counter()
        action()
        cpu.append(1e3 * (time.thread_time() - start))
        wall.append(1e3 * (time.perf_counter() - clock))
    return {
        "first_ms": round(cpu[0], 1),
        "p50_ms": round(float(np.percentile(cpu, 50)), 1),
        "p95_ms": round(float(np.percentile(cpu, 95)), 1),
        "wall_p95_ms": round(float(np.percentile(wall, 95)), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    print(json.dumps(measure(options.cases, options.repeats), indent=1))


if __name__ == "__main__":
    main()
