"""Intensities: what of an image's values a network sees, and on which scale.

The mapping of a series is taken over all its frames, so that a beat's frames stay comparable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.errors import ImageError

__all__ = ["IntensityMap", "grey_levels", "intensity_map", "intensity_window", "normalise", "scale_to_window"]

_MAX_EXACT = 8_000_000
_MAX_BINS = 1 << 20
_FAR = 1 << 20  # beyond, single precision would lose the differences


@dataclass(frozen=True, slots=True, kw_only=True)
class IntensityMap:
    """Clip to [low, high], subtract `offset`, divide by `scale`; a scale of 0 gives zeros everywhere."""

    low: float
    high: float
    offset: float
    scale: float

    @property
    def floor(self) -> float:
        """The lowest value that comes out; what lies outside the image is given it."""
        return (self.low - self.offset) / self.scale if self.scale > 0 else 0.0

    def apply(self, image: NDArray[np.generic]) -> NDArray[np.float32]:
        """Map an array of any shape."""
        if not self.scale > 0:
            return np.zeros(image.shape, np.float32)
        if max(abs(self.low), abs(self.high)) < _FAR:
            scaled = image.astype(np.float32)
            scaled -= np.float32(self.offset)
        else:
            scaled = (image.astype(np.float64) - self.offset).astype(np.float32)
        scaled *= np.float32(1.0 / self.scale)
        ends = np.float32(self.floor), np.float32((self.high - self.offset) / self.scale)
        return np.clip(scaled, *ends, out=scaled)


def _percentiles_of_integers(values: NDArray[np.integer], low: int, percentiles: tuple[float, ...]) -> list[float]:
    """Exact percentiles (linear interpolation) from a histogram; many times faster than sorting a cine."""
    shifted = values.ravel()
    if low and values.dtype.kind == "u":
        shifted = (shifted - values.dtype.type(low)).astype(np.int64)  # uint64 fits no signed type before
    elif low:
        shifted = shifted.astype(np.int64) - low
    cumulative = np.cumsum(np.bincount(shifted))
    results = []
    for percentile in percentiles:
        position = percentile / 100 * (values.size - 1)
        below = int(np.floor(position))
        ranks = np.searchsorted(cumulative, [below, min(below + 1, values.size - 1)], side="right")
        results.append(low + ranks[0] + (position - below) * (ranks[1] - ranks[0]))
    return [float(r) for r in results]


def intensity_window(image: NDArray[np.generic], preprocessing: Preprocessing) -> tuple[float, float]:
    """Return the image's low and high percentile, over all frames of ``(T, Z, Y, X)``.

    Floating-point images of more than 8 million voxels are sampled evenly.

    Raises
    ------
    ImageError
        Empty image, or values that are not finite.
    """
    _check(image)
    wanted = (preprocessing.low_percentile, preprocessing.high_percentile)
    if image.dtype.kind in "bui":
        low, high = int(image.min()), int(image.max())
        if high - low < _MAX_BINS:
            values = image.astype(np.uint8) if image.dtype.kind == "b" else image
            is_plain = low >= 0 and high < _MAX_BINS and values.dtype != np.uint64
            return tuple(_percentiles_of_integers(values, 0 if is_plain else low, wanted))
    return _finite(np.percentile(_sample(image), wanted))


def _check(image: NDArray[np.generic]) -> None:
    if image.size == 0:
        raise ImageError(f"the image has no voxels (shape {image.shape}); it cannot be normalised")


def _sample(image: NDArray[np.generic]) -> NDArray[np.generic]:
    return image.reshape(-1)[:: max(1, image.size // _MAX_EXACT)]


def _finite(values: NDArray[np.floating]) -> tuple[float, float]:
    if not np.isfinite(values).all():
        raise ImageError("the image holds values that are not finite; replace NaN and infinity before importing it")
    return float(values[0]), float(values[1])


def _mean_and_sd(values: NDArray[np.generic]) -> tuple[float, float]:
    wide = values.astype(np.float64)
    return _finite(np.array([wide.mean(), wide.std()]))


def _unit(low: float, high: float) -> IntensityMap:
    return IntensityMap(low=low, high=high, offset=low, scale=max(0.0, high - low))


def intensity_map(image: NDArray[np.generic], preprocessing: Preprocessing) -> IntensityMap:
    """Return how the values of an image ``(T, Z, Y, X)`` are mapped for the network.

    Mean and standard deviation of images of more than 8 million voxels are those of an even sample.

    Raises
    ------
    ImageError
        Empty image, or values that are not finite.
    """
    _check(image)
    match preprocessing.intensity:
        case "window":
            _mean_and_sd(_sample(image))  # refuses what is not finite
            return _unit(preprocessing.window_low, preprocessing.window_high)
        case "three-sd":
            mean, sd = _mean_and_sd(_sample(image))
            return _unit(mean - 3 * sd, mean + 3 * sd)
        case "z-score":
            low, high = intensity_window(image, preprocessing)
            mean, sd = _mean_and_sd(np.clip(_sample(image), low, high))
            return IntensityMap(low=low, high=high, offset=mean, scale=sd)
    return _unit(*intensity_window(image, preprocessing))


def normalise(image: NDArray[np.generic], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return ``(T, Z, Y, X)`` as the network sees its intensities, on the image's own grid."""
    return intensity_map(image, preprocessing).apply(image)


def grey_levels(image: NDArray[np.generic], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return ``(T, Z, Y, X)`` in [0, 1] by percentiles, for the CRF, whatever the network sees.

    The percentiles are the preprocessing's where these are what the network sees too, else the defaults.
    """
    if preprocessing.intensity != "percentile":
        preprocessing = Preprocessing()
    return scale_to_window(image, intensity_window(image, preprocessing))


def scale_to_window(image: NDArray[np.generic], window: tuple[float, float]) -> NDArray[np.float32]:
    """Map `window` to [0, 1] and clip; a window of no width gives zeros."""
    return _unit(*window).apply(image)
