from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_ssl.errors import GeometryError
from napari_ssl.io.geometry import Geometry

PLAIN = Geometry(size_xyz=(6, 5, 4), spacing_xyz=(1.5, 1.5, 8.0))


def test_orders_of_axes():
    assert PLAIN.size_zyx == (4, 5, 6)
    assert PLAIN.spacing_zyx_mm == (8.0, 1.5, 1.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size_xyz": (6, 5, 0)}, "at least one voxel"),
        ({"size_xyz": (6, 5)}, "3 finite numbers"),
        ({"spacing_xyz": (1, 1, 0)}, "0.001 to 1000 mm"),
        ({"spacing_xyz": (1, 1, float("nan"))}, "3 finite numbers"),
        ({"direction": (1, 0, 0, 0, 1, 0, 0, 1, 1)}, "not orthonormal"),
        ({"is_2d": True}, "a 2D image has one slice"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    with pytest.raises(GeometryError, match=message):
        replace(PLAIN, **change)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"size_xyz": (6, 5, 3)}, "size"),
        ({"spacing_xyz": (1.5, 1.5, 8.01)}, "spacing"),
        ({"origin_xyz": (0, 0, 0.1)}, "origin"),
        ({"direction": (-1, 0, 0, 0, -1, 0, 0, 0, 1)}, "direction"),
    ],
)
def test_difference_is_named(change, word):
    assert PLAIN.differs(replace(PLAIN, **change)).startswith(word)


def test_rounding_of_32_bit_floats_is_no_difference():
    spacing = tuple(float(np.float32(s)) for s in (1.3, 1.3, 9.1))
    one = replace(PLAIN, spacing_xyz=(1.3, 1.3, 9.1))
    assert one.differs(replace(PLAIN, spacing_xyz=spacing, origin_xyz=(0, 0, 1e-5))) is None
