"""Hearts of the test's own: a disc in a ring beside a disc, wherever they are wanted."""

from __future__ import annotations

import numpy as np

from napari_ssl.atlas.segment import Atlas
from napari_ssl.atlas.volume import Volume

SPACING = (8.0, 1.5, 1.5)


def heart(
    *,
    centre: tuple[float, float] = (20, 24),
    radius: float = 8,
    shape: tuple[int, int, int] = (3, 44, 48),
    seed: int = 0,
) -> Atlas:
    """LV (3) in myocardium (2), RV (1) beside it, textured surroundings; `centre` (y, x) and `radius` in pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[1], : shape[2]]
    labels = np.zeros(shape, np.uint8)
    for z in range(shape[0]):
        r = np.hypot(y - centre[0], x - centre[1])
        labels[z][np.hypot(y - centre[0], x - centre[1] + 1.5 * radius) < radius * (0.9 - 0.1 * z)] = 1
        labels[z][r < radius * (1 - 0.05 * z)] = 2
        labels[z][r < radius * (0.6 - 0.05 * z)] = 3
    image = np.array([0.15, 0.9, 0.4, 0.95])[labels] + rng.normal(0, 0.02, shape)
    return Atlas(volume=Volume(data=image.astype(np.float32), spacing_zyx_mm=SPACING), labels=labels)
