from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.quality import ExampleSource
from napari_ssl.qc.cycles import Cycle
from napari_ssl.qc.simulation import PER_CYCLE, cycle_examples, simulate

ACDC = PRESETS["acdc"]


def test_half_of_the_curve_sets_have_a_fault_that_is_told():
    examples, faults, provenance = simulate("short-axis", ACDC, 12, 0, weight=0.5)
    assert [e.good for e in examples] == [True, False] * 6
    assert set(faults) == {e.id for e in examples if not e.good}
    assert all(e.source is ExampleSource.SIMULATED and e.weight == 0.5 for e in examples)
    assert provenance["phantom_cycles"] == 12 // PER_CYCLE
    assert sum(provenance["faults"].values()) == 6


def test_the_same_seed_gives_the_same_examples():
    first, second = (simulate("short-axis", ACDC, 4, 3)[0] for _ in range(2))
    assert first == second
    assert simulate("short-axis", ACDC, 4, 4)[0] != first


def test_the_studys_own_cycles_come_first_and_never_make_up_more_than_half(cycle):
    examples, _, provenance = simulate("short-axis", ACDC, 16, 0, cycles=[cycle])
    own = [e for e in examples if e.subject_id == "s1"]
    assert len(own) == 8
    assert provenance["study_cycles"] == 1


def test_a_cycle_in_which_nothing_can_go_wrong_is_left_out(cycle):
    empty = Cycle(id="e", subject_id="e", labels=0 * cycle.labels, spacing_zyx_mm=(8.0, 2.0, 2.0), scheme=ACDC)
    _, _, provenance = simulate("short-axis", ACDC, 8, 0, cycles=[empty])
    assert provenance["study_cycles"] == 0


def test_aortic_areas_come_from_the_analytic_curve_or_from_the_study():
    examples, faults, _ = simulate("aorta", PRESETS["aorta"], 8, 0)
    assert all(set(e.curves) == {"Aorta"} for e in examples)
    assert len(faults) == 4
    labels = np.zeros((10, 1, 20, 20), np.uint8)
    for t in range(10):
        labels[t, 0, 5 : 12 + t % 3, 5:12] = 1
    own = Cycle(id="a", subject_id="a", labels=labels, spacing_zyx_mm=(6.0, 1.0, 1.0), scheme=PRESETS["aorta"])
    assert simulate("aorta", PRESETS["aorta"], 8, 0, cycles=[own])[2]["study_cycles"] == 1


def test_good_examples_of_a_cycle_stay_near_it(cycle):
    examples, _ = cycle_examples(cycle, np.random.default_rng(0), 6)
    good = np.array([e.curves["LV"] for e in examples if e.good])
    assert (good.std(axis=0) / good.mean(axis=0)).max() < 0.15


def test_progress_reaches_one():
    told = []
    simulate("aorta", PRESETS["aorta"], 8, 0, on_progress=told.append)
    assert told[-1] == pytest.approx(1.0)
