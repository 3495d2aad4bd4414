from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hearts import SPACING, heart
from scipy.ndimage import gaussian_filter

from napari_ssl.atlas.free_form import LocalCorrelation, cubic_basis, free_form
from napari_ssl.atlas.volume import to_image
from napari_ssl.atlas.windows import box_sums


@pytest.mark.parametrize("radius", [0, 1, 3, 20])
def test_window_sums_equal_the_sum_of_each_window(radius):
    values = np.random.default_rng(0).random((2, 6, 7))
    expected = np.zeros_like(values)
    for y in range(6):
        for x in range(7):
            window = values[:, max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
            expected[:, y, x] = window.sum(axis=(1, 2))
    np.testing.assert_allclose(box_sums(values, radius), expected)


def test_cubic_b_splines_sum_to_one_and_reproduce_straight_lines():
    basis = cubic_basis(13, 4)
    np.testing.assert_allclose(basis.sum(axis=1), 1)
    centres = (np.arange(13) + 0.5) / 13 * 4
    np.testing.assert_allclose(basis @ (np.arange(7) - 1.0), centres)  # control points at −1, 0, … cells


def test_local_correlation_is_the_correlation_coefficient_of_each_window():
    rng = np.random.default_rng(1)
    f, m = rng.random((1, 5, 6)), rng.random((1, 5, 6))
    expected = []
    for y in range(5):
        for x in range(6):
            window = (0, slice(max(0, y - 1), y + 2), slice(max(0, x - 1), x + 2))
            expected.append(np.corrcoef(f[window].ravel(), m[window].ravel())[0, 1])
    assert LocalCorrelation(f, 1, noise=0.0)(m)[0] == pytest.approx(np.mean(expected))


def test_the_gradient_of_the_local_correlation_is_its_finite_difference():
    rng = np.random.default_rng(2)
    f, m = rng.random((2, 9, 8)), rng.random((2, 9, 8))
    likeness = LocalCorrelation(f, 2)
    value, gradient = likeness(m)
    for index in ((0, 0, 0), (1, 4, 4), (1, 8, 7)):
        moved = m.copy()
        moved[index] += 1e-6
        assert gradient[index] == pytest.approx((likeness(moved)[0] - value) / 1e-6, rel=1e-3, abs=1e-8)


def test_constant_images_have_no_correlation_and_a_finite_gradient():
    value, gradient = LocalCorrelation(np.ones((1, 6, 6)), 2)(np.zeros((1, 6, 6)))
    assert value == pytest.approx(0, abs=1e-9)
    assert np.isfinite(gradient).all()


def _moved(image, dy, dx):
    return to_image(np.roll(image.volume.data, (dy, dx), (1, 2)), image.volume.spacing_zyx_mm)


def test_a_shift_within_the_bound_is_found_and_nothing_leaves_its_slice():
    image = gaussian_filter(np.random.default_rng(0).random((3, 44, 48)), (0, 2, 2)) * 5
    fixed, moved = (to_image(a.astype(np.float32), SPACING) for a in (image, np.roll(image, (2, -1), (1, 2))))
    spline = free_form(fixed, moved, grid_mm=20, iterations=60, radius=4, smoothness=0.05)
    field = sitk.TransformToDisplacementField(
        spline, sitk.sitkVectorFloat64, fixed.GetSize(), fixed.GetOrigin(), fixed.GetSpacing(), fixed.GetDirection()
    )
    u = sitk.GetArrayFromImage(field)
    inner = u[:, 8:-8, 8:-8].reshape(-1, 3)
    np.testing.assert_allclose(inner.mean(axis=0), (-1.5, 3.0, 0), atol=0.2)  # mm (x, y, z), of 1.5 mm pixels
    assert not u[..., 2].any()


def test_control_points_stay_within_what_cannot_fold():
    target = heart()
    fixed = to_image(target.volume.data, target.volume.spacing_zyx_mm)
    spline = free_form(fixed, _moved(target, 8, 8), grid_mm=12, iterations=40, radius=4, smoothness=0.0)
    assert np.abs(spline.GetParameters()).max() <= 0.4 * 12.1 + 1e-9


def test_images_that_are_alike_are_not_deformed():
    target = heart()
    fixed = to_image(target.volume.data, target.volume.spacing_zyx_mm)
    spline = free_form(fixed, fixed, grid_mm=20, iterations=20, radius=4, smoothness=0.5)
    assert np.abs(spline.GetParameters()).max() < 1e-3
