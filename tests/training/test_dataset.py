from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.training import Preprocessing, Role, TrainingItem
from napari_ssl.errors import LabelError, SpecError
from napari_ssl.io.images import Geometry, hash_file, hash_labels, write_volume
from napari_ssl.training.dataset import SliceOrder, SliceStore

SCHEME = LabelScheme.parse("5=Ring,9=Disc")


def _image(shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def test_every_slice_of_the_chosen_frames_is_kept_also_empty_ones():
    store = SliceStore(Preprocessing(crop_yx=(32, 32)), 3)
    store.add("a", _image((4, 3, 20, 50)), np.zeros((4, 3, 20, 50), np.uint8), (1, 3), 0.5, subject_id="s")
    store.add("b", _image((1, 2, 40, 40)), np.ones((1, 2, 40, 40), np.uint8))
    assert len(store) == 8 == store.n_weighted
    assert store.images.shape == (8, 32, 32) and store.images.dtype == torch.float16
    assert store.classes.dtype == torch.uint8
    assert store.weights.tolist() == [0.5] * 6 + [1.0] * 2
    assert [(s.case_id, s.subject_id, s.frame, s.start, s.stop) for s in store.sources] == [
        ("a", "s", 1, 0, 3), ("a", "s", 3, 3, 6), ("b", "b", 0, 6, 8),
    ]  # fmt: skip


def test_slices_are_cropped_and_padded_around_the_centre():
    store = SliceStore(Preprocessing(crop_yx=(32, 32)), 2)
    image = _image((1, 1, 20, 50))
    classes = (image > 0.5).astype(np.uint8)
    store.add("a", image, classes)
    assert torch.equal(store.classes[0, 6:26], torch.from_numpy(classes[0, 0, :, 9:41]))
    assert np.allclose(store.images[0, 6:26].float(), image[0, 0, :, 9:41], atol=1e-3)
    assert not store.images[0, :6].any() and not store.classes[0, 26:].any()


def test_pixel_spacing_resamples_image_and_labels_alike():
    store = SliceStore(Preprocessing(crop_yx=(48, 48), pixel_spacing_mm=1.0), 2)
    classes = np.zeros((1, 1, 24, 24), np.uint8)
    classes[..., 6:14, 8:20] = 1
    store.add("a", classes.astype(np.float32), classes, spacing_zyx_mm=(8, 2, 2))
    assert int(store.classes.sum()) == 4 * int(classes.sum())
    assert ((store.images > 0.5) == (store.classes == 1)).float().mean() > 0.99


def test_padding_continues_the_lowest_value_of_z_scores():
    store = SliceStore(Preprocessing(crop_yx=(32, 32), intensity="z-score"), 2)
    image = _image((1, 2, 20, 20)) * 4 - 1.5
    image[0, 0, 0, 0] = -1.75
    store.add("a", image, np.zeros(image.shape, np.uint8))
    assert (store.images[:, :6] == -1.75).all() and (store.images[:, 6:26, 6:26] > -1.75).sum() == 799


def test_slice_spacing_resamples_between_slices():
    store = SliceStore(Preprocessing(crop_yx=(32, 32), slice_spacing_mm=2.5), 2)
    classes = np.zeros((1, 6, 32, 32), np.uint8)
    classes[0, 2:4] = 1
    store.add("a", classes.astype(np.float32), classes, spacing_zyx_mm=(5, 1, 1))
    assert len(store) == 12 and store.sources[0].stop == 12
    assert store.classes.flatten(1).any(dim=1).tolist() == [False] * 4 + [True] * 4 + [False] * 4
    # Linear between slice centres, which lie a quarter of a slice off the new ones.
    assert np.allclose(store.images[3:6, 0, 0].float(), [0.25, 0.75, 1], atol=1e-3)


def test_items_are_read_from_their_files(tmp_path):
    geometry = Geometry(
        size_xyz=(24, 20, 2), spacing_xyz=(1.5, 1.5, 8.0), origin_xyz=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1),
        is_2d=False, is_4d=True,
    )  # fmt: skip
    image = (_image((3, 2, 20, 24)) * 500).astype(np.int16)
    labels = np.where(image > 400, 9, np.where(image > 300, 5, 0)).astype(np.uint8)
    write_volume(tmp_path / "i.nii.gz", image, geometry)
    write_volume(tmp_path / "l.nii.gz", labels, geometry)
    item = TrainingItem(
        case_id="c", subject_id="s", image_path=str(tmp_path / "i.nii.gz"), image_hash=hash_file(tmp_path / "i.nii.gz"),
        spacing_zyx_mm=(8, 1.5, 1.5), frames=(0, 2), role=Role.LABELLED, weight=2.0,
        label_path=str(tmp_path / "l.nii.gz"), label_hash=hash_labels(labels),
    )  # fmt: skip
    preprocessing = Preprocessing(crop_yx=(32, 32))
    store = SliceStore.from_items([item], preprocessing=preprocessing, scheme=SCHEME)
    assert len(store) == 4 and set(store.weights.tolist()) == {2.0}
    assert np.array_equal(store.classes[2:, 6:26, 4:28], SCHEME.to_classes(labels)[2])
    unlabelled = TrainingItem(
        case_id="u", subject_id="u", image_path="x", image_hash="x", spacing_zyx_mm=(8, 1, 1), frames=(0,),
        role=Role.UNLABELLED,
    )  # fmt: skip
    with pytest.raises(SpecError, match="case u"):
        SliceStore.from_items([unlabelled], preprocessing=preprocessing, scheme=SCHEME)


