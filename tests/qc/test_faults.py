from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import LabelError, SpecError
from napari_ssl.measures.curves import volume_curves
from napari_ssl.qc.curve_faults import CURVE_FAULTS, corrupt_curves, vary_curves
from napari_ssl.qc.cycles import phantom_cycle, random_aortic_area
from napari_ssl.qc.faults import FAULTS, VISIBLE, VISIBLE_THROUGHOUT, corrupt, resize

ACDC = PRESETS["acdc"]


def volumes(labels):
    return {k: c.volume_ml for k, c in volume_curves("c", labels, ACDC, (8.0, 2.0, 2.0)).items()}


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_is_visible_in_the_curves_and_only_in_the_frames_it_names(cycle, kind):
    labels, fault = corrupt(cycle.labels, ACDC, np.random.default_rng(1), kind)
    before, after = volumes(cycle.labels), volumes(labels)
    change = max(np.abs(after[k] - before[k]).max() / before[k].max() for k in before)
    assert fault.kind == kind
    assert change >= (VISIBLE_THROUGHOUT if len(fault.frames) == 12 and kind != "unsteady" else VISIBLE)
    others = np.setdiff1d(np.arange(12), fault.frames)
    np.testing.assert_array_equal(labels[others], cycle.labels[others])
    ACDC.check(labels, "fault")


def test_the_source_is_not_changed_and_the_same_seed_gives_the_same_fault(cycle):
    kept = cycle.labels.copy()
    first, second = (corrupt(cycle.labels, ACDC, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(cycle.labels, kept)
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]


def test_missing_slices_are_at_the_base_or_at_the_apex(cycle):
    for kind, first in (("missing-basal-slice", 0), ("missing-apical-slice", 3)):
        labels, fault = corrupt(cycle.labels, ACDC, np.random.default_rng(2), kind)
        assert first in fault.slices
        assert not labels[np.ix_(fault.frames, fault.slices)].any()
    upside_down, fault = corrupt(cycle.labels[:, ::-1], ACDC, np.random.default_rng(2), "missing-basal-slice")
    assert 3 in fault.slices
    assert upside_down.any()


def test_swapping_keeps_every_labelled_voxel(cycle):
    labels, fault = corrupt(cycle.labels, ACDC, np.random.default_rng(3), "label-swap")
    np.testing.assert_array_equal(labels > 0, cycle.labels > 0)
    first, second = (next(s.value for s in ACDC.structures if s.name == n) for n in fault.structures)
    frame = fault.frames[0]
    np.testing.assert_array_equal(labels[frame] == first, cycle.labels[frame] == second)


def test_a_leak_runs_into_the_background_alone(cycle):
    labels, fault = corrupt(cycle.labels, ACDC, np.random.default_rng(4), "rv-leak")
    assert fault.structures == ("RV",)
    np.testing.assert_array_equal(labels[cycle.labels > 0], cycle.labels[cycle.labels > 0])


@pytest.mark.parametrize("share", [-0.5, -0.1, 0.0, 0.2, 0.6])
def test_resizing_hits_the_share_exactly_and_keeps_the_shape(share):
    y, x = np.mgrid[:40, :40]
    disc = np.repeat((np.hypot(y - 20, x - 20) < 8)[None], 2, axis=0)
    resized = resize(disc, share, np.ones_like(disc))
    assert resized.sum() == disc.sum() + np.sign(share) * round(abs(share) * disc.sum())
    radius = np.sqrt(resized.sum() / 2 / np.pi)
    assert np.hypot(*(np.argwhere(resized)[:, 1:] - 20).T).max() < radius + 1.5


def test_empty_labels_and_impossible_faults_are_refused(cycle):
    with pytest.raises(LabelError, match="empty"):
        corrupt(np.zeros_like(cycle.labels), ACDC, np.random.default_rng(0))
    with pytest.raises(LabelError, match="no visible fault"):
        corrupt(cycle.labels[:, :1], ACDC, np.random.default_rng(0), "missing-basal-slice")


@pytest.mark.parametrize("kind", CURVE_FAULTS)
def test_faults_of_curves_are_visible_and_only_in_the_frames_they_name(kind):
    area = {"Aorta": random_aortic_area(0, 1)}
    changed, fault = corrupt_curves(area, np.random.default_rng(0), kind)
    difference = np.abs(changed["Aorta"] - area["Aorta"])
    assert difference.max() >= VISIBLE * area["Aorta"].max()
    assert set(np.flatnonzero(difference)) <= set(fault.frames)


def test_empty_curves_cannot_be_corrupted():
    with pytest.raises(SpecError, match="empty"):
        corrupt_curves({"Aorta": np.zeros(9)}, np.random.default_rng(0))


def test_variation_between_good_contours_stays_small():
    curves = {"LV": np.full(5000, 100.0)}
    varied = vary_curves(curves, np.random.default_rng(0))["LV"]
    assert varied.std() / varied.mean() < 0.03
    assert abs(varied.mean() - 100) < 20


def test_phantom_cycles_are_good_hearts_of_many_lengths():
    cycles = [phantom_cycle(0, n) for n in range(4)]
    for made in cycles:
        measured = volumes(made.labels)
        myo = measured["Myo"]
        assert (myo.max() - myo.min()) / myo.max() < 0.35
        assert 10 < 100 * (1 - measured["LV"].min() / measured["LV"].max()) < 90
    assert len({len(c.labels) for c in cycles}) > 1
    np.testing.assert_array_equal(phantom_cycle(0, 2).labels, cycles[2].labels)


def test_a_phantom_without_right_ventricle_for_a_scheme_without_one():
    made = phantom_cycle(0, 0, PRESETS["sunnybrook"])
    assert set(np.unique(made.labels)) == {0, 1, 2}
    with pytest.raises(LabelError, match="no left ventricle"):
        phantom_cycle(0, 0, PRESETS["aorta"])


def test_the_aorta_expands_and_recoils_once_a_beat():
    area = random_aortic_area(3, 0)
    strain = area.max() / area.min() - 1
    assert 30 <= len(area) <= 100
    assert 0.02 < strain < 0.6
