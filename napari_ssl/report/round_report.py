"""The folder that a round leaves behind: ``report.json``, ``summary.png``, ``curves/`` and ``overlays/``."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.curve import VolumeCurve
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.errors import StorageError
from napari_ssl.report.figures import curves_figure, overlay_figure, save_figure, summary_figure

__all__ = ["Overlay", "as_json", "curve_document", "write_round_report"]


class Overlay(NamedTuple):
    """A slice to show: frame and slice count from 0, arrays are (Y, X); labels that do not exist are None."""

    case_id: str
    frame: int
    slice: int
    image_yx: NDArray[Any]
    old_labels: NDArray[Any] | None
    new_labels: NDArray[Any] | None
    reference_labels: NDArray[Any] | None


def as_json(value: Any) -> Any:
    """Turn a document into strict JSON types: NaN and infinity become null, arrays lists, enums their values."""
    if isinstance(value, Mapping):
        return {str(k): as_json(v) for k, v in value.items()}
    if isinstance(value, VolumeCurve):
        return curve_document(value)
    if is_dataclass(value) and not isinstance(value, type):
        return as_json(asdict(value))
    if isinstance(value, np.ndarray):
        return as_json(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(v) for v in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, Enum):
        return as_json(value.value)
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None else str(value)


def curve_document(curve: VolumeCurve) -> dict[str, Any]:
    """Return a curve with its indices as strict JSON types."""
    return as_json(
        {
            "volume_ml": np.round(curve.volume_ml, 4),
            "time_ms": None if curve.time_ms is None else np.round(curve.time_ms, 3),
            "ed_frame": curve.ed_frame,
            "es_frame": curve.es_frame,
            "edv_ml": curve.edv_ml,
            "esv_ml": curve.esv_ml,
            "sv_ml": curve.sv_ml,
            "ef_percent": curve.ef_percent,
        }
    )


def write_round_report(
    folder: Path,
    document: Mapping[str, Any],
    *,
    scheme: LabelScheme,
    curves: Mapping[str, Mapping[str, Mapping[str, VolumeCurve]]],
    overlays: Iterable[Overlay | tuple[Any, ...]] = (),
    pixel_aspect: float = 1.0,
) -> list[Path]:
    """Write the report of a round and return the files, ``report.json`` first.

    Parameters
    ----------
    folder : Path
        Made when absent; files of an earlier report of the same names are replaced.
    document : mapping
        What the round has to say. When it holds ``"comparison"`` (from `measures.evaluation.compare`), that is drawn as
        ``summary.png``.
    scheme : LabelScheme
    curves : mapping of case to source to structure to VolumeCurve
        Sources are ``old``, ``new`` and ``truth``; they are drawn and also written to ``report.json``.
    overlays : iterable of Overlay
        Several slices of a case become ``CASE.png``, ``CASE_2.png`` and so on.
    pixel_aspect : float
        Height of a pixel divided by its width.

    Raises
    ------
    StorageError
        A file cannot be written; ``report.json`` is replaced as a whole or not at all.
    """
    folder = Path(folder)
    pictures: dict[str, list[Path]] = {"curves": [], "overlays": [], "summary": []}
    for case_id, by_source in curves.items():
        path = folder / "curves" / f"{case_id}.png"
        pictures["curves"].append(save_figure(curves_figure(case_id, by_source, scheme), path))
    seen: dict[str, int] = {}
    for overlay in (Overlay(*o) for o in overlays):
        seen[overlay.case_id] = seen.get(overlay.case_id, 0) + 1
        number = "" if seen[overlay.case_id] == 1 else f"_{seen[overlay.case_id]}"
        path = folder / "overlays" / f"{overlay.case_id}{number}.png"
        pictures["overlays"].append(save_figure(_overlay(overlay, scheme, pixel_aspect), path))
    if document.get("comparison"):
        pictures["summary"].append(save_figure(summary_figure(document["comparison"], scheme), folder / "summary.png"))
    text = as_json(document)
    text["curves"] = as_json(curves)
    text["pictures"] = {kind: [p.relative_to(folder).as_posix() for p in paths] for kind, paths in pictures.items()}
    report = _write_json(folder / "report.json", text)
    return [report, *(path for paths in pictures.values() for path in paths)]


def _overlay(overlay: Overlay, scheme: LabelScheme, aspect: float) -> Any:
    panels = {
        "old model": overlay.old_labels,
        "new model": overlay.new_labels,
        "reference": overlay.reference_labels,
    }
    title = f"{overlay.case_id}, frame {overlay.frame}, slice {overlay.slice}"
    return overlay_figure(title, overlay.image_yx, panels, scheme, aspect=aspect)


def _write_json(path: Path, document: dict[str, Any]) -> Path:
    """Write beside the target and then move, so that a report is never half written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}); free space or choose another folder"
        ) from error
    return path
