"""Pictures become a grid of phases and slices, or it is said what is missing.

**Slices.** Positions are projected on the normal of the image plane (row × column direction); the distance between
neighbours is the spacing. SliceThickness is not asked (slices have gaps, or overlap). Slices are in the order of
growing distance along the normal, so that the axes x, y, z are right-handed.

**Phases.** Of each slice, in the order of TemporalPositionIdentifier where these are different within every slice, else
of TriggerTime. Trigger times differ between slices that were taken in different heart beats, so phases are matched by
rank; the time of a phase is the mean over the slices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from napari_ssl.errors import GeometryError
from napari_ssl.io.dicom.facts import Picture
from napari_ssl.io.geometry import SPACING_LIMITS_MM, Geometry

__all__ = ["PHASE_ORDERS", "Grid", "IncompleteGridError", "make_grid"]

PHASE_ORDERS = ("auto", "instance")
"""By temporal position or trigger time; or by InstanceNumber, where the user knows that it counts phases."""

SAME_PLACE_MM = 0.02
IN_PLANE_TOLERANCE_MM = 0.1
SPACING_TOLERANCE = 0.01
SPACING_TOLERANCE_MM = 0.05
_SHOWN = 8


class IncompleteGridError(GeometryError):
    """The pictures make no whole grid; `problems` lists why."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A whole grid.

    Parameters
    ----------
    pictures : tuple of tuples of Picture
        ``pictures[t][z]``.
    geometry : Geometry
        With the mean time between phases in ms where it is known.
    frame_times_ms : tuple of float, or None
        Of each phase, since the trigger.
    notes : tuple of str
        What a person should know before importing it.
    """

    pictures: tuple[tuple[Picture, ...], ...]
    geometry: Geometry
    frame_times_ms: tuple[float, ...] | None
    notes: tuple[str, ...] = ()

    @property
    def shape_tzyx(self) -> tuple[int, int, int, int]:
        """Shape of its array."""
        return (len(self.pictures), *self.geometry.size_zyx)


def make_grid(pictures: Sequence[Picture], *, phases: str = "auto") -> Grid:
    """Arrange pictures of one matrix size, pixel spacing and orientation.

    Parameters
    ----------
    pictures : sequence of Picture
        In any order.
    phases : {"auto", "instance"}
        Of `PHASE_ORDERS`.

    Raises
    ------
    IncompleteGridError
        A slice or a phase is missing or there twice, phases cannot be told apart, slices are not equidistant, lie on
        top of each other or are shifted in their plane.
    """
    first = pictures[0]
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    normal = np.cross(row, column)
    slices, places = _slices(pictures, normal)
    problems = _shifted(slices, row, column)
    spacing_z, notes, gaps = _slice_spacing(slices, places)
    problems += gaps
    ordered = _phases(slices, places, phases, problems)
    if problems:
        raise IncompleteGridError(_shortened(problems))
    times, more = _times(ordered, phases)
    n_phases = len(ordered[0])
    geometry = Geometry(
        size_xyz=(first.columns, first.rows, len(ordered)),
        spacing_xyz=(first.spacing_yx[1], first.spacing_yx[0], spacing_z),
        origin_xyz=ordered[0][0].position,
        direction=tuple(np.column_stack([row, column, normal]).ravel()),
        is_4d=n_phases > 1,
        frame_interval_ms=_interval(times),
    )
    return Grid(
        pictures=tuple(zip(*ordered, strict=True)),
        geometry=geometry,
        frame_times_ms=times,
        notes=(*notes, *more),
    )


def _slices(pictures: Sequence[Picture], normal: NDArray[np.float64]) -> tuple[list[list[Picture]], list[float]]:
    """Group pictures by their place along the normal, in growing order."""
    placed = sorted(((float(np.dot(p.position, normal)), p) for p in pictures), key=lambda pair: pair[0])
    slices: list[list[Picture]] = []
    places: list[float] = []
    for place, picture in placed:
        if not slices or place - places[-1] > SAME_PLACE_MM:
            slices.append([])
            places.append(place)
        slices[-1].append(picture)
    return slices, places


def _shifted(slices: list[list[Picture]], row: NDArray[np.float64], column: NDArray[np.float64]) -> list[str]:
    """Tell slices whose corner is not above that of the first slice: a sheared stack."""
    origin = np.array(slices[0][0].position)
    found = []
    for z, pictures in enumerate(slices):
        offsets = [np.array(p.position) - origin for p in pictures]
        shift = max(float(np.hypot(o @ row, o @ column)) for o in offsets)
        if shift > IN_PLANE_TOLERANCE_MM:
            found.append(f"slice {z} is shifted by {shift:.2f} mm within its plane against slice 0")
    if found:
        found[-1] += " (slices must lie above each other; import them apart or resample the series)"
    return found


def _slice_spacing(slices: list[list[Picture]], places: list[float]) -> tuple[float, list[str], list[str]]:
    """Return the distance of neighbouring slices, notes, and what is wrong with it."""
    if len(places) == 1:
        picture = slices[0][0]
        value, source = next(
            ((v, s) for v, s in ((picture.gap_mm, "SpacingBetweenSlices"), (picture.thickness_mm, "SliceThickness"))
             if v and SPACING_LIMITS_MM[0] <= abs(v) <= SPACING_LIMITS_MM[1]),
            (1.0, ""),
        )  # fmt: skip
        note = (
            f"one slice; its {source} ({value:g} mm) stands for the spacing" if source else "one slice of no thickness"
        )
        return abs(value), [note], []
    distances = [b - a for a, b in pairwise(places)]
    usual = sorted(distances)[(len(distances) - 1) // 2]  # the lower median: gaps are longer, never shorter
    tolerance = max(SPACING_TOLERANCE_MM, SPACING_TOLERANCE * usual)
    problems = []
    for z, distance in enumerate(distances):
        if abs(distance - usual) <= tolerance:
            continue
        ratio = distance / usual
        n_missing = round(ratio) - 1
        if n_missing >= 1 and abs(distance - (n_missing + 1) * usual) <= (n_missing + 1) * tolerance:
            missing = ", ".join(f"{places[z] + usual * (k + 1):.2f}" for k in range(min(n_missing, _SHOWN)))
            problems.append(f"{n_missing} slice(s) missing between slices {z} and {z + 1}, at {missing} mm")
        else:
            problems.append(f"slices {z} and {z + 1} are {distance:.2f} mm apart, the others {usual:.2f} mm")
    spacing = (places[-1] - places[0]) / (len(places) - 1)
    return spacing, [], problems


def _phases(slices: list[list[Picture]], places: list[float], phases: str, problems: list[str]) -> list[list[Picture]]:
    """Return the pictures of each slice in the order of time; adds to `problems`."""
    n_phases = Counter(len(s) for s in slices).most_common(1)[0][0]
    key = _phase_key(slices, phases)
    if max(map(len, slices)) == 1:
        return slices
    if key is None:
        problems += _why_no_order(slices, phases)
        return slices
    ordered = [sorted(s, key=key) for s in slices]
    whole = [s for s in ordered if len(s) == n_phases]
    template = np.mean([[key(p) for p in s] for s in whole], axis=0)
    for z, pictures in enumerate(ordered):
        if len(pictures) == n_phases:
            continue
        found = np.array([key(p) for p in pictures], float)
        problems.append(_wrong_count(z, places[z], found, template))
    return ordered


def _phase_key(slices: list[list[Picture]], phases: str) -> Callable[[Picture], float] | None:
    """Return what orders phases: something that every picture has, different within each slice."""
    keys: tuple[Callable[[Picture], float | None], ...] = (
        (lambda p: p.instance,) if phases == "instance" else (lambda p: p.temporal_index, lambda p: p.trigger_ms)
    )
    for key in keys:
        values = [[key(p) for p in s] for s in slices]
        if all(None not in v and len(set(v)) == len(v) for v in values):
            return key
    return None


def _why_no_order(slices: list[list[Picture]], phases: str) -> list[str]:
    """Say why phases cannot be put in order."""
    if phases == "instance":
        return ["InstanceNumber is absent or occurs twice in a slice, so that it cannot order the phases"]
    everything = [p for s in slices for p in s]
    without = [p for p in everything if p.trigger_ms is None]
    if without:
        names = _names(without)
        return [
            f"{len(without)} of {len(everything)} images have no trigger time ({names}), so that phases have no "
            "order; where InstanceNumber counts them, say so (phases by instance number)"
        ]
    found = []
    for z, pictures in enumerate(slices):
        times = Counter(p.trigger_ms for p in pictures)
        for time, n in times.items():
            if n > 1:
                twins = [p for p in pictures if p.trigger_ms == time]
                found.append(f"slice {z} has {n} images with the same trigger time {time:g} ms ({_names(twins)})")
    if found:
        found[-1] += "; remove what is there twice, or separate the acquisitions"
    return found


def _wrong_count(z: int, place: float, found: NDArray[np.float64], template: NDArray[np.float64]) -> str:
    """Name the phases that a slice lacks: those of the other slices that none of its own is nearest to."""
    start = f"slice {z} (at {place:.2f} mm) has {len(found)} phases, most have {len(template)}"
    if len(found) > len(template):
        return f"{start}; remove the {len(found) - len(template)} that are too many"
    taken = {int(np.argmin(np.abs(template - value))) for value in found}
    missing = [t for t in range(len(template)) if t not in taken]
    shown = ", ".join(map(str, missing[:_SHOWN])) + (" …" if len(missing) > _SHOWN else "")
    return f"{start}; missing: phase {shown}"


def _times(ordered: list[list[Picture]], phases: str) -> tuple[tuple[float, ...] | None, list[str]]:
    """Return the mean trigger time of every phase, and notes."""
    if len(ordered[0]) == 1:
        return None, []
    if phases == "instance" or any(p.trigger_ms is None for s in ordered for p in s):
        return None, ["times of the phases are not known"]
    table = np.array([[p.trigger_ms for p in s] for s in ordered])
    times = table.mean(axis=0)
    if (np.diff(times) <= 0).any():
        return None, ["trigger times do not grow with the temporal position; times of the phases are not taken over"]
    notes = []
    spread = float(np.ptp(table, axis=0).max())
    if spread > np.diff(times).mean():
        notes.append(f"heart beats of the slices differ: times of one phase spread over up to {spread:.0f} ms")
    return tuple(round(float(t), 3) for t in times), notes


def _interval(times: tuple[float, ...] | None) -> float | None:
    """Return the mean time between phases."""
    return None if times is None else round((times[-1] - times[0]) / (len(times) - 1), 6)


def _names(pictures: Sequence[Picture]) -> str:
    names = [p.path.name + (f" frame {p.frame}" if p.frame else "") for p in pictures[:3]]
    return ", ".join(names) + (" …" if len(pictures) > 3 else "")


def _shortened(problems: list[str]) -> list[str]:
    if len(problems) <= _SHOWN:
        return problems
    return [*problems[:_SHOWN], f"and {len(problems) - _SHOWN} more such findings"]
