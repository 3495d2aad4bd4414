from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.editing import region as region_module
from napari_ssl.editing.region import refine_region
from napari_ssl.errors import LabelError, MissingDependencyError


@pytest.fixture
def ventricle():
    """Image, true labels, and labels that lie two pixels beside."""
    y, x = np.mgrid[:60, :60]
    true = (np.hypot(y - 30, x - 30) < 13).astype(np.uint8) * 3
    image = np.where(true == 3, 220.0, 60.0) + np.random.default_rng(1).normal(0, 12, true.shape)
    return image, true, np.roll(true, 2, axis=1)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_inside_the_region_the_outline_moves_to_the_edge(ventricle):
    pytest.importorskip("pydensecrf", reason="pydensecrf2 is not installed")
    image, true, off = ventricle
    refined = refine_region(off, image, np.ones(off.shape, bool))
    assert dice(off == 3, true == 3) < 0.91 and dice(refined == 3, true == 3) > 0.97


def test_outside_the_region_nothing_changes(ventricle):
    pytest.importorskip("pydensecrf", reason="pydensecrf2 is not installed")
    image, true, off = ventricle
    left = np.zeros(off.shape, bool)
    left[:, :30] = True
    refined = refine_region(off, image, left)
    assert np.array_equal(refined[:, 30:], off[:, 30:])
    assert dice(refined[:, :30] == 3, true[:, :30] == 3) > dice(off[:, :30] == 3, true[:, :30] == 3) + 0.03


def test_a_locked_structure_stays(ventricle):
    pytest.importorskip("pydensecrf", reason="pydensecrf2 is not installed")
    image, _, off = ventricle
    assert np.array_equal(refine_region(off, image, np.ones(off.shape, bool), locked={3}), off)


def test_regions_without_an_outline_are_refused(ventricle):
    image, _, off = ventricle
    with pytest.raises(LabelError, match="region is empty"):
        refine_region(off, image, np.zeros(off.shape, bool))
    corner = np.zeros(off.shape, bool)
    corner[:2, :2] = True
    with pytest.raises(LabelError, match="one structure only"):
        refine_region(off, image, corner)
    with pytest.raises(LabelError, match="expected labels, image and region"):
        refine_region(off, image[1:], corner)


def test_without_pydensecrf_the_package_is_named(ventricle, monkeypatch):
    image, _, off = ventricle
    monkeypatch.setattr(region_module, "find_spec", lambda _name: None)
    with pytest.raises(MissingDependencyError, match="pydensecrf2"):
        refine_region(off, image, np.ones(off.shape, bool))
