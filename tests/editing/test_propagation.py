from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.editing.propagation import Propagation, chain, displacement
from napari_ssl.errors import ImageError, LabelError

SPACING = (8.0, 1.5, 1.5)


def beating(n_frames=6):
    """A ring that contracts by a cosine, with noise."""
    y, x = np.mgrid[:56, :56]
    r = np.hypot(y - 28, x - 28)
    labels = np.zeros((n_frames, 2, 56, 56), np.uint8)
    for t in range(n_frames):
        radius = 11 + 2 * np.cos(2 * np.pi * t / n_frames)
        labels[t, 0] = np.where(r < radius, 3, np.where(r < radius + 5, 2, 0))
    image = np.choose(labels, (40, 0, 90, 220)) + np.random.default_rng(0).normal(0, 4, labels.shape)
    return image.astype(np.float32), labels


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_ways_go_round_the_cycle_by_the_shorter_side():
    assert chain(0, range(6), 6) == [[1, 2, 3], [5, 4]]
    assert chain(4, [5], 6) == [[5]]
    assert chain(4, [0], 6) == [[5, 0]]
    assert chain(2, [1], 6) == [[1]]
    assert chain(2, [2], 6) == []


def test_a_shifted_image_gives_the_shift():
    y, x = np.mgrid[:60, :60]
    fixed = 200 * np.exp(-((y - 30) ** 2 + (x - 28) ** 2) / 80)
    moving = np.roll(fixed, 2, axis=0)
    u = displacement(fixed, moving)
    inside = fixed > 60
    assert u[0][inside].mean() == pytest.approx(2, abs=0.4) and abs(u[1][inside].mean()) < 0.3


def test_labels_follow_the_beat_better_than_a_copy():
    image, labels = beating()
    only = np.zeros_like(labels)
    only[0] = labels[0]
    carried = Propagation(image=image, labels=only, spacing_zyx_mm=SPACING).run(0, (1, 2, 3))
    assert sorted(carried) == [1, 2, 3]
    for frame, result in carried.items():
        for value in (2, 3):
            truth, copy = labels[frame] == value, labels[0] == value
            assert dice(result == value, truth) > max(0.88, dice(copy, truth)), (frame, value)
        assert not result[1].any()  # a slice without labels stays without


def test_between_two_phases_both_ends_count():
    image, labels = beating()
    ends = np.zeros_like(labels)
    ends[[0, 3]] = labels[[0, 3]]
    carried = Propagation(image=image, labels=ends, spacing_zyx_mm=SPACING).between(0, 3)
    assert sorted(carried) == [1, 2]
    assert all(dice(r == v, labels[f] == v) > 0.93 for f, r in carried.items() for v in (2, 3))
    around = Propagation(image=image, labels=ends, spacing_zyx_mm=SPACING).between(3, 0)
    assert sorted(around) == [4, 5]


def test_progress_is_told_and_a_stop_is_obeyed():
    image, labels = beating()
    steps = []
    carry = Propagation(
        image=image,
        labels=labels,
        spacing_zyx_mm=SPACING,
        on_step=lambda done, n_all: steps.append((done, n_all)),
        should_stop=lambda: len(steps) >= 1,
    )
    assert list(carry.run(0, (1, 2, 3))) == [1] and steps == [(1, 3)]


def test_what_cannot_be_carried_is_refused():
    image, labels = beating(3)
    labels[1] = 0
    with pytest.raises(LabelError, match="frame 1 has no labels"):
        Propagation(image=image, labels=labels, spacing_zyx_mm=SPACING).run(1, (0,))
    with pytest.raises(ImageError, match="two frames"):
        Propagation(image=image[:1], labels=labels[:1], spacing_zyx_mm=SPACING)
    with pytest.raises(ImageError, match="one grid"):
        Propagation(image=image[:, :1], labels=labels, spacing_zyx_mm=SPACING)
