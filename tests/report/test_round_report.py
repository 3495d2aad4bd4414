from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from napari_ssl.core.case import Split
from napari_ssl.core.curve import ClinicalIndices, VolumeCurve
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import LabelError, StorageError
from napari_ssl.measures.curves import volume_curves
from napari_ssl.report.figures import curves_figure, overlay_figure
from napari_ssl.report.round_report import as_json, write_round_report

ACDC = PRESETS["acdc"]


def _labels(n_frames: int = 5) -> np.ndarray:
    labels = np.zeros((n_frames, 2, 40, 40), np.uint8)
    for frame in range(n_frames):
        labels[frame, :, 8:28, 14:34] = 2
        labels[frame, :, 12 : 24 - frame, 18:30] = 3
        labels[frame, :, 10 : 26 - frame, 5:14] = 1
    return labels


def _curves(**extra) -> dict[str, VolumeCurve]:
    return volume_curves("a", _labels(), ACDC, (10.0, 2.0, 2.0), **extra)


def _row(old: float, new: float) -> dict:
    return {"old": old, "new": new, "difference": new - old, "low": new - old - 0.01, "high": new - old + 0.01}


def _document() -> dict:
    comparison = {
        "n_subjects": 3,
        "dice": {"LV": _row(0.8, 0.9), "RV": _row(0.7, 0.75), "Myo": _row(0.7, 0.8), "mean": _row(0.73, 0.81)},
        "hd95_mm": {"LV": _row(12.0, 8.0)},
        "ef_abs_error_points": {"LV": {**_row(9.0, 4.0), "low": None, "high": None}},
    }
    return {"round": 1, "comparison": comparison, "nothing": float("nan")}


def test_a_report_holds_json_curves_overlays_and_summary(tmp_path: Path) -> None:
    labels = _labels()
    image = np.random.default_rng(0).integers(0, 200, (40, 40))
    files = write_round_report(
        tmp_path / "report",
        _document(),
        scheme=ACDC,
        curves={"a": {"old": _curves(), "new": _curves(), "truth": _curves(frames=[0, 4])}},
        overlays=[
            ("a", 0, 1, image, labels[0, 1], labels[0, 1], labels[0, 1]),
            ("a", 4, 1, image, None, labels[4, 1], None),
        ],
    )
    names = [f.relative_to(tmp_path / "report").as_posix() for f in files]
    assert names == ["report.json", "curves/a.png", "overlays/a.png", "overlays/a_2.png", "summary.png"]
    report = json.loads(files[0].read_text(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert report["nothing"] is None
    assert report["round"] == 1
    assert report["pictures"]["overlays"] == ["overlays/a.png", "overlays/a_2.png"]
    truth = report["curves"]["a"]["truth"]["LV"]
    assert truth["volume_ml"][1] is None
    assert truth["edv_ml"] == pytest.approx(12 * 12 * 2 * 0.04)
    for picture in files[1:]:
        pixels = imread(picture)
        assert min(pixels.shape[:2]) > 300
        assert pixels[..., :3].std() > 0.02  # something is drawn


def test_the_report_is_written_without_overlays_or_a_comparison(tmp_path: Path) -> None:
    files = write_round_report(tmp_path, {"round": 0}, scheme=ACDC, curves={})
    assert [f.name for f in files] == ["report.json"]
    assert json.loads(files[0].read_text())["pictures"]["summary"] == []


def test_values_become_strict_json() -> None:
    value = {
        "a": np.float32("inf"),
        "b": np.arange(2),
        3: (np.int64(4), np.True_, None),
        "path": Path("x"),
        "split": Split.TEST,
        "when": datetime(2026, 1, 2, tzinfo=UTC),
        "indices": ClinicalIndices(lv_edv_ml=100.0),
        "set": {2, 1},
    }
    found = json.loads(json.dumps(as_json(value), allow_nan=False))
    assert found["a"] is None
    assert found["b"] == [0, 1]
    assert found["3"] == [4, True, None]
    assert (found["path"], found["split"], found["when"]) == ("x", "test", "2026-01-02T00:00:00+00:00")
    assert found["indices"]["lv_edv_ml"] == 100.0
    assert found["indices"]["rv_edv_ml"] is None
    assert found["set"] == [1, 2]


def test_curves_are_drawn_against_time_when_it_is_known_and_else_against_the_frame() -> None:
    timed = curves_figure("a", {"new": _curves(frame_interval_ms=40)}, ACDC)
    assert {axes.get_xlabel() for axes in timed.axes} == {"time (ms)"}
    assert [axes.get_title() for axes in timed.axes] == ["RV", "Myo", "LV"]
    np.testing.assert_array_equal(timed.axes[2].lines[0].get_xdata(), np.arange(5) * 40)
    mixed = curves_figure("a", {"new": _curves(frame_interval_ms=40), "old": _curves()}, ACDC)
    assert {axes.get_xlabel() for axes in mixed.axes} == {"frame"}


def test_a_static_volume_and_an_unlabelled_slice_can_be_drawn() -> None:
    curves = volume_curves("a", _labels(1), ACDC, (10, 2, 2))
    assert len(curves_figure("a", {"new": curves}, ACDC).axes) == 3
    empty = np.zeros((40, 40), np.uint8)
    assert len(overlay_figure("a", empty, {"new model": empty, "reference": None}, ACDC).axes) == 2


def test_labels_of_another_shape_are_refused() -> None:
    with pytest.raises(LabelError, match=r"new model has shape \(3, 3\), the image \(4, 4\)"):
        overlay_figure("a", np.zeros((4, 4)), {"new model": np.zeros((3, 3))}, ACDC)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(StorageError, match=r"report\.json: cannot be written"):
        write_round_report(blocked, {}, scheme=ACDC, curves={})
    with pytest.raises(StorageError, match=r"a\.png: cannot be written"):
        write_round_report(blocked, {}, scheme=ACDC, curves={"a": {"new": _curves()}})
