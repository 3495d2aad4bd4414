"""Drawings for papers and pages: scores by arm, change by case, agreement, Dice against time. SVG and PNG.

Text stays text in the SVG. Only matplotlib's object interface is used, so that figures may be drawn in any thread.
"""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_ssl.io.atomic import write_bytes

__all__ = [
    "ARM_COLOURS",
    "bland_altman_figure",
    "change_figure",
    "curve_figure",
    "save_both",
    "scores_figure",
    "svg_text",
]

ARM_COLOURS = ("#4d4d4d", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8c6d31", "#5e3c99")
"""Okabe-Ito and what goes with it, for arms in their order: told apart by colour-blind readers."""
_MARKERS = "osD^vPX*h"
_INK = "#222222"
_SVG_LOCK = threading.Lock()  # how an SVG is written is a global setting of matplotlib


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def svg_text(figure: Figure) -> str:
    """Return the figure as an SVG document; the same figure always gives the same text."""
    target = io.StringIO()
    settings = {"svg.fonttype": "none", "svg.hashsalt": "napari-ssl", "font.family": ["DejaVu Sans"]}
    with _SVG_LOCK, matplotlib.rc_context(settings):
        figure.savefig(target, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return target.getvalue()


def save_both(figure: Figure, path: Path) -> str:
    """Write ``path.svg`` and ``path.png`` and return the SVG; StorageError names a file that cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = svg_text(figure)
    write_bytes(path.with_name(path.name + ".svg"), text.encode())
    pixels = io.BytesIO()
    figure.savefig(pixels, format="png", facecolor="white", dpi=200)
    write_bytes(path.with_name(path.name + ".png"), pixels.getvalue())
    return text


def scores_figure(scores: Mapping[str, Mapping[str, Any]], title: str, *, unit: str = "") -> Figure:
    """Draw every subject's score by structure and arm, with the mean of each arm.

    Parameters
    ----------
    scores : mapping of structure to mapping of arm to row
        Rows hold ``by_subject`` and ``mean``, as in `rounds.comparison_table.score_table`.
    title, unit : str
    """
    arms = list(next(iter(scores.values())))
    figure = _figure(max(6.0, 1.2 + len(scores) * (0.55 + 0.34 * len(arms))), 4.4)
    axes = figure.subplots()
    width = 0.8 / len(arms)
    for place, rows in enumerate(scores.values()):
        for number, arm in enumerate(arms):
            values = np.array(list(rows[arm]["by_subject"].values()))
            x = place + (number - (len(arms) - 1) / 2) * width
            dots = {"s": 13, "alpha": 0.55, "linewidths": 0, "color": _colour(number), "marker": _marker(number)}
            axes.scatter(x + _spread(values, 0.32 * width), values, **dots)
            if len(values):
                axes.plot([x - 0.4 * width, x + 0.4 * width], [values.mean()] * 2, color=_INK, linewidth=2.2)
    axes.set_xticks(range(len(scores)), ["all" if s == "mean" else s for s in scores])
    axes.set_ylabel(f"{title}{f' ({unit})' if unit else ''}")
    _tidy(axes, grid="y")
    _legend_of_arms(figure, axes, arms)
    return figure


def _spread(values: np.ndarray, half: float) -> np.ndarray:
    """Places of dots beside one another, the same each time: by the order of the values."""
    ranks = np.argsort(np.argsort(values))
    return half * (((ranks * 0.6180339887) % 1.0) * 2 - 1)


def _colour(number: int) -> str:
    return ARM_COLOURS[number % len(ARM_COLOURS)]


def _marker(number: int) -> str:
    """Another one each time the colours begin anew, so that no two arms look the same."""
    return _MARKERS[number // len(ARM_COLOURS) % len(_MARKERS)]


def _legend_of_arms(figure: Figure, axes: Any, arms: Sequence[str]) -> None:
    handles = [
        axes.plot([], [], marker=_marker(number), linestyle="", color=_colour(number), label=arm)[0]
        for number, arm in enumerate(arms)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(arms)), frameon=False, fontsize=9)


def _tidy(axes: Any, *, grid: str = "both") -> None:
    axes.grid(alpha=0.25, axis=grid)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _panels(n: int, *, width: float = 3.9, height: float = 3.5) -> tuple[Figure, list[Any]]:
    columns = min(3, max(1, n))
    rows = math.ceil(max(1, n) / columns)
    figure = _figure(width * columns, height * rows + 0.3)
    cells = list(np.ravel(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)))
    for unused in cells[n:]:
        unused.set_visible(False)
    for axes in cells[max(0, n - columns) : n]:
        axes.xaxis.set_tick_params(labelbottom=True)
    return figure, cells[:n]


def change_figure(baseline: str, scores: Mapping[str, Mapping[str, Any]], quantity: str) -> Figure:
    """Draw each subject's change against the baseline over its baseline score, one panel for each other arm.

    As Ruijsink et al. 2020, Fig. 2: does an arm help hard cases too, or easy ones only?

    Parameters
    ----------
    scores : mapping of arm to row
        Of one structure, with ``by_subject``.
    """
    before = scores[baseline]["by_subject"]
    others = [arm for arm in scores if arm != baseline]
    figure, panels = _panels(len(others))
    for axes, arm in zip(panels, others, strict=True):
        after = scores[arm]["by_subject"]
        subjects = [s for s in before if s in after]
        x = np.array([before[s] for s in subjects])
        change = np.array([after[s] - before[s] for s in subjects])
        number = list(scores).index(arm)
        axes.axhline(0, color=_INK, linewidth=0.9)
        axes.vlines(x, 0, change, color=_colour(number), alpha=0.35, linewidth=1.2)
        axes.scatter(x, change, s=24, color=_colour(number), edgecolor="white", linewidth=0.5, zorder=3)
        mean = f", mean {change.mean():+.3f}" if len(change) else ""
        axes.set_title(f"{arm}\n{int((change > 0).sum())} up, {int((change < 0).sum())} down{mean}", fontsize=10)
        _tidy(axes)
    figure.supxlabel(f"{quantity}, {baseline}", fontsize=10)
    figure.supylabel(f"change of {quantity}", fontsize=10)
    return figure


def bland_altman_figure(
    title: str, arms: Mapping[str, Mapping[str, Any]], *, colour_order: Sequence[str] = ()
) -> Figure:
    """Draw found − reference over their mean, with bias and limits of agreement, one panel for each arm.

    Parameters
    ----------
    title : str
        The index with its unit.
    arms : mapping of arm to row
        Rows hold ``pairs`` (subject, found, expected) and ``agreement``, as in `rounds.comparison_table`.
    colour_order : sequence of str
        All arms that there are: one that has no value here leaves the colours of the others as they are elsewhere.
    """
    figure, panels = _panels(len(arms))
    order = list(colour_order or arms)
    for axes, (arm, row) in zip(panels, arms.items(), strict=True):
        number = order.index(arm)
        found, expected = (np.array([p[k] for p in row["pairs"]]) for k in (1, 2))
        axes.scatter((found + expected) / 2, found - expected, s=24, color=_colour(number), alpha=0.75, linewidths=0)
        agreement = row["agreement"]
        axes.axhline(0, color="0.75", linewidth=0.8)
        _line(axes, agreement["bias"], "-", "bias", at="left")
        for name in ("lower", "upper"):
            if agreement[name] is not None:
                _line(axes, agreement[name], "--", "−1.96 SD" if name == "lower" else "+1.96 SD", under=name == "lower")
        axes.set_title(arm, fontsize=10)
        axes.margins(y=0.18)
        _tidy(axes)
    figure.supxlabel(f"mean of network and reference, {title}", fontsize=10)
    figure.supylabel("network − reference", fontsize=10)
    return figure


def _line(axes: Any, y: float, style: str, name: str, *, at: str = "right", under: bool = False) -> None:
    """A line with its value: the bias at the left, the limits above and under theirs: close ones can be read."""
    axes.axhline(y, color=_INK, linestyle=style, linewidth=1.1)
    axes.annotate(
        f"{name}: {y:+.1f}".replace("-", "−"),
        (1.0 if at == "right" else 0.0, y),
        xycoords=("axes fraction", "data"),
        xytext=(-2 if at == "right" else 2, -2 if under else 2),
        textcoords="offset points",
        ha=at,
        va="top" if under else "bottom",
        fontsize=7.5,
        color=_INK,
    )


def curve_figure(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw Dice against minutes of a clinician's time, one line for each arm, with bootstrap intervals.

    Parameters
    ----------
    curves : mapping of arm to points
        As in `rounds.comparison_table.minutes_table`.
    """
    figure = _figure(7.2, 4.4)
    axes = figure.subplots()
    for number, (arm, points) in enumerate(curves.items()):
        minutes, dice = [p["minutes"] for p in points], [p["dice"] for p in points]
        marker = _MARKERS[(number + number // len(ARM_COLOURS)) % len(_MARKERS)]
        axes.plot(minutes, dice, marker=marker, color=_colour(number), linewidth=2, label=arm)
        if all(p["low"] is not None for p in points) and len(points) == 1:  # no band: reviewed inside the run alone
            axes.vlines(minutes, points[0]["low"], points[0]["high"], color=_colour(number), alpha=0.45, linewidth=1.5)
        elif all(p["low"] is not None for p in points):
            axes.fill_between(
                minutes,
                [p["low"] for p in points],
                [p["high"] for p in points],
                color=_colour(number),
                alpha=0.13,
                linewidth=0,
            )
    axes.set_xlabel("clinician's time (minutes)")
    axes.set_ylabel("Dice, mean over structures")
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    _tidy(axes)
    figure.legend(loc="outside lower center", ncols=min(3, len(curves)), frameon=False, fontsize=9)
    return figure
