"""Volume curves against the closed form, and indices that must not depend on the grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.measures.curves import indices, volume_curves
from napari_ssl.phantom import Pose, make_sample_member, random_heart, render

ACDC = PRESETS["acdc"]


def _surface_voxels(labels: np.ndarray, value: int) -> np.ndarray:
    """Voxels per frame of a structure or beside it that touch its surface: those that partial volume can decide on."""
    inside = labels == value
    count = np.zeros(len(labels))
    touched = np.zeros_like(inside)
    for axis in (1, 2, 3):
        step = np.diff(inside, axis=axis)
        before = tuple(slice(0, -1) if a == axis else slice(None) for a in range(4))
        after = tuple(slice(1, None) if a == axis else slice(None) for a in range(4))
        touched[before] |= step
        touched[after] |= step
    count[:] = touched.reshape(len(labels), -1).sum(axis=1)
    return count


@pytest.mark.parametrize("index", [0, 1, 2, 3])  # normal, dilated, hypertrophic, infarcted
def test_curves_are_the_closed_form_to_the_partial_volume_bound(index: int) -> None:
    """A voxel that the surface crosses is wrong by half its volume at most; all of them bound the error of a frame."""
    case = make_sample_member(index).case
    curves = volume_curves("p", case.labels, ACDC, case.spacing_zyx_mm)
    voxel_ml = float(np.prod(case.spacing_zyx_mm)) / 1000
    for structure in ACDC.structures:
        error = np.abs(curves[structure.name].volume_ml - case.true_volume_ml[structure.name])
        bound = 0.5 * voxel_ml * _surface_voxels(case.labels, structure.value)
        assert np.all(error <= bound), (structure.name, (error / bound).max())
        assert error.max() < 0.12 * case.true_volume_ml[structure.name].max(), structure.name


def test_finer_voxels_come_closer_to_the_closed_form() -> None:
    heart = random_heart(np.random.default_rng(5), "normal")
    errors = []
    for n, pixel, thickness in ((40, 4.0, 12.0), (120, 4 / 3, 4.0)):
        case = render(
            heart,
            n_frames=2,
            n_slices=int(np.ceil(sum(heart.reach_mm) / thickness)),
            matrix_yx=(n, n),
            spacing_zyx_mm=(thickness, pixel, pixel),
            rng=np.random.default_rng(0),
            pose=Pose(),
            breathing_mm=0.0,
        )
        curves = volume_curves("p", case.labels, ACDC, case.spacing_zyx_mm)
        errors.append(max(np.abs(curves[s].volume_ml - case.true_volume_ml[s]).max() for s in ("LV", "Myo", "RV")))
    assert errors[1] < errors[0] / 3 and errors[1] < 2.0, errors


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.floats(0.05, 50.0)] * 3), st.integers(0, 2**32 - 1))
def test_ejection_fraction_does_not_depend_on_the_spacing_and_volumes_are_proportional_to_it(spacing, seed) -> None:
    labels = np.random.default_rng(seed).integers(0, 4, (3, 2, 6, 6)).astype(np.uint8)
    one = indices(volume_curves("a", labels, ACDC, (1.0, 1.0, 1.0), ed_frame=0, es_frame=1), ACDC)
    other = indices(volume_curves("a", labels, ACDC, spacing, ed_frame=0, es_frame=1), ACDC)
    for side in ("lv", "rv"):
        assert getattr(other, f"{side}_ef_percent") == pytest.approx(getattr(one, f"{side}_ef_percent"), rel=1e-9)
        assert getattr(other, f"{side}_edv_ml") == pytest.approx(getattr(one, f"{side}_edv_ml") * np.prod(spacing))
    assert other.lv_mass_g == pytest.approx(one.lv_mass_g * np.prod(spacing))


def test_phases_do_not_depend_on_the_spacing() -> None:
    case = make_sample_member(0).case
    first = volume_curves("a", case.labels, ACDC, case.spacing_zyx_mm)["LV"]
    other = volume_curves("a", case.labels, ACDC, (1.0, 7.0, 0.2))["LV"]
    assert (first.ed_frame, first.es_frame) == (other.ed_frame, other.es_frame)
    assert abs(first.es_frame - case.es_frame) <= 1
