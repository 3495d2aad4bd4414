"""Colours of structures that readers with colour-blindness can tell apart.

The four cardiac roles have colours of Okabe & Ito ("Color universal design", 2008). Those of other structures were
chosen for the largest smallest difference (CIEDE2000) between any two of them in normal vision and in deuteranopia,
protanopia and tritanopia as simulated by Machado, Oliveira & Fernandes (IEEE TVCG 15(6), 2009): 14.9. They stand in an
order in which the first ones differ most.
"""

from __future__ import annotations

__all__ = ["OTHER_COLOURS"]

OTHER_COLOURS: tuple[str, ...] = (
    "#A2B900",
    "#A2178B",
    "#74FFE8",
    "#5D5D00",
    "#B974FF",
    "#00745D",
    "#17A2A2",
    "#E8FF2E",
    "#D1B9FF",
    "#E8468B",
    "#B9E8A2",
    "#8B8B46",
    "#462EFF",
)
"""Colours of up to thirteen structures without a cardiac role."""
