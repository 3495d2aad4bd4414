from __future__ import annotations

import numpy as np
import pytest
from curve_sets import beat

from napari_ssl.core.curve import VolumeCurve
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import SpecError
from napari_ssl.qc.inputs import back_to_frames, curve_array, normalise, prepare, resampling_matrix

ACDC = PRESETS["acdc"]


def prepared(curves, length="resample", n_points=32):
    inputs, lengths = prepare([curve_array(curves, ACDC, "short-axis")], length=length, n_points=n_points)
    return inputs[0], int(lengths[0])


def test_voxel_spacing_cancels():
    curves = beat()
    scaled = {k: 0.037 * v for k, v in curves.items()}
    np.testing.assert_allclose(prepared(curves)[0], prepared(scaled)[0], atol=1e-6)


def test_ratios_are_those_of_the_closed_form():
    inputs, _ = prepared(beat(200, edv=100.0, ef=0.6), n_points=200)
    assert inputs[:, 0].max() == pytest.approx(1.0, abs=0.02)
    assert inputs[:, 0].min() / inputs[:, 0].max() == pytest.approx(0.4, abs=0.01)
    assert inputs[:, 1].max() / inputs[:, 0].max() == pytest.approx(1.2, abs=0.01)


@pytest.mark.parametrize("length", ["resample", "mask"])
def test_the_cycle_need_not_begin_at_end_diastole(length):
    np.testing.assert_allclose(prepared(beat(), length)[0], prepared(beat(shift=7), length)[0], atol=1e-6)


def test_curves_are_read_from_numbers_and_from_volume_curves_and_time_does_not_matter():
    curves = beat()
    typed = {
        k: VolumeCurve(case_id="a", structure=k, volume_ml=v, time_ms=np.arange(20) * 31.0) for k, v in curves.items()
    }
    np.testing.assert_array_equal(prepared(curves)[0], prepared(typed)[0])


def test_frames_without_labels_are_bridged_and_flagged():
    curves = beat()
    gaps = {k: [None if t in (5, 6) else float(x) for t, x in enumerate(v)] for k, v in curves.items()}
    inputs, _ = normalise(curve_array(gaps, ACDC, "short-axis")[None])
    whole, _ = normalise(curve_array(curves, ACDC, "short-axis")[None])
    assert (inputs[0, :, 6:] == 0).sum() == 6
    np.testing.assert_allclose(inputs[0, :, 0], whole[0, :, 0], atol=0.05)


def test_a_structure_that_the_scheme_lacks_is_zero_with_its_flag_down():
    inputs, _ = prepare(
        [curve_array({k: v for k, v in beat().items() if k != "RV"}, PRESETS["sunnybrook"], "short-axis")],
        length="resample",
        n_points=16,
    )
    assert not inputs[0, :, [1, 4, 7]].any()
    assert inputs[0, :, 6].all()


def test_curves_that_are_empty_throughout_stay_finite():
    inputs, _ = prepared({k: np.zeros(10) for k in ("LV", "RV", "Myo")})
    assert np.isfinite(inputs).all()
    assert not inputs[:, :6].any()


def test_one_wrong_frame_shows_whatever_the_length_of_the_cycle():
    for n_frames in (12, 32, 50, 100):
        curves = beat(n_frames)
        curves["LV"][n_frames // 3] *= 2
        clean, spiked = prepared(beat(n_frames))[0], prepared(curves)[0]
        assert np.abs(spiked - clean)[:, 3].max() > 0.1, n_frames


@pytest.mark.parametrize("n_frames", [2, 12, 32, 33, 100])
def test_resampling_keeps_constants_and_the_mean(n_frames):
    matrix = resampling_matrix(n_frames, 32)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)
    wave = np.sin(2 * np.pi * np.arange(n_frames) / n_frames)
    assert (matrix @ wave).mean() == pytest.approx(0, abs=0.05)


def test_resampling_follows_a_wave_of_the_closed_form():
    wave = np.cos(2 * np.pi * np.arange(25) / 25)
    np.testing.assert_allclose(resampling_matrix(25, 64) @ wave, np.cos(2 * np.pi * np.arange(64) / 64), atol=0.02)


def test_masking_keeps_the_frames_and_says_how_many():
    sets = [curve_array(beat(n), ACDC, "short-axis") for n in (12, 20)]
    inputs, lengths = prepare(sets, length="mask", n_points=8)
    assert inputs.shape == (2, 20, 9)
    assert lengths.tolist() == [12, 20]
    assert not inputs[0, 12:].any()


@pytest.mark.parametrize("length", ["resample", "mask"])
@pytest.mark.parametrize("n_frames", [9, 32, 50])
def test_attributions_come_back_to_their_frames_with_their_sum(length, n_frames):
    n_points = 32 if length == "resample" else n_frames
    attribution = np.random.default_rng(0).normal(size=(n_points, 3))
    back = back_to_frames(attribution, n_frames, 4, length=length)
    assert back.shape == (n_frames, 3)
    np.testing.assert_allclose(back.sum(axis=0), attribution.sum(axis=0))
    if length == "mask":
        np.testing.assert_array_equal(back[4], attribution[0])


def test_curves_that_cannot_be_read_are_refused():
    with pytest.raises(SpecError, match="lengths"):
        curve_array({"LV": np.ones(3), "RV": np.ones(4)}, ACDC, "short-axis")
    with pytest.raises(SpecError, match="aorta"):
        curve_array(beat(), ACDC, "aorta")
