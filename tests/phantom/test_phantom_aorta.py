from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import GeometryError
from napari_ssl.measures.aorta import aortic_area
from napari_ssl.phantom import PhantomAorta, random_aorta, render_aorta


@pytest.fixture(scope="module")
def case():
    return render_aorta(random_aorta(np.random.default_rng(3)), rng=np.random.default_rng(3))


def test_a_cine_of_the_aorta_is_one_slice_of_a_hundred_frames(case):
    assert case.image.shape == case.labels.shape == (100, 1, 80, 80) and case.image.dtype == np.uint8
    assert set(np.unique(case.labels)) == {0, 1} and case.true_area_mm2.shape == (100,)
    inside = case.image[case.labels == 1].mean()
    assert inside > 150 > case.image[case.labels == 0].mean()


def test_the_pulse_runs_between_the_two_areas_without_a_jump():
    aorta = PhantomAorta(min_area_mm2=500.0, max_area_mm2=650.0)
    area = aorta.area_mm2(np.arange(1000) / 1000)
    assert area.min() == pytest.approx(500, abs=0.1) and area.max() == pytest.approx(650, abs=0.1)
    assert np.abs(np.diff(np.append(area, area[0]))).max() < 1.5
    assert area.argmax() / 1000 == pytest.approx(aorta.upstroke + aorta.rise, abs=0.01)


def test_measured_areas_are_the_closed_form_to_the_partial_volume_bound(case):
    """The circle crosses at most 8 r / pixel pixels, each wrong by half at most, at random: Gauss's circle problem."""
    curve = aortic_area("a", case.labels, PRESETS["aorta"], case.spacing_zyx_mm)
    pixel = case.spacing_zyx_mm[1]
    crossed = 8 * np.sqrt(case.true_area_mm2 / np.pi) / pixel
    error = np.abs(curve.area_mm2 - case.true_area_mm2)
    assert np.all(error <= crossed * pixel**2 / 2)  # whatever the signs
    assert np.all(error <= 4 * np.sqrt(crossed / 12) * pixel**2)  # signs at random: four standard deviations


def test_finer_pixels_come_closer():
    aorta = PhantomAorta(min_area_mm2=480.0, max_area_mm2=640.0, centre_xy_mm=(1.3, -2.1))
    errors = []
    for pixel, n in ((3.0, 32), (1.5, 64), (0.75, 128)):
        made = render_aorta(
            aorta, rng=np.random.default_rng(0), n_frames=25, matrix_yx=(n, n), spacing_zyx_mm=(6.0, pixel, pixel)
        )
        curve = aortic_area("a", made.labels, PRESETS["aorta"], made.spacing_zyx_mm)
        errors.append(np.abs(curve.area_mm2 - made.true_area_mm2).mean())
    assert errors[0] > errors[1] > errors[2] and errors[2] < 3.0


def test_impossible_vessels_are_refused():
    with pytest.raises(GeometryError, match="min_area_mm2 must be in"):
        PhantomAorta(min_area_mm2=600, max_area_mm2=500)
    far = PhantomAorta(min_area_mm2=500, max_area_mm2=600, centre_xy_mm=(55, 0))
    with pytest.raises(GeometryError, match="does not fit"):
        render_aorta(far, rng=np.random.default_rng(0), n_frames=2)
