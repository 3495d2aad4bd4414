from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import LabelError
from napari_ssl.measures.overlap import (
    empty_rule,
    evaluate_case,
    evaluate_frame,
    evaluate_frames,
    mask_overlap,
    mean_over_frames,
)

pytest.importorskip("monai", reason="overlap is computed by MONAI")
ACDC = PRESETS["acdc"]


def _surface(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    return np.argwhere(mask & ~binary_erosion(mask)) * np.array(spacing)


def _by_hand(a: np.ndarray, b: np.ndarray, spacing: tuple[float, ...], tolerance: float) -> dict[str, float]:
    """All distances between all surface voxels: slow and without MONAI."""
    d = cdist(_surface(a, spacing), _surface(b, spacing))
    ab, ba = d.min(axis=1), d.min(axis=0)
    return {
        "dice": 2 * (a & b).sum() / (a.sum() + b.sum()),
        "hd95_mm": max(np.percentile(ab, 95), np.percentile(ba, 95)),
        "asd_mm": np.concatenate([ab, ba]).mean(),
        "nsd": ((ab <= tolerance).sum() + (ba <= tolerance).sum()) / (len(ab) + len(ba)),
    }


@pytest.mark.parametrize("spacing", [(10.0, 1.5, 2.0), (1.0, 1.0, 1.0), (2.0, 3.0)])
def test_scores_equal_a_computation_by_hand_from_all_surface_voxels(spacing: tuple[float, ...]) -> None:
    rng = np.random.default_rng(3)
    shape = (5, 20, 22)[-len(spacing) :]
    grid = np.indices(shape)
    masks = []
    for _ in range(2):
        centre = np.array([n / 2 for n in shape]) + rng.uniform(-2, 2, len(shape))
        radii = np.array([2.2, 6.0, 7.0])[-len(spacing) :]
        distance = sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radii, strict=True))
        masks.append((distance < 1) | (rng.random(shape) < 0.01))
    found = mask_overlap(*masks, spacing, nsd_tolerance_mm=2.0)
    assert found == pytest.approx(_by_hand(*masks, spacing, 2.0), abs=1e-5)


def test_a_box_shifted_by_three_pixels() -> None:
    a, b = np.zeros((2, 40, 40), bool)
    a[10:20, 10:20] = True
    b[10:20, 13:23] = True
    found = mask_overlap(a, b, (2.0, 2.0))
    assert found["dice"] == pytest.approx(0.7)
    assert found["hd95_mm"] == pytest.approx(6.0)  # 3 pixels of 2 mm


def test_concentric_spheres_are_apart_by_the_difference_of_their_radii() -> None:
    z, y, x = np.mgrid[-22:23, -22:23, -22:23]
    distance = np.sqrt(z**2 + y**2 + x**2)
    found = mask_overlap(distance < 20, distance < 16, (1.5, 1.5, 1.5))
    assert found["dice"] == pytest.approx(2 * 16**3 / (16**3 + 20**3), rel=0.01)
    assert found["asd_mm"] == pytest.approx(4 * 1.5, rel=0.05)
    assert found["hd95_mm"] == pytest.approx(4 * 1.5, rel=0.15)
    assert found["nsd"] == 0.0


def test_equal_masks_are_perfect() -> None:
    mask = np.zeros((3, 12, 12), bool)
    mask[:, 3:7, 2:9] = True
    assert mask_overlap(mask, mask, (10, 2, 2)) == {"dice": 1.0, "hd95_mm": 0.0, "asd_mm": 0.0, "nsd": 1.0}


def test_distances_scale_with_the_spacing_and_dice_does_not() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 4, 15, 15)) > 0.6
    once, twice = mask_overlap(a, b, (5, 1, 1)), mask_overlap(a, b, (10, 2, 2))
    assert twice["hd95_mm"] == pytest.approx(2 * once["hd95_mm"])
    assert twice["asd_mm"] == pytest.approx(2 * once["asd_mm"])
    assert twice["dice"] == once["dice"]


def test_a_single_slice_volume_is_compared_in_two_dimensions() -> None:
    a, b = np.zeros((2, 1, 30, 30), bool)
    a[0, 5:20, 5:20] = True
    b[0, 5:20, 6:21] = True
    assert mask_overlap(a, b, (10, 2, 2)) == mask_overlap(a[0], b[0], (2, 2))


