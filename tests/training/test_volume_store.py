from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from napari_ssl.core.catalogue import SupervisedParameters
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.errors import LabelError, SpecError
from napari_ssl.networks import build_network
from napari_ssl.training.dataset import SliceStore, VolumeStore, entries_per_frame, make_store
from napari_ssl.training.loop import Stopped, fit
from napari_ssl.training.losses import choose_loss
from napari_ssl.training.validation import validate

PATCHES = Preprocessing(dimensions=3, crop_yx=(16, 32), patch_z=8)
SCHEME = LabelScheme.parse("1=Organ,2=Vessel")


def _volume(seed=0, shape=(12, 40, 44)):
    """A bright organ in one corner, a vessel of few voxels beside it; ``(1, Z, Y, X)``."""
    rng = np.random.default_rng(seed)
    classes = np.zeros(shape, np.uint8)
    classes[2:8, 4:14, 6:20] = 1
    classes[3:5, 16:18, 8:10] = 2
    image = np.clip(classes * 0.4 + 0.1 + 0.03 * rng.normal(size=shape), 0, 1).astype(np.float32)
    return image[None], classes[None]


def _store(preprocessing=PATCHES, n=3):
    store = VolumeStore(preprocessing, 3)
    for seed in range(n):
        store.add(f"case{seed}", *_volume(seed), weight=1.0 + seed)
    return store


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_preprocessing_chooses_the_store():
    assert isinstance(make_store(PATCHES, 3), VolumeStore)
    assert isinstance(make_store(Preprocessing(), 3), SliceStore)
    assert entries_per_frame((12, 40, 44), (2.0, 1.0, 1.0), PATCHES) == 1
    assert entries_per_frame((12, 40, 44), (2.0, 1.0, 1.0), Preprocessing()) == 12
    assert entries_per_frame((12, 40, 44), (2.0, 1.0, 1.0), Preprocessing(slice_spacing_mm=1.0)) == 24


def test_patches_are_cut_from_the_volumes_asked_for():
    store = _store()
    batch = store.batch(torch.tensor([2, 0, 2]), _generator())
    assert batch.images.shape == (3, 1, 8, 16, 32) and batch.images.dtype == torch.float32
    assert batch.classes.shape == (3, 8, 16, 32) and batch.classes.dtype == torch.uint8
    assert batch.weights.tolist() == [3.0, 1.0, 3.0]
    assert len(store) == 3 == store.n_weighted
    assert [(s.case_id, s.start, s.stop) for s in store.sources] == [("case0", 0, 1), ("case1", 1, 2), ("case2", 2, 3)]


def test_image_and_labels_are_cut_alike_and_match_the_volume():
    _, classes = _volume()
    store = VolumeStore(PATCHES, 3)
    store.add("a", classes.astype(np.float32) / 2, classes)
    for seed in range(10):
        batch = store.batch(torch.tensor([0]), _generator(seed))
        assert torch.equal((batch.images[:, 0] * 2).round().to(torch.uint8), batch.classes)
        windows = torch.from_numpy(classes[0]).unfold(0, 8, 1).unfold(1, 16, 1).unfold(2, 32, 1)
        assert (windows == batch.classes[0]).flatten(3).all(dim=3).any()


def test_the_share_of_patches_around_structures_is_the_one_asked_for():
    for share in (0.0, 1.0):
        store = _store(dataclasses.replace(PATCHES, foreground_share=share), n=1)
        batch = store.batch(torch.zeros(60, dtype=torch.long), _generator())
        shown = (batch.classes > 0).flatten(1).any(dim=1).float().mean()
        small = (batch.classes == 2).flatten(1).any(dim=1).float().mean()
        if share:
            assert shown == 1 and small > 0.5  # the small vessel as often as the large organ
        else:
            assert shown < 1


def test_unlabelled_volumes_give_patches_from_anywhere():
    store = VolumeStore(PATCHES, 3)
    _, classes = _volume()
    z = np.broadcast_to(np.arange(12, dtype=np.float32)[:, None, None] / 16, classes[0].shape)
    store.add("a", z[None], np.zeros_like(classes))
    starts = {float(store.batch(torch.tensor([0]), _generator(s)).images[0, 0, 0, 0, 0]) for s in range(40)}
    assert starts == {n / 16 for n in range(5)}


def test_small_volumes_are_padded_with_their_lowest_intensity():
    store = VolumeStore(PATCHES, 2)
    image = np.full((1, 4, 10, 20), 0.5, np.float32)
    image[0, 0, 0, 0] = -2
    store.add("a", image, np.ones(image.shape, np.uint8))
    for generator in (None, _generator()):
        batch = store.batch(torch.tensor([0]), generator)
        inside = batch.classes[0] == 1
        assert inside.sum() == 4 * 10 * 20 and inside[2:6, 3:13, 6:26].all()
        assert (batch.images[0, 0][~inside] == -2).all()


