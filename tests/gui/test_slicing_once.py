"""A step asks for slices once; the second test fails when napari no longer asks twice by itself."""

from contextlib import nullcontext

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_ssl.gui import compat


@pytest.mark.parametrize(("context", "times"), [(compat.sliced_once, 1), (lambda _viewer: nullcontext(), 2)])
def test_a_step_asks_for_slices(context, times, monkeypatch):
    viewer = ViewerModel()
    data = np.arange(4 * 3 * 8 * 9, dtype=np.uint8).reshape(4, 3, 8, 9)
    layers = (viewer.add_image(data), viewer.add_labels(data % 4))
    asked = []
    submit = viewer._layer_slicer.submit
    monkeypatch.setattr(viewer._layer_slicer, "submit", lambda **how: (asked.append(1), submit(**how))[1])
    with context(viewer):
        viewer.dims.set_current_step((0, 1), (2, 1))
    assert len(asked) == times
    assert np.array_equal(layers[0]._slice.image.raw, data[2, 1])
    assert np.array_equal(layers[1]._slice.image.raw, data[2, 1] % 4)
    assert viewer.dims.current_step[:2] == (2, 1)
