from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_ssl.editing.smoothing import smooth_structure
from napari_ssl.errors import LabelError

SPACING = (8.0, 1.5, 1.5)


def heart(*, wall=4.0, ragged=0.0, seed=0) -> np.ndarray:
    y, x = np.mgrid[:64, :64]
    r = np.hypot(y - 32, x - 30)
    frame = np.where(r < 10, 3, np.where(r < 10 + wall, 2, 0)).astype(np.uint8)
    frame[(np.hypot(y - 32, x - 52) < 8) & (frame == 0)] = 1
    frame = np.stack([frame, frame, np.zeros_like(frame)])
    if ragged:
        rng = np.random.default_rng(seed)
        edge = ndimage.binary_dilation(frame == 3, ndimage.generate_binary_structure(3, 1)) & (frame == 2)
        frame[edge & (rng.random(frame.shape) < ragged)] = 3
    return frame


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def perimeter(mask):
    return sum(int((mask[:, 1:] != mask[:, :-1]).sum() if axis else (mask[1:] != mask[:-1]).sum()) for axis in (0, 1))


def test_a_ragged_outline_becomes_smooth_and_comes_nearer_to_the_truth():
    true, rough = heart(), heart(ragged=0.4)
    smooth = smooth_structure(rough, 3, SPACING)
    assert perimeter(smooth[0] == 3) < perimeter(rough[0] == 3)
    assert dice(smooth == 3, true == 3) > dice(rough == 3, true == 3) + 0.005


def test_a_circle_shrinks_no_more_than_the_gaussian_says():
    """A radius of r = 15 mm loses σ²/2r, the area a share of σ²/r²."""
    labels = heart()
    smooth = smooth_structure(labels, 3, SPACING, sigma_mm=2.0)
    assert (smooth == 3).sum() == pytest.approx((labels == 3).sum() * (1 - 2.0**2 / 15.0**2), rel=0.01)


def test_neighbours_keep_their_parts_and_holes():
    labels = heart(wall=1.5, ragged=0.5)  # a wall of about one pixel that plain smoothing would break
    smooth = smooth_structure(labels, 3, SPACING, sigma_mm=5.0)
    for z in (0, 1):
        for value in (0, 1, 2, 3):
            before, after = labels[z] == value, smooth[z] == value
            assert ndimage.label(before, np.ones((3, 3)))[1] == ndimage.label(after, np.ones((3, 3)))[1]
            assert ndimage.label(~before)[1] == ndimage.label(~after)[1]
    assert (smooth != labels).any()


def test_only_the_chosen_structure_gains_and_loses_pixels():
    labels = heart(ragged=0.4)
    smooth = smooth_structure(labels, 3, SPACING)
    changed = smooth != labels
    assert changed.any() and ((labels[changed] == 3) ^ (smooth[changed] == 3)).all()


def test_locked_structures_stay_pixel_by_pixel():
    labels = heart(ragged=0.4)
    smooth = smooth_structure(labels, 3, SPACING, locked={2})
    assert np.array_equal(smooth == 2, labels == 2)
    with pytest.raises(LabelError, match="locked"):
        smooth_structure(labels, 3, SPACING, locked={3})


def test_an_absent_structure_changes_nothing_and_a_cine_is_refused():
    labels = heart()
    assert np.array_equal(smooth_structure(labels, 7, SPACING), labels)
    with pytest.raises(LabelError, match="one frame at a time"):
        smooth_structure(labels[None], 3, SPACING)
