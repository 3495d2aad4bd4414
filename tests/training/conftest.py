from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.core.training import Preprocessing
from napari_ssl.training.dataset import SliceStore

SIZE = 32


def _ring_case(seed: int, n_frames: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A bright disc in a ring, ``(T, 2, 32, 32)`` image and class indices."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    radius = np.hypot(y - SIZE / 2 - rng.normal(), x - SIZE / 2 - rng.normal())
    classes = np.where(radius < 5, 2, np.where(radius < 9, 1, 0)).astype(np.uint8)
    classes = np.broadcast_to(classes, (n_frames, 2, SIZE, SIZE)).copy()
    image = np.clip(classes / 2 * 0.8 + 0.05 * rng.normal(size=classes.shape), 0, 1).astype(np.float32)
    return image, classes


@pytest.fixture
def store() -> SliceStore:
    """Five cases of two slices."""
    result = SliceStore(Preprocessing(crop_yx=(SIZE, SIZE)), 3)
    for n in range(5):
        result.add(f"case{n}", *_ring_case(n))
    return result


@pytest.fixture
def another_case() -> tuple[np.ndarray, np.ndarray]:
    """Image and classes of a case that `store` does not hold."""
    return _ring_case(99)
