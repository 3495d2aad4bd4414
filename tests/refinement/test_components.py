from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.errors import LabelError
from napari_ssl.refinement.components import keep_largest_component


def test_largest_component_of_each_class_stays():
    labels = np.zeros((3, 12, 12), np.uint8)
    labels[:, 2:6, 2:6] = 1
    labels[0, 9:11, 9:11] = 1
    labels[1, 2:4, 8:10] = 2
    labels[1, 8, 8] = 2
    expected = labels.copy()
    expected[0, 9:11, 9:11] = 0
    expected[1, 8, 8] = 0
    np.testing.assert_array_equal(keep_largest_component(labels, 3), expected)
    assert labels[1, 8, 8] == 2, "the input was written to"


def test_slices_are_connected_in_3d_through_faces_only():
    labels = np.zeros((3, 4, 4), np.uint8)
    labels[:2, 0, 0] = 1
    labels[2, 1, 1] = 1
    expected = labels.copy()
    expected[2, 1, 1] = 0
    np.testing.assert_array_equal(keep_largest_component(labels, 2), expected)


def test_first_of_two_equal_components_stays():
    labels = np.zeros((1, 1, 5), np.uint8)
    labels[0, 0, [0, 4]] = 1
    assert keep_largest_component(labels, 2).ravel().tolist() == [1, 0, 0, 0, 0]


def test_class_inside_the_box_of_another_is_untouched():
    labels = np.ones((1, 7, 7), np.uint8)
    labels[0, 1:6, 1:6] = 2
    labels[0, 3, 3] = 1
    kept = keep_largest_component(labels, 3)
    assert kept[0, 3, 3] == 0
    assert (kept == 2).sum() == 24


@pytest.mark.parametrize("shape", [(2, 3, 3), (1, 1, 1), (0, 4, 4)])
def test_empty_foreground_stays_empty(shape):
    kept = keep_largest_component(np.zeros(shape, np.uint8), 4)
    assert kept.shape == shape
    assert not kept.any()


def test_bad_labels_are_named():
    with pytest.raises(LabelError, match="class index 5"):
        keep_largest_component(np.full((1, 2, 2), 5, np.uint8), 4)
    with pytest.raises(LabelError, match=r"\(2, 2\)"):
        keep_largest_component(np.zeros((2, 2), np.uint8), 4)
