"""Which label value stands for which structure. Never inferred: data sets disagree (ACDC: RV=1, UK Biobank: LV=1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.palette import OTHER_COLOURS
from napari_ssl.errors import LabelError, SchemeError

__all__ = ["PRESETS", "LabelScheme", "Structure", "StructureRole"]


class StructureRole(StrEnum):
    """What a structure is, as far as clinical indices need to know."""

    LV_CAVITY = "lv_cavity"
    RV_CAVITY = "rv_cavity"
    MYOCARDIUM = "myocardium"
    AORTA = "aorta"
    OTHER = "other"


# Okabe-Ito colours: told apart by colour-blind readers.
_ROLE_COLOURS = {
    StructureRole.LV_CAVITY: "#D55E00",
    StructureRole.RV_CAVITY: "#56B4E9",
    StructureRole.MYOCARDIUM: "#009E73",
    StructureRole.AORTA: "#CC79A7",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """One labelled structure.

    Parameters
    ----------
    value : int
        Value in label files, 1 to 255 (0 is background).
    name : str
        Short name shown to people, e.g. ``"LV"``.
    role : StructureRole
        What clinical indices take it for.
    colour : str, optional
        ``#RRGGBB``; by default one per role that colour-blind readers can tell apart.
    """

    value: int
    name: str
    role: StructureRole = StructureRole.OTHER
    colour: str = ""

    def __post_init__(self) -> None:
        if not 1 <= int(self.value) <= 255:
            raise SchemeError(f"structure {self.name!r}: label value must be in [1, 255], got {self.value}")
        if not re.fullmatch(r"[\w][\w \-]{0,40}", self.name):
            raise SchemeError(
                f"structure name {self.name!r}: use 1 to 41 letters, digits, spaces or hyphens, starting with a letter"
            )
        object.__setattr__(self, "role", StructureRole(self.role))
        colour = self.colour or _ROLE_COLOURS.get(self.role, OTHER_COLOURS[(self.value - 1) % len(OTHER_COLOURS)])
        if not re.fullmatch(r"#[0-9A-Fa-f]{6}", colour):
            raise SchemeError(f"structure {self.name!r}: colour must be #RRGGBB, got {colour!r}")
        object.__setattr__(self, "colour", colour)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelScheme:
    """The label values of a study and their meaning; 0 is always background.

    Class indices (what networks work in) are 0 for background and 1…K in the order of `structures`.

    Raises
    ------
    SchemeError
        No structure, or a value, name or cardiac role that occurs twice.
    """

    name: str
    structures: tuple[Structure, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "structures", tuple(self.structures))
        if not self.structures:
            raise SchemeError(f"label scheme {self.name!r} has no structure")
        for what, items in (
            ("label value", [s.value for s in self.structures]),
            ("name", [s.name for s in self.structures]),
            ("role", [s.role for s in self.structures if s.role is not StructureRole.OTHER]),
        ):
            twice = {i for i in items if items.count(i) > 1}
            if twice:
                raise SchemeError(f"label scheme {self.name!r}: {what} {sorted(map(str, twice))} occurs more than once")

    @property
    def n_classes(self) -> int:
        """Number of classes, background included."""
        return len(self.structures) + 1

    @property
    def values(self) -> tuple[int, ...]:
        """Label values in the order of the structures, background left out."""
        return tuple(s.value for s in self.structures)

    @property
    def names(self) -> tuple[str, ...]:
        """Structure names in order."""
        return tuple(s.name for s in self.structures)

    def by_role(self, role: StructureRole) -> Structure | None:
        """Return the structure with this role, or None."""
        return next((s for s in self.structures if s.role == role), None)

    def check(self, labels: NDArray[Any], where: str) -> None:
        """Raise LabelError when `labels` holds a value outside the scheme; `where` names the file or case."""
        found = np.unique(labels)
        alien = [v for v in found.tolist() if v != 0 and v not in self.values]
        if alien:
            known = ", ".join(f"{s.value}={s.name}" for s in self.structures)
            raise LabelError(
                f"{where}: label value {alien[0]:g} is not in the label scheme {self.name!r} (0=background, {known}); "
                "correct the file or create the study with the scheme that the file uses"
            )

    def to_classes(self, labels: NDArray[Any]) -> NDArray[np.uint8]:
        """Map label values to class indices 0…K, any shape."""
        table = np.zeros(256, np.uint8)
        for index, value in enumerate(self.values, start=1):
            table[value] = index
        return table[labels.astype(np.uint8, copy=False)]

    def from_classes(self, classes: NDArray[Any]) -> NDArray[np.uint8]:
        """Map class indices 0…K to label values, any shape."""
        return np.array((0, *self.values), np.uint8)[classes]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON/TOML types."""
        return {
            "name": self.name,
            "structures": [
                {"value": s.value, "name": s.name, "role": s.role.value, "colour": s.colour} for s in self.structures
            ],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LabelScheme:
        """Build from `to_dict`'s output; SchemeError when it is malformed."""
        try:
            return cls(name=str(data["name"]), structures=tuple(Structure(**s) for s in data["structures"]))
        except (KeyError, TypeError, ValueError) as error:
            raise SchemeError(f"label scheme is malformed ({error}); expected name and structures") from error

    @classmethod
    def parse(cls, text: str) -> LabelScheme:
        """Read a preset's name or ``VALUE=NAME[:ROLE],…``, e.g. ``1=RV:rv_cavity,2=Myo:myocardium,3=LV:lv_cavity``."""
        if text in PRESETS:
            return PRESETS[text]
        structures = []
        for part in text.split(","):
            match = re.fullmatch(r"\s*(\d+)\s*=\s*([^:]+?)\s*(?::\s*(\w+)\s*)?", part)
            if not match:
                raise SchemeError(
                    f"label scheme {text!r}: cannot read {part!r}; write VALUE=NAME:ROLE,… (roles: "
                    f"{', '.join(StructureRole)}) or one of the presets {', '.join(PRESETS)}"
                )
            value, name, role = match.groups()
            try:
                structures.append(Structure(value=int(value), name=name, role=StructureRole(role or "other")))
            except ValueError as error:
                raise SchemeError(f"label scheme {text!r}: {error}; roles are {', '.join(StructureRole)}") from error
        return cls(name="custom", structures=tuple(structures))


def _cardiac(name: str, lv: int, myo: int, rv: int) -> LabelScheme:
    parts = [
        Structure(value=lv, name="LV", role=StructureRole.LV_CAVITY),
        Structure(value=myo, name="Myo", role=StructureRole.MYOCARDIUM),
        Structure(value=rv, name="RV", role=StructureRole.RV_CAVITY),
    ]
    return LabelScheme(name=name, structures=tuple(sorted(parts, key=lambda s: s.value)))


PRESETS: dict[str, LabelScheme] = {
    "acdc": _cardiac("acdc", lv=3, myo=2, rv=1),
    "ukbb": _cardiac("ukbb", lv=1, myo=2, rv=3),
    "mnms": _cardiac("mnms", lv=1, myo=2, rv=3),
    "sunnybrook": LabelScheme(
        name="sunnybrook",
        structures=(
            Structure(value=1, name="LV", role=StructureRole.LV_CAVITY),
            Structure(value=2, name="Myo", role=StructureRole.MYOCARDIUM),
        ),
    ),
    "aorta": LabelScheme(name="aorta", structures=(Structure(value=1, name="Aorta", role=StructureRole.AORTA),)),
}