def test_the_same_generator_cuts_the_same_patches():
    store = _store()
    first, second = (store.batch(torch.arange(3), _generator(4)) for _ in range(2))
    other = store.batch(torch.arange(3), _generator(5))
    assert torch.equal(first.images, second.images) and not torch.equal(first.images, other.images)
    middle = store.batch(torch.tensor([0])).classes
    assert torch.equal(middle, store.batch(torch.tensor([0])).classes)


def test_soft_labels_are_cut_with_the_patch_and_sum_to_one():
    image, classes = _volume()
    soft = np.stack([(classes[0] == k) * 255 for k in range(3)])[None].astype(np.uint8)
    store = VolumeStore(PATCHES, 3)
    store.add("a", image, classes, soft=soft)
    batch = store.batch(torch.zeros(4, dtype=torch.long), _generator())
    assert batch.soft.shape == (4, 3, 8, 16, 32)
    assert torch.allclose(batch.soft.sum(dim=1), torch.ones(4, 8, 16, 32))
    assert torch.equal(batch.soft.argmax(dim=1).to(torch.uint8), batch.classes)
    with pytest.raises(SpecError, match="soft and hard"):
        store.add("b", image, classes)


def test_volumes_are_resampled_to_the_spacings_asked_for():
    preprocessing = Preprocessing(dimensions=3, crop_yx=(16, 32), patch_z=8, pixel_spacing_mm=2.0, slice_spacing_mm=1.5)
    store = VolumeStore(preprocessing, 3)
    store.add("a", *_volume(), spacing_zyx_mm=(3.0, 1.0, 1.0))
    (whole,) = store.whole(5)
    assert whole.images.shape == (1, 1, 24, 20, 22) and whole.classes.shape == (1, 24, 20, 22)


def test_the_digest_sees_values_weights_and_the_patch():
    first, second = _store(), _store()
    assert first.digest() == second.digest()
    second._volumes[1].classes[0, 0, 0] += 1
    assert first.digest() != second.digest()
    assert first.digest() != _store(dataclasses.replace(PATCHES, patch_z=4)).digest()
    with pytest.raises(LabelError, match="class index 7"):
        first.add("x", _volume()[0], np.full((1, 12, 40, 44), 7, np.uint8))
    with pytest.raises(SpecError, match="holds no volume"):
        _ = VolumeStore(PATCHES, 3).weights


def _fit(folder, iterations=6, should_stop=lambda: False, store=None):
    torch.manual_seed(1)
    return fit(
        build_network("res-unet", n_classes=3, parameters={"base_channels": 2, "levels": 3}, dimensions=3),
        store or _store(),
        parameters=SupervisedParameters(batch_size=2, validate_every=4, learning_rate=3e-3),
        iterations=iterations,
        validation=_store(n=1),
        scheme=SCHEME,
        seed=3,
        device="cpu",
        emit=lambda event: None,
        should_stop=should_stop,
        checkpoint_folder=folder,
        step_name="volumes",
    )


def test_training_on_volumes_resumes_exactly(tmp_path):
    whole = _fit(tmp_path / "whole")
    answers = iter([False] * 3 + [True] * 50)
    with pytest.raises(Stopped):
        _fit(tmp_path / "parts", should_stop=lambda: next(answers))
    resumed = _fit(tmp_path / "parts")
    assert whole.losses == resumed.losses
    assert all(torch.equal(whole.state_dict[k], resumed.state_dict[k]) for k in whole.state_dict)
    assert [h["iteration"] for h in whole.history] == [4, 6]


class _Oracle(torch.nn.Module):
    """Knows the classes by their brightness."""

    def forward(self, x):
        middles = torch.tensor([0.1, 0.5, 0.9]).reshape(1, 3, 1, 1, 1)
        return -((x - middles) ** 2) * 200


@pytest.mark.parametrize("stop_after", [None, 1])
def test_validation_measures_whole_volumes_by_windows(stop_after):
    answers = iter([False] * (stop_after or 1000) + [True] * 1000)
    result = validate(
        _Oracle(), _store(n=2), loss=choose_loss("dice-cross-entropy"), scheme=SCHEME, device=torch.device("cpu"),
        dtype=None, batch_size=4, should_stop=lambda: next(answers),
    )  # fmt: skip
    if stop_after:
        assert result is None
    else:
        assert min(result.dice.values()) > 0.99 and result.loss < 0.1
