"""Series taken apart or put together until each is one stack of slices.

A series is taken apart where its images differ in kind (image type, echo, b-value) or orientation and every part is a
whole grid with as many phases as the others. Images of another matrix size or pixel spacing, of two patients or two
studies in one series are refused.

Series of one slice each are put together where three or more of one study are parallel, of the same size and number of
phases: scanners write a short-axis stack so, one series a slice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_ssl.io.dicom.facts import FileFacts, Picture
from napari_ssl.io.dicom.grid import Grid, IncompleteGridError, make_grid

__all__ = ["Stack", "stacks_of"]

_SAME_DIRECTION = 1e-3
_MIN_SERIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A grid, or why there is none.

    Parameters
    ----------
    files : tuple of FileFacts
        Of which it is made.
    grid : Grid or None
        None where `problems` say why.
    problems, notes : tuple of str
    part : int
        0, or its number among the parts of one series.
    """

    files: tuple[FileFacts, ...]
    grid: Grid | None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    part: int = 0


def stacks_of(series: Sequence[Sequence[FileFacts]], *, phases: str = "auto") -> list[Stack]:
    """Return the stacks of all series, those that are refused included."""
    stacks = [stack for files in series for stack in _split(files, phases)]
    return _joined(stacks, phases)


def _split(files: Sequence[FileFacts], phases: str) -> list[Stack]:
    problems = _disagreements(files)
    faulty = [f for f in files if f.faults]
    problems += [f"{f.path.name} {fault}" for f in faulty[:8] for fault in f.faults]
    if len(faulty) > 8:
        problems.append(f"and {len(faulty) - 8} more files with such faults")
    pictures, notes, twice = _without_copies(files)
    problems += twice
    if problems or not pictures:
        return [Stack(files=tuple(files), grid=None, problems=tuple(problems or ["holds no image"]))]
    groups = _groups(pictures)
    grids, problems = [], []
    for group in groups:
        try:
            grids.append(make_grid(group, phases=phases))
        except IncompleteGridError as error:
            problems += error.problems
    if len(groups) > 1:
        mixed = _mixture(groups)
        if problems or len({g.shape_tzyx[0] for g in grids}) > 1:
            return [Stack(files=tuple(files), grid=None, problems=(mixed, *problems))]
        notes.append(f"{mixed}; each is a whole stack and becomes a case of its own")
    if problems:
        return [Stack(files=tuple(files), grid=None, problems=tuple(problems))]
    by_path = {f.path: f for f in files}
    return [
        Stack(
            files=tuple(by_path[p] for p in dict.fromkeys(p.path for row in grid.pictures for p in row)),
            grid=grid,
            notes=(*notes, *grid.notes),
            part=part if len(grids) > 1 else 0,
        )
        for part, grid in enumerate(grids, start=1)
    ]


def _disagreements(files: Sequence[FileFacts]) -> list[str]:
    found = []
    for what, values in (
        ("patients", {f.patient.key for f in files}),
        ("studies", {f.study for f in files}),
    ):
        if len(values) > 1:
            found.append(f"its images are of {len(values)} {what} though of one series; separate them")
    sizes = {(p.rows, p.columns) for f in files for p in f.pictures}
    if len(sizes) > 1:
        shown = " and ".join(f"{r} × {c}" for r, c in sorted(sizes))
        found.append(f"its images have different matrix sizes ({shown}); separate them or export the series again")
    spacings = {tuple(round(s, 4) for s in p.spacing_yx) for f in files for p in f.pictures}
    if len(spacings) > 1:
        shown = " and ".join(f"{y:g} × {x:g}" for y, x in sorted(spacings))
        found.append(f"its images have different pixel spacings ({shown} mm); separate them")
    return found


def _without_copies(files: Sequence[FileFacts]) -> tuple[list[Picture], list[str], list[str]]:
    """Return the pictures once each, a note of copies, and problems where two files of one UID differ."""
    first: dict[str, FileFacts] = {}
    copies, problems = 0, []
    pictures: list[Picture] = []
    for facts in files:
        uid = facts.pictures[0].uid if facts.pictures else ""
        known = first.setdefault(uid, facts)
        if known is facts:
            pictures.extend(facts.pictures)
        elif _digest(known.path) == _digest(facts.path):
            copies += 1
        else:
            problems.append(f"{facts.path.name} and {known.path.name} have the same SOPInstanceUID and differ")
    return pictures, [f"{copies} file(s) are there twice; each was taken once"] if copies else [], problems


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _groups(pictures: Sequence[Picture]) -> list[list[Picture]]:
    """Group by kind and orientation, the largest group first."""
    groups: list[list[Picture]] = []
    for picture in pictures:
        for group in groups:
            if group[0].kind == picture.kind and _parallel(group[0], picture):
                group.append(picture)
                break
        else:
            groups.append([picture])
    return sorted(groups, key=len, reverse=True)


def _parallel(one: Picture, other: Picture) -> bool:
    return bool(np.abs(np.subtract(one.orientation, other.orientation)).max() <= _SAME_DIRECTION)


def _mixture(groups: Sequence[Sequence[Picture]]) -> str:
    kinds = {g[0].kind for g in groups}
    what = "kinds" if len(kinds) == len(groups) else "orientations" if len(kinds) == 1 else "kinds and orientations"
    return f"its images are of {len(groups)} {what} ({', '.join(str(len(g)) for g in groups)} images)"


def _joined(stacks: list[Stack], phases: str) -> list[Stack]:
    """Put parallel series of one slice each together."""
    groups: list[list[Stack]] = []
    for stack in stacks:
        if stack.grid is None or len(stack.grid.pictures[0]) != 1 or stack.part:
            continue
        for group in groups:
            if _belong_together(group[0], stack):
                group.append(stack)
                break
        else:
            groups.append([stack])
    joined = {id(s): group for group in groups if len(group) >= _MIN_SERIES for s in group}
    result: list[Stack] = []
    for stack in stacks:
        group = joined.get(id(stack))
        if group is None:
            result.append(stack)
        elif group[0] is stack:
            result.append(_join(group, phases))
    return result


def _belong_together(one: Stack, other: Stack) -> bool:
    a, b = one.files[0], other.files[0]
    p, q = one.grid.pictures[0][0], other.grid.pictures[0][0]
    return (
        (a.patient.key, a.study, a.modality) == (b.patient.key, b.study, b.modality)
        and (p.rows, p.columns, p.kind) == (q.rows, q.columns, q.kind)
        and len(one.grid.pictures) == len(other.grid.pictures)
        and np.allclose(p.spacing_yx, q.spacing_yx, rtol=1e-4)
        and _parallel(p, q)
    )


def _join(group: Sequence[Stack], phases: str) -> Stack:
    files = tuple(f for s in group for f in s.files)
    note = f"{len(group)} series of one slice each were put together"
    try:
        grid = make_grid([p for s in group for row in s.grid.pictures for p in row], phases=phases)
    except IncompleteGridError as error:
        problems = (f"{len(group)} parallel series of one slice each make no whole stack", *error.problems)
        return Stack(files=files, grid=None, problems=problems)
    copies = [n for s in group for n in s.notes if "twice" in n]
    return Stack(files=files, grid=grid, notes=(note, *copies, *grid.notes))
