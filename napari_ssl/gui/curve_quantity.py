"""What a curve is read as: volume in ml, mass in g, or the area of a vessel in mm²."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from napari_ssl.core.case import Case
from napari_ssl.core.label_scheme import LabelScheme, StructureRole
from napari_ssl.measures.curves import MYOCARDIAL_DENSITY_G_PER_ML

__all__ = ["VOLUME", "Quantity", "axis_title", "quantities"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """`factor` turns millilitres into `unit`; `title` says what is shown."""

    title: str
    unit: str
    factor: float = 1.0


VOLUME = Quantity("Volume", "ml")
_MASS = Quantity("Mass", "g", MYOCARDIAL_DENSITY_G_PER_ML)


def quantities(scheme: LabelScheme | None, case: Case | None = None, *, mass: bool = False) -> dict[str, Quantity]:
    """Return what each structure's curve is shown as.

    The aorta on a single slice is an area: its volume divided by the slice's thickness. With `mass` the myocardium is
    shown as mass, which hardly changes over a true cycle.
    """
    found: dict[str, Quantity] = {}
    for structure in scheme.structures if scheme else ():
        if structure.role is StructureRole.AORTA and case is not None and case.n_slices == 1:
            found[structure.name] = Quantity("Area", "mm²", 1000.0 / case.spacing_zyx_mm[0])
        elif structure.role is StructureRole.MYOCARDIUM and mass:
            found[structure.name] = _MASS
        else:
            found[structure.name] = VOLUME
    return found


def axis_title(shown: Iterable[Quantity]) -> str:
    """Return the caption of an axis that several quantities share, e.g. ``"ml, g"``."""
    return ", ".join(dict.fromkeys(q.unit for q in shown))
