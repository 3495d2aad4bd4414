from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.editing.between import fill_between, interpolate_slice
from napari_ssl.errors import LabelError

SPACING = (8.0, 1.0, 1.0)


def cone() -> np.ndarray:
    """A cavity whose radius falls by 2 mm a slice, in a wall of 4 mm."""
    y, x = np.mgrid[:64, :64]
    r = np.hypot(y - 32, x - 32)
    return np.stack([np.where(r < 18 - 2 * z, 3, np.where(r < 22 - 2 * z, 2, 0)) for z in range(5)]).astype(np.uint8)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_slices_that_were_left_out_come_back():
    true, gaps = cone(), cone()
    gaps[1:4] = 0
    filled, slices = fill_between(gaps, SPACING)
    assert slices == (1, 2, 3)
    for z in slices:
        assert dice(filled[z] == 3, true[z] == 3) > 0.98 and dice(filled[z] == 2, true[z] == 2) > 0.93
    assert np.array_equal(filled[[0, 4]], gaps[[0, 4]])


def test_the_area_halfway_between_two_circles_is_that_of_the_mean_radius():
    gaps = cone()
    gaps[1:4] = 0
    filled, _ = fill_between(gaps, SPACING)
    assert (filled[2] > 0).sum() == pytest.approx(np.pi * 18.0**2, rel=0.03)


def test_shapes_that_do_not_overlap_still_meet_halfway():
    labels = np.zeros((3, 40, 40), np.uint8)
    labels[0, 10:22, 10:22] = labels[2, 16:28, 16:28] = 1
    filled, _ = fill_between(labels, SPACING)
    centre = np.argwhere(filled[1] == 1).mean(axis=0)
    assert np.allclose(centre, 18.5, atol=0.6)


def test_what_is_there_is_not_painted_over():
    gaps = cone()
    gaps[2][gaps[2] == 3] = 0
    filled, slices = fill_between(gaps, SPACING)
    assert slices == (2,) and np.array_equal(filled[2] == 2, gaps[2] == 2)
    assert dice(filled[2] == 3, cone()[2] == 3) > 0.95


def test_without_gaps_nothing_changes_and_nothing_is_added_beyond_the_ends():
    labels = cone()
    assert fill_between(labels, SPACING)[1] == ()
    labels[[0, 4]] = 0
    assert fill_between(labels, SPACING)[1] == ()


def test_locked_structures_get_nothing():
    gaps = cone()
    gaps[1:4] = 0
    filled, _ = fill_between(gaps, SPACING, locked={3})
    assert not (filled[1:4] == 3).any() and (filled[1:4] == 2).any()


def test_a_wrong_slice_is_replaced_by_what_lies_between_its_neighbours():
    true, wrong = cone(), cone()
    wrong[2] = np.roll(wrong[2], 9, axis=1)
    right = interpolate_slice(wrong, 2, SPACING)
    assert dice(right[2] == 3, true[2] == 3) > 0.97 and np.array_equal(right[[0, 1, 3, 4]], wrong[[0, 1, 3, 4]])
    locked = interpolate_slice(wrong, 2, SPACING, locked={2})
    assert np.array_equal(locked[2] == 2, wrong[2] == 2)


@pytest.mark.parametrize(("slice_", "side"), [(0, "below"), (4, "above")])
def test_the_first_and_last_slice_have_nothing_to_lie_between(slice_, side):
    with pytest.raises(LabelError, match=f"no labelled slice {side}"):
        interpolate_slice(cone(), slice_, SPACING)
