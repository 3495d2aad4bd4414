from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.core.catalogue import CRFParameters
from napari_ssl.refinement.crf import refine_slice
from napari_ssl.refinement.kernels import active_kernels, reach
from napari_ssl.refinement.region import CERTAIN, undecided


def test_nothing_is_undecided_without_a_border_between_labels():
    probabilities = np.stack([np.full((30, 30), 0.51), np.full((30, 30), 0.49)]).astype(np.float32)
    may_change, computed = undecided(probabilities, probabilities.argmax(axis=0), 5, 5)
    assert not may_change.any()
    assert not computed.any()


def test_certain_border_is_refined_two_pixels_to_both_sides():
    probabilities = np.full((2, 30, 30), 0.001, np.float32)
    probabilities[0, :, :15] = probabilities[1, :, 15:] = 0.999
    may_change, computed = undecided(probabilities, probabilities.argmax(axis=0), 5, 5)
    assert np.flatnonzero(may_change[10]).tolist() == list(range(12, 18))
    assert np.flatnonzero(computed[10]).tolist() == list(range(9, 21))


def test_uncertain_pixels_extend_the_region_where_they_touch_it():
    probabilities = np.full((2, 30, 60), 0.001, np.float32)
    probabilities[0, :, :15] = probabilities[1, :, 15:] = 0.999
    probabilities[1, :, 15:25] = CERTAIN - 0.02
    probabilities[0, :, 15:25] = 1 - probabilities[1, :, 15:25]
    probabilities[1, :, 40:45] = CERTAIN - 0.02
    may_change, _ = undecided(probabilities, probabilities.argmax(axis=0), 5, 5)
    assert may_change[10, 12:25].all()
    assert not may_change[10, 25:].any()


@pytest.mark.parametrize("iterations", [1, 2])
def test_changes_travel_at_most_one_reach_per_iteration(hearts, iterations):
    """What the region module proves, on a map full of undecided pixels."""
    pytest.importorskip("torch")
    from scipy import ndimage

    parameters = CRFParameters(backend="torch", region="whole", iterations=iterations)
    probabilities = hearts[2][0] * 0.2 + 0.2
    labels = probabilities.argmax(axis=0)
    border = ndimage.maximum_filter(labels, 3) != ndimage.minimum_filter(labels, 3)
    distance = ndimage.distance_transform_cdt(~border, "chessboard")
    changed = refine_slice(probabilities, hearts[2][1], parameters) != labels
    assert changed.any()
    assert distance[changed].max() <= reach(active_kernels(parameters)) * iterations
