from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import GeometryError, LabelError
from napari_ssl.measures.curves import find_phases, frame_volumes, indices, volume_curves

ACDC = PRESETS["acdc"]
SPACING = (10.0, 2.0, 2.0)  # 0.04 ml a voxel


def _labels(lv: list[int], myo: int = 50, rv: list[int] | None = None) -> np.ndarray:
    """Labels with the given number of voxels per frame."""
    labels = np.zeros((len(lv), 2, 20, 20), np.uint8)
    for frame, n in enumerate(lv):
        flat = labels[frame].reshape(-1)
        flat[:n] = 3
        flat[200 : 200 + myo] = 2
        flat[400 : 400 + (rv[frame] if rv else 0)] = 1
    return labels


def test_volumes_are_exact_voxel_counts_in_ml() -> None:
    curves = volume_curves("a", _labels([100, 60, 40, 80], rv=[90, 60, 50, 70]), ACDC, SPACING, frame_interval_ms=30)
    assert list(curves) == ["RV", "Myo", "LV"]
    np.testing.assert_array_equal(curves["LV"].volume_ml, np.array([100, 60, 40, 80]) * 0.04)
    np.testing.assert_array_equal(curves["RV"].volume_ml, np.array([90, 60, 50, 70]) * 0.04)
    np.testing.assert_array_equal(curves["LV"].time_ms, [0, 30, 60, 90])


def test_indices_follow_their_definitions() -> None:
    curves = volume_curves("a", _labels([100, 60, 40, 80], rv=[90, 60, 50, 70]), ACDC, SPACING)
    found = indices(curves, ACDC)
    assert (curves["LV"].ed_frame, curves["LV"].es_frame) == (0, 2)
    assert found.lv_edv_ml == pytest.approx(4.0)
    assert found.lv_esv_ml == pytest.approx(1.6)
    assert found.lv_sv_ml == pytest.approx(2.4)
    assert found.lv_ef_percent == pytest.approx(60.0)
    assert found.lv_mass_g == pytest.approx(50 * 0.04 * 1.05)
    assert found.rv_edv_ml == pytest.approx(3.6)
    assert found.rv_ef_percent == pytest.approx(100 * (3.6 - 2.0) / 3.6)


def test_known_phases_are_kept_and_a_missing_one_is_found() -> None:
    curves = volume_curves("a", _labels([100, 60, 40, 80]), ACDC, SPACING, ed_frame=3)
    assert (curves["LV"].ed_frame, curves["LV"].es_frame) == (3, 2)


def test_unlabelled_frames_are_nan_and_take_no_part_in_the_phases() -> None:
    curves = volume_curves("a", _labels([100, 60, 0, 80]), ACDC, SPACING, frames=[1, 3])
    assert np.isnan(curves["LV"].volume_ml[[0, 2]]).all()
    assert (curves["LV"].ed_frame, curves["LV"].es_frame) == (3, 1)


def test_a_static_volume_has_no_phases_and_no_ejection_fraction() -> None:
    curves = volume_curves("a", _labels([100]), ACDC, SPACING)
    assert curves["LV"].ed_frame is None
    assert np.isnan(indices(curves, ACDC).lv_ef_percent)


def test_ejection_fraction_is_nan_for_an_empty_ed_frame() -> None:
    curves = volume_curves("a", _labels([0, 0]), ACDC, SPACING, ed_frame=0, es_frame=1)
    assert np.isnan(indices(curves, ACDC).lv_ef_percent)


def test_phases_come_from_the_right_ventricle_when_there_is_no_left_one() -> None:
    curves = volume_curves("a", _labels([0, 0, 0], rv=[50, 90, 30]), ACDC, SPACING)
    assert (curves["RV"].ed_frame, curves["RV"].es_frame) == (1, 2)


def test_find_phases_takes_the_first_of_equal_frames() -> None:
    assert find_phases(np.array([5.0, 9.0, 9.0, 2.0, 2.0])) == (1, 3)
    assert find_phases(np.array([np.nan, 3.0])) == (None, None)
    assert find_phases(np.array([4.0, 4.0])) == (None, None)


def test_volume_of_a_sphere_agrees_with_its_closed_form() -> None:
    z, y, x = np.mgrid[-15:16, -30:31, -30:31]
    radius = 25.0
    labels = (np.hypot(np.hypot(z * 2.0, y * 1.0), x * 1.0) < radius).astype(np.uint8)[None] * 3
    ml = volume_curves("s", labels, ACDC, (2.0, 1.0, 1.0))["LV"].volume_ml[0]
    assert ml == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.005)


def test_wrong_input_is_named() -> None:
    with pytest.raises(GeometryError, match="case a: labels must be"):
        volume_curves("a", np.zeros((3, 4, 5), np.uint8), ACDC, SPACING)
    with pytest.raises(GeometryError, match="spacing"):
        volume_curves("a", _labels([1]), ACDC, (10.0, 0.0, 2.0))
    with pytest.raises(LabelError, match="frame 7 is outside"):
        volume_curves("a", _labels([1, 2]), ACDC, SPACING, frames=[7])
    with pytest.raises(LabelError, match="es_frame 2"):
        volume_curves("a", _labels([1, 2]), ACDC, SPACING, es_frame=2)


def test_one_frame_is_measured_like_its_pixels_counted() -> None:
    frame = np.random.default_rng(0).integers(0, 4, (12, 210, 210)).astype(np.uint8)
    volumes = frame_volumes(frame, ACDC, 0.04)
    assert volumes["LV"] == pytest.approx((frame == 3).sum() * 0.04)


def test_importing_the_measures_does_not_import_torch() -> None:
    code = (
        "import napari_ssl.measures.curves, napari_ssl.measures.overlap, napari_ssl.measures.evaluation, sys;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
