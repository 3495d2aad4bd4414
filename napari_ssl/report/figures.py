"""Pictures for reports: volume curves, overlays, comparison of two models. PNG through Agg, without a display.

Only matplotlib's object interface is used: no global state, so that figures may be drawn in any thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from napari_ssl.core.curve import VolumeCurve
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.errors import LabelError, StorageError

__all__ = ["STYLES", "curves_figure", "overlay_figure", "save_figure", "summary_figure"]

STYLES: dict[str, dict[str, Any]] = {
    "truth": {"color": "0.15", "linestyle": ":", "linewidth": 2.2, "label": "truth"},
    "old": {"color": "0.55", "linestyle": "--", "linewidth": 1.6, "label": "old model"},
    "new": {"linestyle": "-", "linewidth": 2.2, "label": "new model"},
}
"""How the three sources of a curve are told apart, by line style as well as by colour."""

_INK = "#222222"


def save_figure(figure: Figure, path: Path) -> Path:
    """Write the figure as PNG; StorageError naming the file when that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png", facecolor="white")
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}); free space or choose another folder"
        ) from error
    return path


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def curves_figure(case_id: str, curves: Mapping[str, Mapping[str, VolumeCurve]], scheme: LabelScheme) -> Figure:
    """Draw one panel per structure with the curves of all sources.

    Parameters
    ----------
    case_id : str
    curves : mapping of source to mapping of structure to VolumeCurve
        Sources are ``old``, ``new`` and ``truth``; any may be absent. The x axis is time in ms when every curve has it,
        else the frame, from 0. ED and ES of the newest source present are marked.
    scheme : LabelScheme
        Order and colours of the structures.
    """
    structures = [s for s in scheme.structures if any(s.name in by for by in curves.values())]
    figure = _figure(4.6 * max(len(structures), 1), 3.7)
    figure.suptitle(f"{case_id}: volume over the cardiac cycle", fontsize=13, color=_INK)
    in_ms = all(curve.time_ms is not None for by in curves.values() for curve in by.values())
    panels = np.ravel(figure.subplots(1, max(len(structures), 1), squeeze=False))
    for axes, structure in zip(panels, structures, strict=False):
        shown = {source: by[structure.name] for source, by in curves.items() if structure.name in by}
        _structure_panel(axes, shown, structure.colour, in_ms)
        axes.set_title(structure.name, fontsize=12, color=structure.colour, fontweight="bold")
    handles = [Line2D([], [], **{"color": _INK, **style}) for source, style in STYLES.items() if source in curves]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _structure_panel(axes: Any, shown: Mapping[str, VolumeCurve], colour: str, in_ms: bool) -> None:
    """Draw one structure's curves from all sources that have it, and the phases of the newest."""
    for source in STYLES:
        if source in shown:
            curve = shown[source]
            marker = "o" if _sparse(curve) else ""
            axes.plot(
                _x(curve, in_ms), curve.volume_ml, marker=marker, markersize=5, **{"color": colour, **STYLES[source]}
            )
    newest = next(shown[source] for source in ("new", "old", "truth") if source in shown)
    _mark_phases(axes, newest, in_ms)
    axes.set_xlabel("time (ms)" if in_ms else "frame")
    axes.set_ylabel("volume (ml)")
    axes.set_ylim(0, 1.12 * max(axes.get_ylim()[1], 1e-3))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _x(curve: VolumeCurve, in_ms: bool) -> NDArray[np.floating]:
    return curve.time_ms if in_ms else np.arange(len(curve.volume_ml))


def _sparse(curve: VolumeCurve) -> bool:
    """A curve that is known in few frames only is drawn with markers, or it would not be seen."""
    return not np.isfinite(curve.volume_ml).all() or len(curve.volume_ml) == 1


def _mark_phases(axes: Any, curve: VolumeCurve, in_ms: bool) -> None:
    for name, frame in (("ED", curve.ed_frame), ("ES", curve.es_frame)):
        if frame is not None:
            x = _x(curve, in_ms)[frame]
            axes.axvline(x, color="0.6", linewidth=0.8)
            axes.annotate(
                name,
                (x, 0),
                xycoords=("data", "axes fraction"),
                xytext=(3, 4),
                textcoords="offset points",
                fontsize=9,
            )


