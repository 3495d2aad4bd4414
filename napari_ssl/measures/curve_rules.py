"""Rules on volumes over the cycle. Each is one function of what was measured and the limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.label_scheme import StructureRole
from napari_ssl.core.parameters import describe
from napari_ssl.measures.curves import find_phases
from napari_ssl.measures.flags import Flag, RuleLimits, Severity
from napari_ssl.measures.rule_facts import SegmentationFacts

__all__ = ["counted", "ejection_fraction", "jumps", "limit_source", "mass", "phase_times", "stroke_volumes"]

_LV, _RV, _MYO = StructureRole.LV_CAVITY, StructureRole.RV_CAVITY, StructureRole.MYOCARDIUM
_SOURCES = {info.name: info.source for info in describe(RuleLimits)}
_FULL_SAMPLING = 20
"""Frames per cycle from which on `jump_percent` holds as it stands."""
_PLATEAU = 0.1
"""Share of the stroke volume within which frames count as end-diastolic or end-systolic."""


def limit_source(name: str) -> str:
    """Where the default of a limit comes from."""
    return _SOURCES[name]


def counted(what: str, indices: Iterable[int]) -> str:
    """Name frames or slices for people, from 0 as everywhere, runs joined: ``frames 1–3 and 7``."""
    indices = sorted({int(i) for i in indices})
    runs: list[list[int]] = []
    for i in indices:
        if runs and i == runs[-1][-1] + 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    texts = [str(r[0]) if len(r) == 1 else f"{r[0]}–{r[-1]}" for r in runs]
    if len(texts) > 6:
        texts = [*texts[:5], f"{len(indices) - sum(len(r) for r in runs[:5])} more"]
    joined = texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1]
    return f"{what}{'s' if len(indices) > 1 else ''} {joined}"


def mass(facts: SegmentationFacts, limits: RuleLimits) -> list[Flag]:
    """Myocardium is muscle: its volume, and so its mass, hardly changes over the cycle.

    Measured as (largest − smallest) / median over the frames that have myocardium. At fault are the frames farther from
    the median than half the limit, and there the slices whose area leaves their own median most.
    """
    if not facts.has(_MYO):
        return []
    present = facts.areas_mm2[_MYO].any(axis=1)
    volume = facts.volume_ml(_MYO)
    if present.sum() < 2:
        return []
    median = float(np.median(volume[present]))
    variation = 100.0 * float(np.ptp(volume[present])) / median
    limit = limits.mass_variation_percent
    if variation <= limit:
        return []
    off = present & (np.abs(volume - median) > limit / 200 * median)
    off = off if off.any() else present & (np.abs(volume - median) == np.abs(volume - median)[present].max())
    frames = facts.frames[off]
    return [
        Flag(
            rule="mass",
            severity=Severity.IMPLAUSIBLE,
            value=variation,
            limit=limit,
            unit="%",
            frames=tuple(frames),
            slices=_slices_apart(facts.areas_mm2[_MYO], off, present),
            message=f"Myocardial mass changes by {variation:.0f} % over the cycle (at most {limit:g} %), most in "
            f"{counted('frame', frames)}.",
            source=limit_source("mass_variation_percent"),
        )
    ]


def stroke_volumes(facts: SegmentationFacts, limits: RuleLimits) -> list[Flag]:
    """Both ventricles pump the same blood: their stroke volumes are alike but for leaking valves and shunts.

    Measured as the difference between the frames of largest and smallest volume, or the known phases where only some
    frames are labelled. Stacks that touch neither base nor apex of one ventricle break it too.
    """
    if not facts.has(_LV, _RV):
        return []
    strokes = {}
    for role in (_LV, _RV):
        phases = _phases(facts, role)
        if phases is None:
            return []
        volume = facts.volume_ml(role)
        strokes[role] = float(volume[phases[0]] - volume[phases[1]])
    larger = max(strokes.values())
    if larger <= 0:
        return []  # the ejection fraction tells
    difference = 100.0 * abs(strokes[_LV] - strokes[_RV]) / larger
    limit = limits.stroke_volume_percent
    if difference <= limit:
        return []
    phases = sorted({facts.frames[i] for role in (_LV, _RV) for i in _phases(facts, role) or ()})
    return [
        Flag(
            rule="stroke-volumes",
            severity=Severity.IMPLAUSIBLE,
            value=difference,
            limit=limit,
            unit="%",
            frames=tuple(phases),
            message=f"Stroke volumes differ: {facts.name(_LV)} {strokes[_LV]:.0f} ml, {facts.name(_RV)} "
            f"{strokes[_RV]:.0f} ml, by {difference:.0f} % of the larger (at most {limit:g} %).",
            source=limit_source("stroke_volume_percent"),
        )
    ]


def ejection_fraction(facts: SegmentationFacts, limits: RuleLimits) -> list[Flag]:
    """Ejection fractions of both ventricles lie within what living hearts have."""
    flags = []
    for role in (_LV, _RV):
        phases = _phases(facts, role) if facts.has(role) else None
        if phases is None:
            continue
        ed, es = (float(facts.volume_ml(role)[i]) for i in phases)
        if ed <= 0:
            continue
        ef = 100.0 * (ed - es) / ed
        if limits.ef_low_percent <= ef <= limits.ef_high_percent:
            continue
        low = ef < limits.ef_low_percent
        limit = limits.ef_low_percent if low else limits.ef_high_percent
        flags.append(
            Flag(
                rule="ejection-fraction",
                severity=Severity.IMPLAUSIBLE,
                value=ef,
                limit=limit,
                unit="%",
                frames=tuple(facts.frames[list(phases)]),
                message=f"Ejection fraction of {facts.name(role)} is {ef:.0f} % (at {'least' if low else 'most'} "
                f"{limit:g} %).",
                source=limit_source("ef_low_percent" if low else "ef_high_percent"),
            )
        )
    return flags


def jumps(facts: SegmentationFacts, limits: RuleLimits) -> list[Flag]:
    """Volumes change smoothly: a frame that leaves the line between its neighbours has another heart in it.

    Measured is |V(t) − (V(t − 1) + V(t + 1)) / 2| as a share of the largest volume, for every structure, on cycles of
    which all frames are labelled; first and last frame have one neighbour and are passed over. A jump shows on its
    neighbours at half its size, so that of neighbouring frames the largest deviation is at fault.
    """
    if not facts.covers_the_cycle:
        return []
    allowed = limits.jump_percent * max(1.0, _FULL_SAMPLING / facts.n_frames) ** 2
    flags = []
    for role in facts.areas_mm2:
        volume = facts.volume_ml(role)
        if volume.max() <= 0:
            continue
        off = np.zeros(len(volume))
        off[1:-1] = 100.0 * np.abs(volume[1:-1] - (volume[:-2] + volume[2:]) / 2) / volume.max()
        frames = _peaks(off, allowed)
        if not len(frames):
            continue
        flags.append(
            Flag(
                rule="jumps",
                severity=Severity.IMPLAUSIBLE,
                value=float(off.max()),
                limit=allowed,
                unit="%",
                frames=tuple(frames),
                slices=_slices_that_jump(facts.areas_mm2[role], frames),
                message=f"{facts.name(role)} volume jumps by {off.max():.0f} % between neighbours (at most "
                f"{allowed:.0f} %) in {counted('frame', frames)}.",
                source=limit_source("jump_percent"),
            )
        )
    return flags


def phase_times(facts: SegmentationFacts, limits: RuleLimits) -> list[Flag]:
    """End-systole follows end-diastole after a plausible share of the cycle.

    A plateau makes the largest and the smallest volume arbitrary within it: all frames within 10 % of the stroke volume
    of either are tried, and one plausible pair is enough.
    """
    role = next((r for r in (_LV, _RV) if facts.has(r)), None)
    if role is None or not facts.covers_the_cycle:
        return []
    volume = facts.volume_ml(role)
    stroke = float(np.ptp(volume))
    if stroke == 0:
        return []
    ed = np.flatnonzero(volume >= volume.max() - _PLATEAU * stroke)
    es = np.flatnonzero(volume <= volume.min() + _PLATEAU * stroke)
    shares = ((es[None, :] - ed[:, None]) % facts.n_frames) / facts.n_frames
    if ((shares >= limits.systole_low) & (shares <= limits.systole_high)).any():
        return []
    first, last = find_phases(volume)
    share = ((last - first) % facts.n_frames) / facts.n_frames
    low = share < limits.systole_low
    limit = limits.systole_low if low else limits.systole_high
    interval = facts.frame_interval_ms
    time = "" if interval is None else f" ({share * facts.n_frames * interval:.0f} ms)"
    return [
        Flag(
            rule="phase-times",
            severity=Severity.IMPLAUSIBLE,
            value=share,
            limit=limit,
            unit="of the cycle",
            frames=(first, last),
            message=f"End-systole (frame {last}) follows end-diastole (frame {first}) after "
            f"{100 * share:.0f} % of the cycle{time} (at {'least' if low else 'most'} {100 * limit:.0f} %).",
            source=limit_source("systole_low" if low else "systole_high"),
        )
    ]


def _phases(facts: SegmentationFacts, role: StructureRole) -> tuple[int, int] | None:
    """Places of ED and ES among the labelled frames: from the curve of a whole cycle, else the known phases."""
    if facts.covers_the_cycle:
        ed, es = find_phases(facts.volume_ml(role))
        return None if ed is None or es is None else (ed, es)
    place = {int(frame): n for n, frame in enumerate(facts.frames)}
    if facts.ed_frame in place and facts.es_frame in place:
        return place[facts.ed_frame], place[facts.es_frame]
    return None


def _peaks(off: NDArray[np.float64], limit: float) -> Sequence[int]:
    """Frames above the limit that exceed both neighbours."""
    padded = np.pad(off, 1)
    return np.flatnonzero((off > limit) & (off >= padded[:-2]) & (off >= padded[2:])).tolist()


def _slices_that_jump(areas: NDArray[np.float64], frames: Sequence[int]) -> tuple[int, ...]:
    """Slices that make up most of the jumps."""
    found: set[int] = set()
    for t in frames:
        off = np.abs(areas[t] - (areas[t - 1] + areas[t + 1]) / 2)
        found |= set(np.flatnonzero(off > 0.5 * off.max()).tolist())
    return tuple(found)


def _slices_apart(areas: NDArray[np.float64], off: NDArray[np.bool_], known: NDArray[np.bool_]) -> tuple[int, ...]:
    """Slices whose area in the frames `off` leaves the median over the `known` frames most."""
    apart = np.abs(areas[off] - np.median(areas[known], axis=0)).max(axis=0)
    return tuple(np.flatnonzero(apart > 0.5 * apart.max()).tolist()) if apart.max() > 0 else ()
