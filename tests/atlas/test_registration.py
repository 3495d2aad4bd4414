from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hearts import SPACING, heart

from napari_ssl.atlas.matching import agree, box_of, corners_mm, locate, mapped_box
from napari_ssl.atlas.registration import RegistrationSettings, align, correlation, register
from napari_ssl.atlas.reverse_classification import register_to_references
from napari_ssl.atlas.segment import FusionSettings, segment
from napari_ssl.atlas.volume import Volume, warp_image, warp_labels
from napari_ssl.errors import GeometryError, JobError

FAST = RegistrationSettings(affine_mm=(6.0, 3.0), deform_mm=(3.0,), iterations=15)


def dice(a, b):
    return [2 * ((a == k) & (b == k)).sum() / ((a == k).sum() + (b == k).sum()) for k in (1, 2, 3)]


def test_a_heart_is_found_wherever_it_lies():
    atlas, target = heart(), heart(centre=(30, 30), seed=1)
    place = locate(target.volume, atlas.volume, atlas.box, pixel_mm=3.0)
    expected = corners_mm(target.volume, target.box).mean(axis=0)
    np.testing.assert_allclose(place.centre_xy_mm, expected[:2], atol=4.5)
    assert place.correlation > 0.8
    box = mapped_box(target.volume, atlas.volume, atlas.box, place.transform)
    inside = np.zeros(target.labels.shape, bool)
    inside[box] = True
    assert inside[target.labels > 0].all()


def test_searches_that_disagree_are_moved_to_where_most_agree():
    atlas = heart()
    place = locate(atlas.volume, atlas.volume, atlas.box, pixel_mm=3.0)
    x, y = place.centre_xy_mm
    near, far = place.moved_to((x + 3, y)), place.moved_to((x + 60, y - 40))
    agreed = agree([place, near, far])
    assert agreed[0] is place and agreed[1] is near
    np.testing.assert_allclose(agreed[2].centre_xy_mm, (x + 1.5, y), atol=1e-6)
    there = agreed[2].transform.TransformPoint((x + 1.5, y, 0.0))
    np.testing.assert_allclose(there, place.transform.TransformPoint((x, y, 0.0)), atol=1e-6)


def test_registration_brings_labels_onto_another_heart_and_repeats_itself():
    atlas, target = heart(), heart(centre=(24, 28), radius=9, seed=1)
    place = locate(target.volume, atlas.volume, atlas.box)
    found = [register(target.volume, atlas.volume, FAST, start=place.transform) for _ in range(2)]
    warped = [warp_labels(atlas.labels, atlas.volume, target.volume, f.transform) for f in found]
    assert min(dice(warped[0], target.labels)) > 0.85
    np.testing.assert_array_equal(*warped)
    assert found[0].similarity > 0.8


def test_a_single_slice_is_registered_like_a_stack():
    atlas, target = heart(shape=(1, 44, 48)), heart(shape=(1, 44, 48), centre=(22, 25), seed=1)
    found = register(target.volume, atlas.volume, FAST)
    assert min(dice(warp_labels(atlas.labels, atlas.volume, target.volume, found.transform), target.labels)) > 0.85


def test_similarity_is_the_correlation_times_the_share_that_is_covered():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 4, 5)), rng.random((2, 4, 5))
    covered = np.zeros(a.shape, bool)
    covered[0] = True
    assert correlation(a, b, covered) == pytest.approx(0.5 * np.corrcoef(a[0].ravel(), b[0].ravel())[0, 1])
    assert correlation(a, np.ones_like(a), covered) == -1.0
    assert correlation(a, b, np.zeros(a.shape, bool)) == -1.0


def test_images_without_contrast_end_in_a_clear_error_or_stay_where_they_are():
    flat = Volume(data=np.zeros((3, 44, 48), np.float32), spacing_zyx_mm=SPACING)
    try:
        found = align(flat, heart().volume, FAST)
    except JobError as error:
        assert "contrast" in str(error)
    else:
        assert found.similarity == -1.0


def test_volumes_and_labels_that_do_not_fit_are_refused():
    with pytest.raises(GeometryError, match=r"\(Z, Y, X\)"):
        Volume(data=np.zeros((3, 4), np.float32), spacing_zyx_mm=SPACING)
    with pytest.raises(GeometryError, match="positive"):
        Volume(data=np.zeros((3, 4, 4), np.float32), spacing_zyx_mm=(0.0, 1.0, 1.0))
    atlas = heart()
    with pytest.raises(GeometryError, match="shape"):
        warp_labels(atlas.labels[:2], atlas.volume, atlas.volume, register(atlas.volume, atlas.volume, FAST).transform)


def test_the_identity_changes_nothing():
    atlas = heart()
    identity = sitk.AffineTransform(3)
    np.testing.assert_allclose(warp_image(atlas.volume, atlas.volume, identity), atlas.volume.data, atol=1e-5)
    np.testing.assert_array_equal(warp_labels(atlas.labels, atlas.volume, atlas.volume, identity), atlas.labels)
    assert box_of(np.zeros((2, 4, 4), np.uint8), SPACING, 3.0) is None


def test_the_number_of_workers_does_not_change_the_segmentation():
    atlases = [heart(seed=s, radius=7 + s) for s in range(3)]
    target = heart(centre=(22, 26), seed=9)
    settings = FusionSettings(registration=FAST, selected=2)
    one, two = (segment(target.volume, atlases, 4, settings, workers=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)
    assert min(dice(one.argmax(axis=0), target.labels)) > 0.85


def test_predicted_dice_follows_the_true_one():
    target = heart(centre=(22, 26), seed=9)
    references = [heart(seed=s, radius=7.5 + s / 2) for s in range(2)]
    found = register_to_references(target.volume, references, FAST)
    shifted = np.roll(target.labels, 5, axis=1)
    good, bad = (found.predicted_dice(labels, 4) for labels in (target.labels, shifted))
    assert good.min() > 0.8
    assert (bad < good - 0.1).all()
    assert np.array_equal(found.predicted_dice(np.zeros_like(shifted), 4), [0, 0, 0])
    table = found.per_reference(target.labels, 4)
    np.testing.assert_allclose(good, table.max(axis=0))