def test_what_does_not_fit_is_refused_by_case():
    store = SliceStore(Preprocessing(crop_yx=(32, 32)), 2)
    image = _image((1, 1, 8, 8))
    with pytest.raises(LabelError, match=r"case a: image \(1, 1, 8, 8\) and labels \(1, 1, 8, 9\)"):
        store.add("a", image, np.zeros((1, 1, 8, 9), np.uint8))
    with pytest.raises(LabelError, match="case a, frame 0: class index 2"):
        store.add("a", image, np.full((1, 1, 8, 8), 2, np.uint8))
    with pytest.raises(LabelError, match="frame 1 is not in the image"):
        store.add("a", image, np.zeros((1, 1, 8, 8), np.uint8), (1,))
    with pytest.raises(SpecError, match="holds no slice"):
        _ = store.images


def test_the_digest_sees_every_value_and_weight(store):
    before = store.digest()
    assert before == store.digest()
    store.classes[3, 4, 5] += 1
    assert store.digest() != before
    store.classes[3, 4, 5] -= 1
    store.weights[0] = 0.5
    assert store.digest() != before


def test_each_epoch_shows_every_slice_once_in_full_batches():
    order = SliceOrder(torch.ones(10), seed=1)
    shown = torch.cat([order.next(4) for _ in range(5)])
    assert sorted(shown[:10].tolist()) == list(range(10)) == sorted(shown[10:].tolist())
    assert shown[:10].tolist() != shown[10:].tolist()
    assert order.epoch == 2


def test_a_batch_may_be_larger_than_the_set():
    assert len(SliceOrder(torch.ones(3), seed=1).next(20)) == 20


def test_slices_of_weight_zero_are_never_shown():
    weights = torch.tensor([1.0, 0.0, 0.5, 0.0])
    assert set(SliceOrder(weights, seed=1).next(40).tolist()) == {0, 2}
    with pytest.raises(SpecError, match="weight above 0"):
        SliceOrder(torch.zeros(3), seed=1)


def test_the_order_repeats_and_resumes_exactly():
    first, second = SliceOrder(torch.ones(7), seed=5), SliceOrder(torch.ones(7), seed=5)
    for _ in range(3):
        assert torch.equal(first.next(4), second.next(4))
    third = SliceOrder(torch.ones(7), seed=99)
    third.load_state_dict(first.state_dict())
    assert torch.equal(first.next(30), third.next(30))
