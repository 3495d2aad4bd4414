"""How images reach a network: grid, size of what is trained on, intensities."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from napari_ssl.errors import SpecError

__all__ = ["INTENSITIES", "Preprocessing", "changed_preprocessing", "preprocessing_from_texts"]

INTENSITIES = ("percentile", "z-score", "three-sd", "window")
"""How intensities are mapped; see `Preprocessing.intensity`."""

_REALS = (
    *("pixel_spacing_mm", "low_percentile", "high_percentile", "slice_spacing_mm"),
    *("window_low", "window_high", "overlap", "foreground_share"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """How images reach the network; a study has one, a preset may bring its own, and every model's card holds it.

    Parameters
    ----------
    pixel_spacing_mm : float
        In-plane spacing that slices are resampled to (bilinear; labels nearest); 0 keeps the native spacing.
    crop_yx : tuple of int
        Size of a training slice, centre-cropped or zero-padded, and of a 3D patch in the plane; multiples of 16.
        Prediction of slices always sees whole slices.
    low_percentile, high_percentile : float
        Percentiles of the whole image (all frames) that values are clipped to with the intensities ``percentile``,
        which maps them to 0 and 1, and ``z-score``.
    dimensions : {2, 3}
        Whether the network sees slices or volumes.
    patch_z : int
        Depth of a 3D patch ``(patch_z, *crop_yx)`` in slices; a multiple of 4.
    slice_spacing_mm : float
        Distance of slices that volumes are resampled to (linear; labels nearest); 0 keeps the native distance.
    intensity : {"percentile", "z-score", "three-sd", "window"}
        ``percentile``: the percentiles to [0, 1]. ``z-score``: clipped at the percentiles, then minus the mean, over
        the standard deviation (Zhu 2022, with 0 and 95). ``three-sd``: mean ± 3 SD to [0, 1] (Baldeon Calisto 2022).
        ``window``: fixed values to [0, 1], for CT.
    window_low, window_high : float
        The values, Hounsfield units in CT, that ``window`` maps to 0 and 1; the default shows soft tissue of the
        abdomen.
    overlap : float
        Share of a window that the next one overlaps when a volume is predicted.
    foreground_share : float
        Share of 3D training patches that are centred on a voxel of a structure; the others lie anywhere
        (Isensee et al. 2021).
    """

    pixel_spacing_mm: float = 0.0
    crop_yx: tuple[int, int] = (224, 224)
    low_percentile: float = 0.5
    high_percentile: float = 99.5
    dimensions: int = 2
    patch_z: int = 16
    slice_spacing_mm: float = 0.0
    intensity: str = "percentile"
    window_low: float = -160.0
    window_high: float = 240.0
    overlap: float = 0.5
    foreground_share: float = 0.33

    def __post_init__(self) -> None:
        for name, value in ((n, getattr(self, n)) for n in _REALS):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise SpecError(f"{name} must be a number, got {value!r}")
        try:
            object.__setattr__(self, "crop_yx", tuple(int(c) for c in self.crop_yx))
        except (TypeError, ValueError):
            raise SpecError(f"crop_yx must be two multiples of 16 from 16 to 4096, got {self.crop_yx!r}") from None
        for name in ("pixel_spacing_mm", "slice_spacing_mm"):
            value = getattr(self, name)
            if not (value == 0 or 0.05 <= value <= 50):
                raise SpecError(f"{name} must be 0 (native) or 0.05 to 50, got {value}")
        if len(self.crop_yx) != 2 or any(not 16 <= c <= 4096 or c % 16 for c in self.crop_yx):
            raise SpecError(f"crop_yx must be two multiples of 16 from 16 to 4096, got {self.crop_yx}")
        if not 0 <= self.low_percentile < self.high_percentile <= 100:
            raise SpecError(
                f"percentiles must be 0 <= low < high <= 100, got {self.low_percentile}, {self.high_percentile}"
            )
        if type(self.dimensions) is not int or self.dimensions not in (2, 3):
            raise SpecError(f"dimensions must be 2 (slices) or 3 (volumes), got {self.dimensions!r}")
        if type(self.patch_z) is not int or not 4 <= self.patch_z <= 512 or self.patch_z % 4:
            raise SpecError(f"patch_z must be a multiple of 4 from 4 to 512, got {self.patch_z!r}")
        if self.intensity not in INTENSITIES:
            raise SpecError(f"intensity must be one of {', '.join(INTENSITIES)}, got {self.intensity!r}")
        if not (math.isfinite(self.window_low) and math.isfinite(self.window_high)) or not (
            self.window_low < self.window_high
        ):
            raise SpecError(
                f"window_low must be below window_high, both finite, got {self.window_low}, {self.window_high}"
            )
        if not 0 <= self.overlap <= 0.9:
            raise SpecError(f"overlap must be in [0, 0.9], got {self.overlap}")
        if not 0 <= self.foreground_share <= 1:
            raise SpecError(f"foreground_share must be in [0, 1], got {self.foreground_share}")

    @property
    def patch_zyx(self) -> tuple[int, int, int]:
        """Size of a 3D patch."""
        return (self.patch_z, *self.crop_yx)


def changed_preprocessing(preprocessing: Preprocessing, values: Mapping[str, Any]) -> Preprocessing:
    """Return `preprocessing` with some values replaced; SpecError lists the names there are."""
    for name in values:
        if name not in _names():
            raise SpecError(f"no preprocessing value {name!r}; there are: {', '.join(_names())}")
    return dataclasses.replace(preprocessing, **values)


def preprocessing_from_texts(words: Iterable[str]) -> dict[str, Any]:
    """Read ``name=value`` words; a pair of sizes is written ``160x192``.

    Raises
    ------
    SpecError
        An unknown name, or a text that is not of its type. Limits are checked when a `Preprocessing` is made.
    """
    kinds = get_type_hints(Preprocessing)
    values: dict[str, Any] = {}
    for word in words:
        name, separator, text = word.partition("=")
        if not separator or name not in kinds:
            raise SpecError(f"cannot read {word!r}; write NAME=VALUE with NAME one of: {', '.join(_names())}")
        try:
            if name == "crop_yx":
                values[name] = tuple(int(part) for part in text.replace(",", "x").split("x"))
            else:
                values[name] = kinds[name](text)
        except ValueError:
            shape = "two sizes such as 160x192" if name == "crop_yx" else f"a value of type {kinds[name].__name__}"
            raise SpecError(f"preprocessing {name!r}: {text!r} is not {shape}") from None
    return values


def _names() -> tuple[str, ...]:
    """Names of all preprocessing values."""
    return tuple(f.name for f in dataclasses.fields(Preprocessing))
