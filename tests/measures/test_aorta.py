from __future__ import annotations

import math

import numpy as np
import pytest

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import GeometryError, LabelError
from napari_ssl.measures.aorta import AORTIC_COLUMNS, AorticIndices, aortic_area, aortic_indices, distensibility
from napari_ssl.phantom import PhantomAorta, render_aorta

AORTA = PRESETS["aorta"]


def _labels(counts: list[int]) -> np.ndarray:
    labels = np.zeros((len(counts), 1, 20, 20), np.uint8)
    for t, n in enumerate(counts):
        labels[t].reshape(-1)[:n] = 1
    return labels


def test_areas_are_exact_pixel_counts_in_mm2():
    curve = aortic_area("a", _labels([100, 120, 0]), AORTA, (6.0, 1.5, 2.0), frame_interval_ms=9.0)
    assert curve.area_mm2.tolist() == [300, 360, 0] and curve.time_ms.tolist() == [0, 9, 18]
    partly = aortic_area("a", _labels([100, 120, 0]), AORTA, (6.0, 1.5, 2.0), frames=[0, 1])
    assert np.isnan(partly.area_mm2[2]) and partly.time_ms is None


def test_distensibility_follows_its_definition():
    """(Amax − Amin) / (Amin · (Psys − Pdia)): 20 % strain at a pulse pressure of 40 mmHg is 5 · 10⁻³ mmHg⁻¹."""
    assert distensibility(600, 500, 120, 80) == pytest.approx(5e-3)
    for wrong in ((600, 0, 120, 80), (600, 500, 80, 80), (600, 500, 80, 120)):
        assert math.isnan(distensibility(*wrong))


def test_indices_have_units_in_their_columns_and_need_pressures():
    curve = aortic_area("a", _labels([100, 120, 110]), AORTA, (6.0, 1.0, 1.0))
    assert math.isnan(aortic_indices(curve).distensibility_per_mmhg)
    found = aortic_indices(curve, (120.0, 80.0))
    assert found.strain_percent == pytest.approx(20) and found.distensibility_per_mmhg == pytest.approx(5e-3)
    assert found.columns() == pytest.approx(dict(zip(AORTIC_COLUMNS, (120, 100, 20, 5), strict=True)))
    assert math.isnan(aortic_indices(aortic_area("a", _labels([50]), AORTA, (6.0, 1, 1))).max_area_mm2)
    assert all(math.isnan(v) for v in AorticIndices().columns().values())


def test_distensibility_of_the_phantom_is_that_of_its_closed_form():
    aorta = PhantomAorta(min_area_mm2=500.0, max_area_mm2=620.0)
    case = render_aorta(aorta, rng=np.random.default_rng(1), matrix_yx=(160, 160), spacing_zyx_mm=(6.0, 0.75, 0.75))
    found = aortic_indices(aortic_area("a", case.labels, AORTA, case.spacing_zyx_mm), (125.0, 75.0))
    assert found.distensibility_per_mmhg == pytest.approx(distensibility(620, 500, 125, 75), rel=0.06)


def test_distensibility_does_not_depend_on_the_spacing():
    labels = _labels([100, 130])
    values = [
        aortic_indices(aortic_area("a", labels, AORTA, spacing), (120, 80)).distensibility_per_mmhg
        for spacing in ((6, 1, 1), (1, 0.3, 2.7))
    ]
    assert values[0] == pytest.approx(values[1])


def test_what_is_no_single_slice_is_refused_and_what_has_no_aorta_has_no_curve():
    stack = np.repeat(_labels([30, 40]), 2, axis=1)
    with pytest.raises(GeometryError, match=r"case a: Aorta is labelled in slices 0, 1; .* single slice"):
        aortic_area("a", stack, AORTA, (6, 1, 1))
    stack[:, 0] = 0
    assert aortic_area("a", stack, AORTA, (6, 1, 1)).area_mm2.tolist() == [30, 40]
    assert aortic_area("a", stack, PRESETS["acdc"], (6, 1, 1)) is None
    with pytest.raises(GeometryError, match=r"\(T, Z, Y, X\)"):
        aortic_area("a", stack[0], AORTA, (6, 1, 1))
    with pytest.raises(LabelError, match="not all in 0 to 1"):
        aortic_area("a", stack, AORTA, (6, 1, 1), frames=[2])
