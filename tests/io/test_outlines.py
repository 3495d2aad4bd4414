from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.path import Path as Polygon

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import LabelError
from napari_ssl.io.geometry import Geometry
from napari_ssl.io.outlines import Outline, mask_outlines, outlines_of_frame, patient_points, sunnybrook_outlines


def _filled(outlines, shape):
    """Even-odd rule at the pixel centres, by another library."""
    y, x = np.indices(shape)
    centres = np.column_stack([x.ravel(), y.ravel()])
    inside = np.zeros(shape, bool)
    for points in outlines:
        inside ^= Polygon(np.vstack([points, points[:1]])).contains_points(centres).reshape(shape)
    return inside


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.booleans()))
def test_filling_the_outlines_gives_the_mask_back(mask):
    assert np.array_equal(_filled([points for points, _ in mask_outlines(mask)], mask.shape), mask)


def test_a_ring_has_an_outer_outline_and_a_hole():
    mask = np.ones((7, 9), bool)
    mask[2:4, 3:5] = False
    (outer, is_hole), (inner, inner_is_hole) = mask_outlines(mask)
    assert (is_hole, inner_is_hole) == (False, True)
    assert (outer.min(axis=0), outer.max(axis=0)) == (pytest.approx([-0.5, -0.5]), pytest.approx([8.5, 6.5]))
    assert np.all(inner > 1) and len(inner) >= 8


def test_points_are_column_then_row_and_slices_are_told():
    labels = np.zeros((2, 5, 9), np.uint8)
    labels[1, 1, 6] = 3
    (outline,) = outlines_of_frame(labels, PRESETS["acdc"])
    assert (outline.slice, outline.structure, outline.is_hole) == (1, "LV", False)
    assert outline.points.mean(axis=0) == pytest.approx([6, 1])


def test_patient_coordinates_follow_an_oblique_grid():
    geometry = Geometry(
        size_xyz=(9, 5, 2),
        spacing_xyz=(2.0, 3.0, 10.0),
        origin_xyz=(100.0, 200.0, 300.0),
        direction=(0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0),  # x runs to P, y to I, z to L
    )
    outline = Outline(slice=1, structure="LV", is_hole=False, points=np.array([[6.0, 1.0], [0.5, 0.0]]))
    np.testing.assert_allclose(patient_points(outline, geometry), [[110, 212, 297], [110, 201, 300]])


def test_sunnybrook_draws_cavity_and_cavity_with_wall():
    labels = np.zeros((1, 9, 9), np.uint8)
    labels[0, 1:8, 1:8] = 2
    labels[0, 3:6, 3:6] = 3
    labels[0, 0, 0] = 1  # the right ventricle is not drawn
    endo, epi = sunnybrook_outlines(labels, PRESETS["acdc"])
    assert (endo.structure, epi.structure) == ("icontour", "ocontour")
    assert np.array_equal(_filled([endo.points], (9, 9)), labels[0] == 3)
    assert np.array_equal(_filled([epi.points], (9, 9)), labels[0] >= 2)
    with pytest.raises(LabelError, match="no left ventricular cavity"):
        list(sunnybrook_outlines(labels, PRESETS["aorta"]))
