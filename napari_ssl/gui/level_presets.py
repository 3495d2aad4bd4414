"""Window and level: what a reader can choose with one key, from the image's own values or from Hounsfield units.

MR has no units, so its presets are percentiles of the image. CT windows are those of Radiopaedia's article
"Windowing (CT)" (radiopaedia.org/articles/windowing-ct): abdomen, soft tissues W 400 L 50; lungs W 1500 L −600;
spine, bone W 1800 L 400; liver W 150 L 30.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CT_WINDOWS", "LevelPreset", "is_hounsfield", "level_presets"]

CT_WINDOWS: tuple[tuple[str, float, float], ...] = (
    ("Soft tissue", 400.0, 50.0),
    ("Liver", 150.0, 30.0),
    ("Lung", 1500.0, -600.0),
    ("Bone", 1800.0, 400.0),
)
"""Name, width and level in Hounsfield units."""

_PERCENTILES = ((0.5, 99.5), (2.0, 98.0), (0.0, 95.0), (0.0, 100.0))
_SAMPLE = 400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelPreset:
    """A choice of grey values: `low` is shown black, `high` white."""

    name: str
    low: float
    high: float

    @property
    def limits(self) -> tuple[float, float]:
        """`low` and `high`."""
        return self.low, self.high


def is_hounsfield(low: float, high: float, dtype: np.dtype) -> bool:
    """Whether an image's range is that of Hounsfield units: air is far below 0, which no MR image has.

    A CT that was mapped to 8 bits is none: its values have lost their units.
    """
    return (
        (np.issubdtype(dtype, np.signedinteger) or np.issubdtype(dtype, np.floating))
        and low <= -150.0
        and 150.0 <= high <= 40_000.0
    )


def _percentile_name(low: float, high: float) -> str:
    return "Full range" if (low, high) == (0.0, 100.0) else f"{low:g}–{high:g} %"


def level_presets(image: NDArray[Any], intensity_range: tuple[float, float]) -> tuple[LevelPreset, ...]:
    """Return the presets of an image, the one to begin with first.

    Parameters
    ----------
    image : array (T, Z, Y, X)
        Percentiles are those of some 400,000 voxels.
    intensity_range : tuple of float
        Smallest and largest value.

    Returns
    -------
    tuple of LevelPreset
        Never with an empty range: in a constant image `high` is `low` + 1.
    """
    sample = image.reshape(-1)[:: max(1, image.size // _SAMPLE)]
    values = np.percentile(sample, sorted({p for pair in _PERCENTILES for p in pair}))
    at = dict(zip(sorted({p for pair in _PERCENTILES for p in pair}), values.tolist(), strict=True))
    at[0.0], at[100.0] = intensity_range
    presets = [_preset(_percentile_name(low, high), at[low], at[high]) for low, high in _PERCENTILES]
    if is_hounsfield(*intensity_range, image.dtype):
        windows = [_preset(name, level - width / 2, level + width / 2) for name, width, level in CT_WINDOWS]
        return (*windows, presets[0], presets[-1])
    return tuple(presets)


def _preset(name: str, low: float, high: float) -> LevelPreset:
    return LevelPreset(name=name, low=float(low), high=float(high) if high > low else float(low) + 1.0)
