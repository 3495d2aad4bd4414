"""Figures of quality control: ROC and calibration of a classifier, rounds of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

__all__ = ["calibration_figure", "roc_figure", "rounds_figure"]

_INK, _BLUE, _ORANGE = "#1f2328", "#0969a8", "#b35900"


def _axes(width: float, height: float, n: int = 1) -> tuple[Figure, list[Any]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    cells = [figure.add_subplot(1, n, k + 1) for k in range(n)]
    for axes in cells:
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, cells


def roc_figure(metrics: Mapping[str, Any]) -> Figure:
    """Draw sensitivity for erroneous cases over false alarms, with the operating point.

    Parameters
    ----------
    metrics : mapping
        ``roc`` (``false_alarms``, ``sensitivity``), ``auc``, ``sensitivity`` and ``specificity`` at the threshold.
    """
    figure, (axes,) = _axes(4.6, 4.2)
    axes.plot([0, 1], [0, 1], color="0.75", linewidth=1)
    axes.plot(metrics["roc"]["false_alarms"], metrics["roc"]["sensitivity"], color=_BLUE, linewidth=2)
    axes.plot([1 - metrics["specificity"]], [metrics["sensitivity"]], "o", color=_ORANGE, markersize=8)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_xlabel("false alarms (1 − specificity)")
    axes.set_ylabel("sensitivity for erroneous")
    axes.set_title(f"AUC {metrics['auc']:.3f}", fontsize=10, color=_INK)
    return figure


def calibration_figure(bins: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the share of good cases over the predicted probability, one dot a bin, its size by the number of cases.

    Parameters
    ----------
    bins : sequence of mapping
        ``stated``, ``observed``, ``n``, as `qc.evaluate.calibration_curve` makes them.
    """
    figure, (axes,) = _axes(4.6, 4.2)
    axes.plot([0, 1], [0, 1], color="0.75", linewidth=1)
    most = max((b["n"] for b in bins), default=1)
    x, y = [b["stated"] for b in bins], [b["observed"] for b in bins]
    axes.plot(x, y, color=_BLUE, linewidth=1.2)
    axes.scatter(x, y, s=[20 + 120 * b["n"] / most for b in bins], color=_BLUE, zorder=3)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_xlabel("probability of good")
    axes.set_ylabel("share that was good")
    return figure


def rounds_figure(rounds: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw validation loss, validation Dice and the share of flagged proposals over the rounds, as far as known.

    Parameters
    ----------
    rounds : sequence of mapping
        As in `measures.drift.DriftReport.to_dict`.
    """
    panels = {
        "validation_loss": "validation loss",
        "validation_dice": "validation Dice",
        "share_flagged": "share of flagged proposals",
    }
    known = {k: t for k, t in panels.items() if any(r.get(k) is not None for r in rounds)} or panels
    figure, cells = _axes(3.6 * len(known), 3.2, len(known))
    for axes, (key, title) in zip(cells, known.items(), strict=True):
        points = [(r["round"], r[key]) for r in rounds if r.get(key) is not None]
        axes.plot([p[0] for p in points], [p[1] for p in points], "o-", color=_BLUE, linewidth=2)
        axes.set_xlabel("round")
        axes.set_title(title, fontsize=10, color=_INK)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure
