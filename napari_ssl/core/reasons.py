"""Reasons for a rejection that a new study begins with; what the images show decides which."""

from __future__ import annotations

from napari_ssl.core.decision import DEFAULT_REJECT_REASONS
from napari_ssl.core.label_scheme import LabelScheme, StructureRole

__all__ = ["AORTA_REASONS", "OTHER_REASONS", "default_reject_reasons"]

AORTA_REASONS = (
    "Ascending aorta wrong",
    "Descending aorta wrong",
    "Border leaks into a neighbour",
    "Wall counted as lumen",
    "Some frames wrong",
    "Structures swapped",
    "Image not readable",
    "Other",
)
OTHER_REASONS = (
    "Structure missed",
    "Too large",
    "Too small",
    "Ragged border",
    "Pieces elsewhere",
    "First or last slices wrong",
    "Structures swapped",
    "Image not readable",
    "Other",
)
_VENTRICULAR = (StructureRole.LV_CAVITY, StructureRole.RV_CAVITY, StructureRole.MYOCARDIUM)


def default_reject_reasons(scheme: LabelScheme) -> tuple[str, ...]:
    """Return the reasons of a new study: for the short axis of the heart, the aorta, or any other organ.

    At most nine, so that each has a digit.
    """
    if any(scheme.by_role(role) is not None for role in _VENTRICULAR):
        return DEFAULT_REJECT_REASONS
    if scheme.by_role(StructureRole.AORTA) is not None:
        return AORTA_REASONS
    return OTHER_REASONS
