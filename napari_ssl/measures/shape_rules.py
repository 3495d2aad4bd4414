"""Rules on the shape of the labels in each frame. Each is one function of what was measured and the limits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.label_scheme import StructureRole
from napari_ssl.measures.curve_rules import counted, limit_source
from napari_ssl.measures.flags import Flag, RuleLimits, Severity
from napari_ssl.measures.rule_facts import SegmentationFacts

__all__ = ["contact", "holes", "islands", "missing_frames", "open_cavity", "slice_gaps"]

_LV, _RV, _MYO = StructureRole.LV_CAVITY, StructureRole.RV_CAVITY, StructureRole.MYOCARDIUM
_ANATOMY = "anatomy: the structure is connected from base to apex in every frame"


def missing_frames(facts: SegmentationFacts, limits: RuleLimits) -> list[Flag]:
    """A structure that most frames have is in all of them. `limits` has no say: one missing frame is one too many."""
    flags = []
    for role, areas in facts.areas_mm2.items():
        gone = facts.expected(role) & ~areas.any(axis=1)
        if gone.any():
            frames = facts.frames[gone]
            flags.append(
                Flag(
                    rule="missing-frames",
                    severity=Severity.IMPOSSIBLE,
                    value=len(frames),
                    limit=0,
                    unit="frames",
                    frames=tuple(frames),
                    message=f"{facts.name(role)} is missing altogether in {counted('frame', frames)}.",
                    source=_ANATOMY,
                )
            )
    return flags


def slice_gaps(facts: SegmentationFacts, limits: RuleLimits) -> list[Flag]:
    """No empty slice lies between two that hold the structure. `limits` has no say: one gap is one too many."""
    flags = []
    for role, areas in facts.areas_mm2.items():
        held = areas > 0
        above = np.logical_or.accumulate(held, axis=1)
        below = np.logical_or.accumulate(held[:, ::-1], axis=1)[:, ::-1]
        gaps = ~held & above & below
        if gaps.any():
            flags.append(
                _at_places(
                    facts,
                    gaps,
                    rule="slice-gaps",
                    value=gaps.sum(axis=1).max(),
                    limit=0,
                    unit="slices",
                    message=f"{facts.name(role)} has a gap between slices",
                    source=_ANATOMY,
                )
            )
    return flags


def islands(facts: SegmentationFacts, limits: RuleLimits) -> list[Flag]:
    """Every structure is in one piece; the largest detached part of a slice counts."""
    flags = []
    for role in facts.areas_mm2:
        detached = facts.detached_mm2(role)
        places = detached > limits.island_mm2
        if places.any():
            flags.append(
                _at_places(
                    facts,
                    places,
                    rule="islands",
                    value=detached.max(),
                    limit=limits.island_mm2,
                    unit="mm²",
                    message=f"{facts.name(role)} has a detached part of {detached.max():.0f} mm² (at most "
                    f"{limits.island_mm2:g} mm²)",
                    source=limit_source("island_mm2"),
                )
            )
    return flags


def holes(facts: SegmentationFacts, limits: RuleLimits) -> list[Flag]:
    """What LV cavity and myocardium enclose in a slice belongs to one of them."""
    if not facts.has(_LV, _MYO):
        return []
    area = facts.holes_mm2
    places = area > limits.hole_mm2
    if not places.any():
        return []
    return [
        _at_places(
            facts,
            places,
            rule="holes",
            value=area.max(),
            limit=limits.hole_mm2,
            unit="mm²",
            message=f"{facts.name(_MYO)} has a hole of {area.max():.0f} mm² (at most {limits.hole_mm2:g} mm²)",
            source=limit_source("hole_mm2"),
        )
    ]


def contact(facts: SegmentationFacts, limits: RuleLimits) -> list[Flag]:
    """The septum parts the ventricles: their cavities do not touch in a slice."""
    if not facts.has(_LV, _RV):
        return []
    length = facts.contact_mm
    places = (length > limits.contact_mm) & _with_myocardium(facts)
    if not places.any():
        return []
    worst = length[places].max()
    return [
        _at_places(
            facts,
            places,
            rule="contact",
            value=worst,
            limit=limits.contact_mm,
            unit="mm",
            message=f"{facts.name(_RV)} touches {facts.name(_LV)} over {worst:.0f} mm without myocardium between (at "
            f"most {limits.contact_mm:g} mm)",
            source=limit_source("contact_mm"),
        )
    ]


def open_cavity(facts: SegmentationFacts, limits: RuleLimits) -> list[Flag]:
    """At mid-ventricle the myocardium closes around the LV cavity.

    Near the base the outflow tract opens the ring and at the apex the wall is thin, so only the middle third of the
    slices that hold the cavity is looked at.
    """
    if not facts.has(_LV, _MYO):
        return []
    share = np.where(facts.middle & _with_myocardium(facts), np.nan_to_num(facts.open_percent), 0.0)
    places = share > limits.open_percent
    if not places.any():
        return []
    return [
        _at_places(
            facts,
            places,
            rule="open-cavity",
            value=share.max(),
            limit=limits.open_percent,
            unit="%",
            message=f"{facts.name(_MYO)} leaves {share.max():.0f} % of the outline of {facts.name(_LV)} open at "
            f"mid-ventricle (at most {limits.open_percent:g} %)",
            source=limit_source("open_percent"),
        )
    ]


def _with_myocardium(facts: SegmentationFacts) -> NDArray[np.bool_]:
    """Frames (N, 1) in which the myocardium is expected; all of them where the scheme has none."""
    if not facts.has(_MYO):
        return np.zeros((len(facts.frames), 1), bool)
    return facts.expected(_MYO)[:, None]


def _at_places(
    facts: SegmentationFacts,
    places: NDArray[np.bool_],
    *,
    rule: str,
    value: float,
    limit: float,
    unit: str,
    message: str,
    source: str,
) -> Flag:
    """Make the flag of a rule that no heart breaks, at the places (N, Z); the sentence is ended with them."""
    frames, slices = facts.frames[places.any(axis=1)], np.flatnonzero(places.any(axis=0))
    return Flag(
        rule=rule,
        severity=Severity.IMPOSSIBLE,
        value=value,
        limit=limit,
        unit=unit,
        frames=tuple(frames),
        slices=tuple(slices),
        message=f"{message}: {counted('frame', frames)}, {counted('slice', slices)}.",
        source=source,
    )
