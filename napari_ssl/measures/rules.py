"""Clinical plausibility by rules: what they are, and whether a segmentation keeps them.

Rules stand beside the classifier of curves: they need no ratings, say what is wrong in a sentence, and name the frames
and slices at fault. A rule that needs a structure or a whole cycle is silent where there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.errors import CatalogueError
from napari_ssl.measures import curve_rules, shape_rules
from napari_ssl.measures.flags import Flag, RuleLimits, Severity
from napari_ssl.measures.rule_facts import SegmentationFacts

__all__ = ["RULES", "Flag", "Rule", "RuleLimits", "Severity", "check_segmentation"]

Check = Callable[[SegmentationFacts, RuleLimits], list[Flag]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: its name, what it is called and says, the names of its limits in `RuleLimits`, and its function."""

    name: str
    title: str
    sentence: str
    limits: tuple[str, ...]
    check: Check


def _rule(name: str, title: str, sentence: str, limits: tuple[str, ...], check: Check) -> Rule:
    return Rule(name=name, title=title, sentence=sentence, limits=limits, check=check)


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        _rule(
            "mass",
            "Myocardial mass varies",
            "Muscle keeps its volume, so the mass is the same in all frames.",
            ("mass_variation_percent",),
            curve_rules.mass,
        ),
        _rule(
            "stroke-volumes",
            "Stroke volumes differ",
            "Both ventricles pump the same blood.",
            ("stroke_volume_percent",),
            curve_rules.stroke_volumes,
        ),
        _rule(
            "ejection-fraction",
            "Ejection fraction out of range",
            "Living hearts eject neither next to nothing nor nearly everything.",
            ("ef_low_percent", "ef_high_percent"),
            curve_rules.ejection_fraction,
        ),
        _rule(
            "jumps",
            "Jump between frames",
            "Volumes change smoothly from frame to frame.",
            ("jump_percent",),
            curve_rules.jumps,
        ),
        _rule(
            "phase-times",
            "Implausible ED or ES",
            "End-systole follows end-diastole after a third to a half of the cycle.",
            ("systole_low", "systole_high"),
            curve_rules.phase_times,
        ),
        _rule(
            "missing-frames",
            "Structure missing in frames",
            "A structure that most frames have is in all of them.",
            (),
            shape_rules.missing_frames,
        ),
        _rule(
            "slice-gaps",
            "Gap between slices",
            "A structure has no empty slice between its first and its last.",
            (),
            shape_rules.slice_gaps,
        ),
        _rule(
            "islands",
            "Island",
            "Every structure is in one piece.",
            ("island_mm2",),
            shape_rules.islands,
        ),
        _rule(
            "holes",
            "Hole in the myocardium",
            "What cavity and myocardium enclose belongs to one of them.",
            ("hole_mm2",),
            shape_rules.holes,
        ),
        _rule(
            "contact",
            "RV touches LV",
            "The septum lies between the two cavities.",
            ("contact_mm",),
            shape_rules.contact,
        ),
        _rule(
            "open-cavity",
            "Cavity not closed",
            "At mid-ventricle the myocardium closes around the LV cavity.",
            ("open_percent",),
            shape_rules.open_cavity,
        ),
    )
}
"""All rules by name, as they are shown."""


def check_segmentation(
    labels: NDArray[Any],
    scheme: LabelScheme,
    spacing_zyx_mm: Sequence[float],
    *,
    frames: Sequence[int] | None = None,
    frame_interval_ms: float | None = None,
    ed_frame: int | None = None,
    es_frame: int | None = None,
    limits: RuleLimits | None = None,
    rules: Collection[str] | None = None,
) -> list[Flag]:
    """Return which rules a segmentation breaks and where; an empty list is a good sign.

    Parameters
    ----------
    labels : (T, Z, Y, X) uint8
    scheme : LabelScheme
    spacing_zyx_mm : three floats
    frames : sequence of int, optional
        Frames that hold labels; all by default. Rules on the cycle need all of eight or more.
    frame_interval_ms : float, optional
    ed_frame, es_frame : int, optional
        Known phases, for stroke volumes and ejection fractions where not all frames are labelled.
    limits : RuleLimits, optional
    rules : collection of str, optional
        Only these; all by default.

    Raises
    ------
    CatalogueError
        No rule of that name.
    GeometryError, LabelError
        Labels that are not (T, Z, Y, X), frames outside them.
    """
    unknown = sorted(set(rules or ()) - set(RULES))
    if unknown:
        raise CatalogueError(f"no rule {unknown[0]!r}; there are {', '.join(RULES)}")
    facts = SegmentationFacts(
        labels,
        scheme,
        spacing_zyx_mm,
        frames=frames,
        frame_interval_ms=frame_interval_ms,
        ed_frame=ed_frame,
        es_frame=es_frame,
    )
    chosen = [rule for name, rule in RULES.items() if rules is None or name in rules]
    return [flag for rule in chosen for flag in rule.check(facts, limits or RuleLimits())]
