from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import GeometryError
from napari_ssl.measures.curves import indices, volume_curves
from napari_ssl.phantom import KINDS, PhantomCase, Pose, random_appearance, random_heart, render

ACDC = PRESETS["acdc"]


def _render(kind: str = "normal", *, seed: int = 0, spacing=(10.0, 2.3, 2.3), matrix=(80, 80), **extra) -> PhantomCase:
    rng = np.random.default_rng(seed)
    heart = random_heart(rng, kind)
    n_slices = int(np.ceil(sum(heart.reach_mm) / spacing[0]))
    return render(
        heart, n_slices=n_slices, matrix_yx=matrix, spacing_zyx_mm=spacing, rng=rng, **{"n_frames": 4, **extra}
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_finely_sliced_stack_measures_the_closed_form_volumes_and_ejection_fraction(kind: str) -> None:
    case = _render(kind, seed=3, spacing=(2.0, 2.0, 2.0), matrix=(90, 90), n_frames=2)
    curves = volume_curves("p", case.labels, ACDC, case.spacing_zyx_mm, ed_frame=case.ed_frame, es_frame=case.es_frame)
    for name, truth in case.true_volume_ml.items():
        np.testing.assert_allclose(curves[name].volume_ml, truth, rtol=0.02)
    lv = case.true_volume_ml["LV"]
    true_ef = 100 * (lv[case.ed_frame] - lv[case.es_frame]) / lv[case.ed_frame]
    assert indices(curves, ACDC).lv_ef_percent == pytest.approx(true_ef, abs=1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clinical_stack_agrees_within_the_bound_of_partial_volume(kind: str) -> None:
    case = _render(kind, seed=7)
    voxel_ml = np.prod(case.spacing_zyx_mm) / 1000
    for name, truth in case.true_volume_ml.items():
        value = next(s.value for s in ACDC.structures if s.name == name)
        for frame, volume in enumerate(truth):
            mask = case.labels[frame] == value
            # A voxel away from the surface is right; one at the surface may be wrong by half of it.
            surface = binary_dilation(mask) & ~binary_erosion(mask)
            assert abs(mask.sum() * voxel_ml - volume) < 0.5 * surface.sum() * voxel_ml
            assert mask.sum() * voxel_ml == pytest.approx(volume, rel=0.15)


def test_pose_keeps_areas() -> None:
    pose = Pose.random(np.random.default_rng(4))
    step = np.float32(0.01)
    x, y = (np.random.default_rng(i).uniform(-60, 60, 50).astype(np.float64) for i in (1, 2))
    du = [np.subtract(a, b) for a, b in zip(pose.to_heart(x + step, y, 20), pose.to_heart(x, y, 20), strict=True)]
    dv = [np.subtract(a, b) for a, b in zip(pose.to_heart(x, y + step, 20), pose.to_heart(x, y, 20), strict=True)]
    np.testing.assert_allclose(np.abs(du[0] * dv[1] - du[1] * dv[0]) / step**2, 1, atol=0.01)


def test_images_have_the_contrast_of_a_cine() -> None:
    case = _render(seed=1, n_frames=2)
    middle = (slice(None), slice(2, 6))
    image, labels = case.image[middle], case.labels[middle]
    blood_lv, blood_rv, muscle = (np.median(image[labels == v]) for v in (3, 1, 2))
    lung = np.percentile(image[labels == 0], 10)
    assert muscle < 0.7 * blood_lv
    assert muscle < 0.7 * blood_rv
    assert lung < muscle
    assert image.dtype == labels.dtype == np.uint8


def test_papillary_muscles_are_dark_and_labelled_as_cavity() -> None:
    rng = np.random.default_rng(1)
    heart = random_heart(rng, "dilated")
    case = render(
        heart, n_frames=1, n_slices=9, matrix_yx=(80, 80), spacing_zyx_mm=(10.0, 2.3, 2.3), rng=rng, breathing_mm=0
    )
    inside = binary_erosion(case.labels[0, 4] == 3, iterations=3)
    dark = case.image[0, 4][inside] < 0.6 * np.median(case.image[0, 4][inside])
    assert 0.01 < dark.mean() < 0.25


def test_breathing_moves_image_and_labels_alike() -> None:
    still, moved = (_render(seed=2, n_frames=1, breathing_mm=mm, pose=Pose()) for mm in (0.0, 4.0))
    for z in range(1, 6):
        centres = []
        for case in (still, moved):
            heart = case.labels[0, z] > 0
            centres.append(np.argwhere(heart).mean(axis=0))
            blood = case.labels[0, z] == 3
            assert np.median(case.image[0, z][blood]) > 1.3 * np.median(case.image[0, z][case.labels[0, z] == 2])
        assert np.abs(centres[0] - centres[1]).max() < 10
    assert not np.array_equal(still.labels, moved.labels)


def test_noise_is_rician_in_air_and_symmetric_in_blood() -> None:
    rng = np.random.default_rng(0)
    look = random_appearance(rng)
    case = _render(seed=4, n_frames=8, appearance=look, pose=Pose())
    dark = case.image[:, 0, 5:12, 70:76].astype(float)
    bright = case.image[:, 3][case.labels[:, 3] == 3].astype(float)
    assert dark.mean() > 0.5 * look.noise  # the magnitude of noise is not centred on the signal of the lung
    assert bright.std() > 0.5 * look.noise


def test_phases_are_those_of_the_true_volume_and_the_cycle_need_not_begin_at_ed() -> None:
    seen = set()
    for seed in range(12):
        heart = random_heart(np.random.default_rng(seed), "normal")
        truth = heart.volumes_ml(heart.frame_contraction(20))["LV"]
        seen.add(int(truth.argmax()))
    case = _render(n_frames=20)
    assert case.ed_frame == case.true_volume_ml["LV"].argmax()
    assert case.es_frame == case.true_volume_ml["LV"].argmin()
    assert case.frame_interval_ms * 20 == pytest.approx(random_heart(np.random.default_rng(0), "normal").cycle_ms)
    assert len(seen) > 1


def test_a_stack_shorter_than_the_heart_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(GeometryError, match="3 slices of 10 mm cover 30 mm, the heart needs"):
        render(
            random_heart(rng, "normal"), n_frames=2, n_slices=3, matrix_yx=(80, 80), spacing_zyx_mm=(10, 2, 2), rng=rng
        )
