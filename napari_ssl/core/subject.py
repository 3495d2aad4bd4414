"""A subject: the person, or animal, that images are of, and what is known of the body."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_ssl.core.case import Split
from napari_ssl.errors import StudyError

__all__ = ["SEXES", "Subject"]

SEXES = ("F", "M")
_LIMITS = {"height_cm": (20.0, 260.0), "weight_kg": (0.3, 500.0), "birth_year": (1850, 2200)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a study knows of a subject; None where it does not.

    Parameters
    ----------
    id : str
    split : Split
        All cases of a subject are in one split.
    sex : "F", "M" or None
        Reference values of the heart are given by sex.
    height_cm, weight_kg : float or None
        At the scan.
    birth_year : int or None
        The year alone: a date of birth identifies.
    """

    id: str
    split: Split
    sex: str | None = None
    height_cm: float | None = None
    weight_kg: float | None = None
    birth_year: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "split", Split(self.split))
        if self.sex is not None and self.sex not in SEXES:
            raise StudyError(f"subject {self.id}: sex is {self.sex!r}, use F, M or leave it out")
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                raise StudyError(f"subject {self.id}: {name} is {value}, expected {low:g} to {high:g}")

    @property
    def body_surface_area_m2(self) -> float | None:
        """Body surface area in m², √(height · weight / 3600) (Mosteller, N. Engl. J. Med. 317:1098, 1987)."""
        if self.height_cm is None or self.weight_kg is None:
            return None
        return math.sqrt(self.height_cm * self.weight_kg / 3600.0)
