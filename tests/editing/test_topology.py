from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_ssl.editing.topology import is_simple, relabel


def bits(rows: str) -> int:
    """Neighbourhood written as three rows; the centre does not count."""
    a = [[c == "#" for c in row] for row in rows.split("/")]
    clockwise = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    return sum(1 << k for k, (y, x) in enumerate(clockwise) if a[y][x])


@pytest.mark.parametrize(
    ("rows", "simple"),
    [
        ("###/#.#/...", True),  # at a straight edge
        ("#../.../...", True),  # the end of a line that touches by a corner
        ("#../.../..#", False),  # taking it out cuts a line
        ("#.#/.../...", False),  # a bridge
        (".#./#.#/.#.", False),  # putting it in fills a hole
        ("###/#.#/###", False),  # taking it out makes a hole
        (".../.../...", False),  # an island of its own
        ("##./#../...", True),
    ],
)
def test_simple_points(rows, simple):
    assert is_simple(bits(rows)) is simple


def shape_of(labels: np.ndarray) -> list[tuple[int, int, int]]:
    """Number of parts and of holes of each label."""
    found = []
    for value in np.unique(labels):
        mask = labels == value
        _, parts = ndimage.label(mask, np.ones((3, 3)))
        _, others = ndimage.label(np.pad(~mask, 1, constant_values=True))
        found.append((int(value), parts, others - 1))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_relabelling_keeps_parts_and_holes_of_every_label(seed):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:40, :40]
    r = np.hypot(y - 20, x - 20)
    labels = np.where(r < 7, 3, np.where(r < 11, 2, 0)).astype(np.uint8)
    wanted = np.where(rng.random(labels.shape) < 0.5, rng.integers(0, 4, labels.shape), labels).astype(np.uint8)
    wanted[wanted == 1] = 0
    result = relabel(labels, wanted, rng.random(labels.shape))
    assert shape_of(result) == shape_of(labels)
    changed = result != labels
    assert changed.sum() > 20 and np.array_equal(result[changed], wanted[changed])
