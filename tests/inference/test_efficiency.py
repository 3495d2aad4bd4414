from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch
from torch import nn

from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.errors import JobError, SpecError
from napari_ssl.inference.efficiency import Meter, Reading, area, efficiency_of, hold_to_limit, summarise_efficiency
from napari_ssl.inference.predict import iter_frames

CPU = torch.device("cpu")


def _reading(seconds, cpu=0.0, gpu=0.0, rss=0.0):
    return Reading(seconds=seconds, cpu_percent=cpu, gpu_mb=gpu, rss_mb=rss)


def test_area_of_straight_lines_is_exact_at_any_spacing():
    assert area([0, 1, 4], [2, 2, 2]) == 8
    assert area([0, 0.5, 3, 4], [0, 1, 6, 8]) == 16  # 2t from 0 to 4
    assert area([1.0], [5.0]) == area([], []) == 0


def test_area_of_a_sine_is_its_integral():
    seconds = np.linspace(0, math.pi, 400)
    assert math.isclose(area(seconds.tolist(), np.sin(seconds).tolist()), 2, rel_tol=1e-4)


def test_a_synthetic_run_is_summed_up():
    readings = [
        _reading(10, cpu=99, gpu=0, rss=500),  # the share before the start does not count
        _reading(11, cpu=50, gpu=1000, rss=700),
        _reading(13, cpu=25, gpu=1000, rss=900),
        _reading(14, cpu=0, gpu=0, rss=600),
    ]
    efficiency = efficiency_of(readings, peak_gpu_mb=1200)
    assert efficiency.seconds == 4
    assert efficiency.gpu_memory_area_mb_s == 500 + 2000 + 500
    assert efficiency.cpu_area_percent_s == 1 * 50 + 2 * 25 + 1 * 0
    assert (efficiency.max_cpu_percent, efficiency.peak_gpu_mb, efficiency.peak_rss_mb) == (50, 1200, 900)
    assert efficiency.to_dict()["n_readings"] == 4


def test_the_peak_of_use_ignores_steps_too_short_to_measure():
    readings = [_reading(0), _reading(0.1, cpu=40), _reading(0.101, cpu=900), _reading(0.2, cpu=30)]
    assert efficiency_of(readings).max_cpu_percent == 40


def test_cases_are_summarised_by_mean_and_maximum():
    cases = [
        efficiency_of([_reading(0, gpu=10, rss=5), _reading(s, cpu=c, gpu=10, rss=r)]).to_dict()
        for s, c, r in ((2, 50, 700), (4, 25, 600))
    ]
    summary = summarise_efficiency(cases)
    assert (summary["n"], summary["mean_seconds"], summary["max_seconds"]) == (2, 3, 4)
    assert summary["mean_gpu_memory_area_mb_s"] == 30 and summary["mean_cpu_area_percent_s"] == 100
    assert (summary["peak_rss_mb"], summary["peak_gpu_mb"], summary["max_cpu_percent"]) == (700, 10, 50)
    assert summarise_efficiency([]) == {}


def test_a_run_is_measured_by_itself():
    with Meter(CPU, interval_s=0.02) as meter:
        start = time.perf_counter()
        while time.perf_counter() < start + 0.15 or len(meter._readings) < 3:
            pass
        elapsed = time.perf_counter() - start
    measured = meter.efficiency
    assert measured.seconds == pytest.approx(elapsed, rel=0.5) and measured.n_readings >= 3
    assert measured.cpu_area_percent_s > 0 and 0 < measured.max_cpu_percent <= 100
    assert measured.peak_rss_mb > 20 and measured.peak_gpu_mb == measured.gpu_memory_area_mb_s == 0


class Hungry(nn.Module):
    """Takes 100 MB a slice above 300; `meter` reads what it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.meter, self.batches = None, []

    def forward(self, x):
        self.batches.append(len(x))
        self.meter.probe.rss = 300 + 100 * len(x)
        self.meter._read()
        self.meter.probe.rss = 300
        return torch.cat([x, 1 - x], dim=1)


class Probe:
    """Resident memory that a test sets."""

    def __init__(self) -> None:
        self.rss, self.now = 300.0, 0.0

    def __call__(self):
        self.now += 1
        return _reading(self.now, rss=self.rss)


def _predict(limit_mb):
    probe, network = Probe(), Hungry()
    image = np.random.default_rng(0).integers(0, 99, (1, 16, 8, 8)).astype(np.uint8)
    with Meter(CPU, limit_mb=limit_mb, interval_s=60, probe=probe) as meter:
        meter.probe, network.meter = probe, meter
        frames = dict(iter_frames(network, image, Preprocessing(), (1.0, 1.0, 1.0), batch_size=8, meter=meter))
    return network, frames


def test_passing_the_memory_limit_halves_the_batch():
    free, frames = _predict(0)
    held, same = _predict(700)
    assert free.batches == [8, 8]
    assert held.batches == [8, 4, 4]  # 1100 MB, then 700
    np.testing.assert_array_equal(frames[0], same[0])


def test_a_limit_that_one_slice_passes_is_refused_in_words():
    with pytest.raises(JobError, match=r"one slice of \(8, 8\) pixels at a time took 400 MB, the limit is 350 MB"):
        _predict(350)


def test_the_limit_holds_for_windows_of_a_volume_too():
    preprocessing = Preprocessing(dimensions=3, crop_yx=(16, 16), patch_z=4, overlap=0)
    image = np.random.default_rng(0).integers(0, 99, (1, 4, 64, 64)).astype(np.uint8)

    def predict(limit_mb):
        probe, network = Probe(), Hungry()
        with Meter(CPU, limit_mb=limit_mb, interval_s=60, probe=probe) as meter:
            meter.probe, network.meter = probe, meter
            frames = dict(iter_frames(network, image, preprocessing, (1.0, 1.0, 1.0), batch_size=8, meter=meter))
        return network, frames

    free, frames = predict(0)
    held, same = predict(700)
    assert free.batches == [8, 8] and held.batches == [8, 4, 4, 4, 4]
    np.testing.assert_allclose(frames[0], same[0], atol=1e-6)
    with pytest.raises(JobError, match=r"one window of \(4, 16, 16\) voxels on cpu within 350 MB"):
        predict(350)


def test_a_limit_below_what_the_program_itself_takes_is_refused():
    with pytest.raises(SpecError, match=r"the program itself takes .* MB before the first image, the limit is 10 MB"):
        hold_to_limit(CPU, 10)
    hold_to_limit(CPU, 0)
    hold_to_limit(CPU, 1_000_000)
