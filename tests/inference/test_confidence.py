from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.inference.confidence import MemberVotes, max_probability, normalised_entropy, to_uint8


def _pixel(*p):
    return np.array(p, np.float32).reshape(1, -1, 1, 1)


def test_certain_and_undecided_pixels():
    assert normalised_entropy(_pixel(1, 0, 0, 0)).item() == 0
    assert normalised_entropy(_pixel(0.25, 0.25, 0.25, 0.25)).item() == pytest.approx(1)
    assert normalised_entropy(_pixel(0.5, 0.5)).item() == pytest.approx(1)
    assert normalised_entropy(_pixel(0.9, 0.1)).item() == pytest.approx(-(0.9 * np.log2(0.9) + 0.1 * np.log2(0.1)))
    assert max_probability(_pixel(0.2, 0.7, 0.1)).item() == pytest.approx(0.7)


def test_one_class_is_certain():
    assert normalised_entropy(np.ones((2, 1, 3, 4), np.float32)).shape == (2, 3, 4)
    assert not normalised_entropy(np.ones((2, 1, 3, 4), np.float32)).any()


def test_eight_bits_round_to_the_nearest_step():
    assert to_uint8(np.array([0, 0.5, 1, 1.2, -0.1, 0.999])).tolist() == [0, 128, 255, 255, 0, 255]
    values = np.linspace(0, 1, 1001)
    assert np.abs(to_uint8(values) / 255 - values).max() <= 0.5 / 255 + 1e-9


def _variance(*members):
    votes = MemberVotes()
    for p in members:
        votes.add(_pixel(*p))
    return votes.variance().item()


def test_variance_of_members_is_0_where_they_agree_and_1_where_they_contradict_each_other():
    assert _variance((0.7, 0.2, 0.1), (0.7, 0.2, 0.1)) == pytest.approx(0, abs=1e-6)
    assert _variance((1, 0, 0), (0, 1, 0)) == pytest.approx(1)
    assert _variance((1, 0), (0, 1), (1, 0), (0, 1)) == pytest.approx(1)
    assert _variance((1, 0, 0), (0, 1, 0), (0, 0, 1)) == pytest.approx(1)
    expected = 2 * np.var([0.9, 0.5, 0.7]) / 0.5
    assert _variance((0.9, 0.1), (0.5, 0.5), (0.7, 0.3)) == pytest.approx(expected, rel=1e-5)


def test_one_member_has_no_variance():
    with pytest.raises(ValueError, match="two members"):
        _variance((0.5, 0.5))