def overlay_figure(
    title: str,
    image_yx: NDArray[Any],
    panels: Mapping[str, NDArray[Any] | None],
    scheme: LabelScheme,
    *,
    aspect: float = 1.0,
) -> Figure:
    """Draw the slice bare and then once with each label map: outlines over a light tint.

    Parameters
    ----------
    title : str
    image_yx : (Y, X)
    panels : mapping of title to (Y, X) uint8 or None
        None is left out.
    scheme : LabelScheme
    aspect : float
        Height of a pixel divided by its width.

    Raises
    ------
    LabelError
        Labels whose shape is not the image's.
    """
    shown = {name: labels for name, labels in panels.items() if labels is not None}
    for name, labels in shown.items():
        if np.shape(labels) != np.shape(image_yx):
            raise LabelError(f"{title}: {name} has shape {np.shape(labels)}, the image {np.shape(image_yx)}")
    figure = _figure(3.6 * (len(shown) + 1), 4.3)
    figure.suptitle(title, fontsize=13, color=_INK)
    image = np.asarray(image_yx, float)
    low, high = np.percentile(image, (1, 99.5))
    grey = np.clip((image - low) / max(high - low, 1e-9), 0, 1)
    window = _around([labels for labels in shown.values()], grey.shape)
    for axes, (name, labels) in zip(
        np.ravel(figure.subplots(1, len(shown) + 1, squeeze=False)), [("image", None), *shown.items()], strict=True
    ):
        axes.imshow(_tinted(grey, labels, scheme), aspect=aspect, interpolation="nearest")
        if labels is not None:
            for s in scheme.structures:
                if (labels == s.value).any():
                    axes.contour(labels == s.value, levels=[0.5], colors=[s.colour], linewidths=1.6)
        axes.set_title(name, fontsize=11)
        axes.set_xlim(window[1].start - 0.5, window[1].stop - 0.5)
        axes.set_ylim(window[0].stop - 0.5, window[0].start - 0.5)
        axes.set_axis_off()
    handles = [figure.axes[0].plot([], [], color=s.colour, linewidth=4, label=s.name)[0] for s in scheme.structures]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def _tinted(grey: NDArray[np.floating], labels: NDArray[Any] | None, scheme: LabelScheme) -> NDArray[np.floating]:
    rgb = np.repeat(grey[..., None], 3, axis=2)
    if labels is not None:
        for s in scheme.structures:
            mask = np.asarray(labels) == s.value
            rgb[mask] = 0.78 * rgb[mask] + 0.22 * np.array(to_rgb(s.colour))
    return rgb


def _around(label_maps: Sequence[NDArray[Any]], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Square window around everything labelled, with a margin; the whole image where nothing is."""
    mask = np.zeros(shape, bool)
    for labels in label_maps:
        mask |= np.asarray(labels) > 0
    if not mask.any():
        return slice(0, shape[0]), slice(0, shape[1])
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    half = max(rows[-1] - rows[0], columns[-1] - columns[0]) // 2 + max(6, min(shape) // 12)
    window = []
    for filled, size in ((rows, shape[0]), (columns, shape[1])):
        middle = (int(filled[0]) + int(filled[-1])) // 2
        window.append(slice(max(middle - half, 0), min(middle + half + 1, size)))
    return window[0], window[1]


def summary_figure(comparison: Mapping[str, Any], scheme: LabelScheme) -> Figure:
    """Draw old against new model: Dice, HD95 and absolute EF error, mean over subjects, with what changed.

    Parameters
    ----------
    comparison : mapping
        From `napari_ssl.measures.evaluation.compare`.
    """
    panels = (
        ("dice", "Dice (higher is better)", "{:.3f}"),
        ("hd95_mm", "HD95, mm (lower is better)", "{:.1f}"),
        ("ef_abs_error_points", "EF error, percentage points (lower is better)", "{:.1f}"),
    )
    panels = tuple(p for p in panels if comparison.get(p[0]))
    figure = _figure(4.8 * max(len(panels), 1), 4.2)
    n = comparison["n_subjects"]
    figure.suptitle(f"Old and new model on {n} subject{'s' if n != 1 else ''}", fontsize=13, color=_INK)
    colours = {s.name: s.colour for s in scheme.structures}
    for axes, (quantity, title, number) in zip(
        np.ravel(figure.subplots(1, max(len(panels), 1), squeeze=False)), panels, strict=False
    ):
        rows = {name: row for name, row in comparison[quantity].items() if name != "mean"}
        _paired_bars(axes, rows, colours, number)
        axes.set_title(title, fontsize=11)
    return figure


def _paired_bars(axes: Any, rows: Mapping[str, Any], colours: Mapping[str, str], number: str) -> None:
    top = max((max(row["old"], row["new"]) for row in rows.values()), default=1.0) or 1.0
    for place, (name, row) in enumerate(rows.items()):
        colour = colours.get(name, "#0072B2")
        axes.bar(place - 0.2, row["old"], 0.38, color="0.75", edgecolor="0.4")
        axes.bar(place + 0.2, row["new"], 0.38, color=colour, edgecolor=_INK)
        for x, value in ((place - 0.2, row["old"]), (place + 0.2, row["new"])):
            axes.annotate(
                number.format(value), (x, value), xytext=(0, 2), textcoords="offset points", ha="center", fontsize=9
            )
        interval = (
            "" if row["low"] is None else "\n95 % {}…{}".format(*(_signed(row[k], number) for k in ("low", "high")))
        )
        axes.annotate(
            f"{_signed(row['difference'], number)}{interval}", (place, 1.19 * top), ha="center", va="top", fontsize=8.5
        )
    axes.set_xticks(range(len(rows)), [f"{name}\nold | new" for name in rows])
    axes.set_ylim(0, 1.22 * top)
    axes.spines[["top", "right"]].set_visible(False)


def _signed(value: float, number: str) -> str:
    return ("+" if value >= 0 else "−") + number.format(abs(value))