def test_empty_masks_follow_the_one_rule() -> None:
    empty, full = np.zeros((3, 5, 9), bool), np.ones((3, 5, 9), bool)
    spacing = (10.0, 2.0, 1.0)
    diagonal = np.sqrt(20**2 + 8**2 + 8**2)
    missed = {"dice": 0.0, "hd95_mm": diagonal, "asd_mm": diagonal, "nsd": 0.0}
    assert mask_overlap(empty, empty, spacing) == {"dice": 1.0, "hd95_mm": 0.0, "asd_mm": 0.0, "nsd": 1.0}
    assert mask_overlap(empty, full, spacing) == pytest.approx(missed)
    assert mask_overlap(full, empty, spacing) == pytest.approx(missed)
    assert empty_rule(full, full, spacing) is None


def test_no_real_error_exceeds_that_of_a_missed_structure() -> None:
    a, b = np.zeros((2, 3, 5, 9), bool)
    a[0, 0, 0] = b[-1, -1, -1] = True
    assert mask_overlap(a, b, (10, 2, 1))["hd95_mm"] == pytest.approx(empty_rule(a, a & b, (10, 2, 1))["hd95_mm"])


def test_a_case_is_scored_per_structure_and_averaged_over_its_frames() -> None:
    reference = np.zeros((3, 2, 16, 16), np.uint8)
    reference[:, :, 2:8, 2:8] = 3
    reference[:, :, 9:13, 2:8] = 1
    prediction = reference.copy()
    prediction[2, :, 2:8, 2:5] = 0  # half of the left ventricle missed in the last frame
    by_frame = evaluate_frames(prediction, reference, ACDC, (10, 2, 2), [0, 2])
    assert sorted(by_frame) == [0, 2]
    assert by_frame[2]["LV"]["dice"] == pytest.approx(2 / 3)
    scores = evaluate_case(prediction, reference, ACDC, (10, 2, 2), [0, 2])
    assert scores == mean_over_frames(by_frame)
    assert scores["LV"]["dice"] == pytest.approx((1 + 2 / 3) / 2)
    assert scores["RV"]["dice"] == 1.0
    assert scores["Myo"] == {"dice": 1.0, "hd95_mm": 0.0, "asd_mm": 0.0, "nsd": 1.0}  # in neither
    assert evaluate_frame(prediction[2], reference[2], ACDC, (10, 2, 2)) == by_frame[2]


def test_wrong_input_is_named() -> None:
    with pytest.raises(LabelError, match=r"\(2, 3\), reference \(3, 2\)"):
        mask_overlap(np.ones((2, 3)), np.ones((3, 2)), (1, 1))
    labels = np.zeros((2, 1, 4, 4), np.uint8)
    with pytest.raises(LabelError, match="at least one of 0 to 1"):
        evaluate_frames(labels, labels, ACDC, (1, 1, 1), [])
    with pytest.raises(LabelError, match=r"\[5\]"):
        evaluate_frames(labels, labels, ACDC, (1, 1, 1), [5])


def test_distances_in_voxels_leave_the_spacing_out():
    prediction, reference = np.zeros((1, 4, 12, 12), np.uint8), np.zeros((1, 4, 12, 12), np.uint8)
    reference[0, 1:3, 3:9, 3:9] = 3
    prediction[0, 1:3, 3:9, 5:11] = 3  # shifted by two voxels of 1.5 mm
    found = evaluate_frames(prediction, reference, PRESETS["acdc"], (8.0, 2.0, 1.5), [0], in_voxels=True)[0]["LV"]
    assert (found["hd95_mm"], found["hd95_voxel"]) == (pytest.approx(3.0), pytest.approx(2.0))
    assert found["asd_voxel"] < found["asd_mm"]
    empty = evaluate_frames(prediction * 0, reference, PRESETS["acdc"], (8.0, 2.0, 1.5), [0], in_voxels=True)[0]["LV"]
    assert empty["hd95_voxel"] == pytest.approx(np.linalg.norm([3, 11, 11]))  # the diagonal, in voxels
