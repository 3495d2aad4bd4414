from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import LabelError
from napari_ssl.measures.agreement import mean_dice
from napari_ssl.measures.curves import volume_curves
from napari_ssl.qc.cycles import Cycle, phantom_cycle
from napari_ssl.qc.network_faults import ERRONEOUS_DICE, GOOD_DICE, NetworkErrors, coarse
from napari_ssl.qc.simulation import NETWORK_ERRORS, cycle_examples

ACDC = PRESETS["acdc"]


@pytest.fixture(scope="module")
def heart():
    return phantom_cycle(3, 1)


@pytest.fixture(scope="module")
def errors(heart):
    return NetworkErrors(heart.labels, ACDC, heart.spacing_zyx_mm[1:])


def ends(heart):
    size = (heart.labels == 3).sum(axis=(1, 2, 3))
    return [int(size.argmax()), int(size.argmin())]


@pytest.mark.parametrize("good", [True, False])
def test_the_true_dice_at_ed_and_es_decides_what_is_good(heart, errors, good):
    rng = np.random.default_rng(0)
    for _ in range(4):
        labels, dice = errors.example(rng, good)
        ACDC.check(labels, "as a network")
        measured = np.mean([mean_dice(labels[t], heart.labels[t], ACDC) for t in ends(heart)])
        assert dice == pytest.approx(measured)
        assert dice >= GOOD_DICE if good else dice < ERRONEOUS_DICE


def test_errors_are_as_smooth_over_the_cycle_as_the_truth(heart, errors):
    """What tells errors of networks from the gross faults: no frame stands out."""
    rng = np.random.default_rng(1)
    jumps = []
    for _ in range(8):
        labels, _ = errors.example(rng, False)
        for curve in volume_curves("c", labels, ACDC, heart.spacing_zyx_mm).values():
            v = curve.volume_ml
            if v.max() > 10:
                jumps.append(np.abs(v - (np.roll(v, 1) + np.roll(v, -1)) / 2).mean() / v.max())
    assert np.median(jumps) < 0.03


def test_without_severity_the_truth_comes_back(heart, errors):
    drawn = [errors._drawn(np.random.default_rng(2), s.role) for s in errors.structures]
    labels = errors._labels(drawn, 0.0, range(len(heart.labels)))
    np.testing.assert_array_equal(labels, heart.labels)


def test_errors_grow_with_severity_and_the_seed_decides_them(errors):
    drawn = [errors._drawn(np.random.default_rng(2), s.role) for s in errors.structures]
    dice = [errors.dice(errors._labels(drawn, mm, errors.judged)) for mm in (0.5, 2.0, 8.0)]
    assert dice[0] > dice[1] > dice[2]
    first, second = (errors.example(np.random.default_rng(5), False)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_empty_labels_are_refused():
    with pytest.raises(LabelError, match="empty"):
        NetworkErrors(np.zeros((4, 2, 8, 8), np.uint8), ACDC, (2.0, 2.0))


def test_fine_and_wide_label_maps_are_cropped_and_thinned_out():
    labels = np.zeros((2, 3, 200, 210), np.uint8)
    labels[:, :, 80:120, 90:120] = 3
    small, spacing = coarse(labels, (8.0, 1.25, 1.0))
    assert spacing == (8.0, 2.5, 2.0)
    assert small.shape[2:] == (32, 29)  # (40 + 2·12) / 2 and (30 + 2·14) / 2
    volume = (small == 3).sum() * 8.0 * 2.5 * 2.0
    assert volume == pytest.approx((labels == 3).sum() * 8.0 * 1.25, rel=0.05)


def test_pairs_as_networks_give_them_are_good_and_erroneous_alike_in_number(heart):
    examples, faults = cycle_examples(heart, np.random.default_rng(0), 6, network_share=1.0)
    assert [e.good for e in examples] == [True, False] * 3
    assert {f.kind for f in faults.values()} == {NETWORK_ERRORS}


def test_where_no_network_errors_can_be_had_gross_faults_take_their_place(cycle):
    tiny = np.zeros((8, 3, 12, 12), np.uint8)
    tiny[:, :, 5:7, 5:7] = 3
    tiny[0, :, 4:8, 4:8] = 3
    speck = Cycle(id="s", subject_id="s", labels=tiny, spacing_zyx_mm=(8.0, 40.0, 40.0), scheme=ACDC)
    examples, faults = cycle_examples(speck, np.random.default_rng(0), 2, network_share=1.0)
    assert [e.good for e in examples] == [True, False] and len(faults) == 1
