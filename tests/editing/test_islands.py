from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.editing.islands import remove_islands
from napari_ssl.errors import LabelError


def frame() -> np.ndarray:
    labels = np.zeros((3, 20, 20), np.uint8)
    labels[:, 4:16, 4:16] = 2
    labels[:, 8:12, 8:12] = 3
    labels[1, 5, 5] = 3  # an island of the cavity in the wall
    labels[0, 18, 18] = 2  # one of the wall in the background
    return labels


def test_an_island_takes_the_label_around_it():
    tidy, n = remove_islands(frame(), (2, 3))
    assert n == 2 and tidy[1, 5, 5] == 2 and tidy[0, 18, 18] == 0
    assert (tidy != frame()).sum() == 2


def test_only_the_chosen_structures_are_tidied():
    tidy, n = remove_islands(frame(), (3,))
    assert n == 1 and tidy[0, 18, 18] == 2


def test_locked_structures_neither_lose_nor_gain():
    tidy, n = remove_islands(frame(), (2, 3), locked={2})
    assert n == 1 and tidy[1, 5, 5] == 0 and tidy[0, 18, 18] == 2  # what is around the island is locked


def test_parts_that_touch_by_a_corner_or_through_slices_hang_together():
    labels = np.zeros((3, 6, 6), np.uint8)
    labels[0, 1, 1] = labels[1, 2, 2] = labels[2, 3, 3] = 1
    tidy, n = remove_islands(labels, (1,))
    assert n == 0 and np.array_equal(tidy, labels)


def test_a_cine_is_refused():
    with pytest.raises(LabelError, match="one frame at a time"):
        remove_islands(np.zeros((2, 3, 4, 4), np.uint8), (1,))
