"""Erroneous segmentations made from good ones, on label maps ``(T, Z, Y, X)``.

Each fault is one function that edits a copy and says where. They are the mistakes that segmentation networks make on
short-axis cines (Robinson et al. 2019): `FAULTS` lists them. `corrupt` draws one and draws again
until the curves show it: the volume of a structure must change in some frame by `VISIBLE` of that structure's largest
volume, by `VISIBLE_THROUGHOUT` where all frames are at fault. What curves cannot show no classifier of curves can find;
the rules and a second opinion are there for that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from napari_ssl.core.label_scheme import LabelScheme, StructureRole
from napari_ssl.errors import LabelError
from napari_ssl.measures.curves import frame_volumes

__all__ = ["FAULTS", "VISIBLE", "VISIBLE_THROUGHOUT", "Fault", "corrupt", "resize"]

VISIBLE = 0.15
VISIBLE_THROUGHOUT = 0.50
_ATTEMPTS = 12
_FAR_MM = 1e4  # distances are in-plane: neighbouring slices are this far away

Labels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What was done to a segmentation: the kind, the structures, the frames and the slices (empty: all)."""

    kind: str
    structures: tuple[str, ...]
    frames: tuple[int, ...]
    slices: tuple[int, ...] = ()


def resize(mask: NDArray[np.bool_], share: float, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Let a mask ``(Z, Y, X)`` grow (share > 0) or shrink by a share of its voxels, nearest to its border first.

    Growth stays in `allowed` and in the slices that the mask occupies.
    """
    size = int(mask.sum())
    wanted = round(abs(share) * size)
    if not wanted:
        return mask.copy()
    sampling = (_FAR_MM, 1.0, 1.0)
    inward = share < 0
    distance = distance_transform_edt(mask if inward else ~mask, sampling=sampling)
    candidates = mask if inward else allowed & ~mask & (distance < _FAR_MM)
    at = np.flatnonzero(candidates)
    nearest = at[np.argsort(distance.ravel()[at], kind="stable")[:wanted]]
    result = mask.copy()
    result.ravel()[nearest] = not inward
    return result


class _Heart:
    """Labels that a fault edits, with the names that it needs."""

    def __init__(self, labels: Labels, scheme: LabelScheme, rng: np.random.Generator) -> None:
        self.labels, self.scheme, self.rng = labels.copy(), scheme, rng
        self.n_frames = len(labels)
        found = {role: scheme.by_role(role) for role in StructureRole}
        self.names = [s.name for s in scheme.structures if (labels == s.value).any()]
        self.value = {s.name: s.value for s in scheme.structures}
        self.lv, self.rv, self.myo = (
            getattr(found[role], "name", None)
            for role in (StructureRole.LV_CAVITY, StructureRole.RV_CAVITY, StructureRole.MYOCARDIUM)
        )

    def some(self, *names: str | None) -> str:
        """Draw one of the structures that are there; LabelError when there is none."""
        there = [n for n in names if n in self.names]
        if not there:
            raise LabelError("none of the structures that this fault needs")
        return str(self.rng.choice(there))

    def run(self, low: float, high: float) -> list[int]:
        """Draw neighbouring frames, a share of the cycle between low and high, at least one."""
        n = max(1, round(self.rng.uniform(low, high) * self.n_frames))
        first = int(self.rng.integers(self.n_frames))
        return sorted((first + i) % self.n_frames for i in range(min(n, self.n_frames)))

    def occupied(self) -> list[int]:
        """Slices that hold labels, from base to apex: the end with the larger area is the base."""
        area = (self.labels > 0).sum(axis=(0, 2, 3))
        slices = np.flatnonzero(area).tolist()
        if len(slices) < 3:
            raise LabelError("too few slices for this fault")
        n = max(1, len(slices) // 3)
        return slices if area[slices[:n]].sum() >= area[slices[-n:]].sum() else slices[::-1]

    def resize(self, name: str, frame: int, share: float, *, into: tuple[str | None, ...] = ()) -> None:
        """Resize one structure in one frame; it grows into the background and `into`, and leaves background behind."""
        labels = self.labels[frame]
        mask = labels == self.value[name]
        allowed = np.isin(labels, [0, *(self.value[n] for n in into if n in self.value)])
        new = resize(mask, share, allowed)
        labels[mask & ~new] = 0
        labels[new] = self.value[name]


Where = tuple[tuple[str, ...], list[int], list[int]]


def _missing_end(heart: _Heart, *, base: bool) -> Where:
    slices = heart.occupied()
    n = int(heart.rng.integers(1, max(2, len(slices) // 2)))
    gone = slices[:n] if base else slices[-n:]
    frames = heart.run(0.06, 0.6)
    heart.labels[np.ix_(frames, gone)] = 0
    return tuple(heart.names), frames, gone


def missing_basal_slice(heart: _Heart) -> Where:
    """Basal slices are empty in a part of the cycle."""
    return _missing_end(heart, base=True)


def missing_apical_slice(heart: _Heart) -> Where:
    """Apical slices are empty in a part of the cycle."""
    return _missing_end(heart, base=False)


def frame_dropout(heart: _Heart) -> Where:
    """Nothing, or one structure less, in one to three frames."""
    frames = sorted(heart.rng.choice(heart.n_frames, min(heart.n_frames, int(heart.rng.integers(1, 4))), replace=False))
    names = heart.names if heart.rng.random() < 0.5 else [heart.some(*heart.names)]
    for frame in frames:
        part = heart.labels[frame]
        part[np.isin(part, [heart.value[n] for n in names])] = 0
    return tuple(names), [int(f) for f in frames], []


def label_swap(heart: _Heart) -> Where:
    """Two structures change their names in a part of the cycle."""
    first = heart.some(heart.lv, heart.rv)
    second = heart.some(*(n for n in heart.names if n != first))
    frames = heart.run(0.03, 1.0 if heart.rng.random() < 0.3 else 0.4)
    part = heart.labels[frames]
    a, b = part == heart.value[first], part == heart.value[second]
    part[a], part[b] = heart.value[second], heart.value[first]
    heart.labels[frames] = part
    return (first, second), frames, []


def rv_leak(heart: _Heart) -> Where:
    """The right ventricle (the left one where there is no right) runs out into its surroundings."""
    name = heart.some(heart.rv) if heart.rv in heart.names else heart.some(heart.lv)
    frames = heart.run(0.03, 0.8)
    share = heart.rng.uniform(0.25, 1.2)
    for frame in frames:
        heart.resize(name, frame, share * heart.rng.uniform(0.8, 1.2))
    return (name,), frames, []


def spike(heart: _Heart) -> Where:
    """One frame, or two, where a structure is much too large or too small."""
    name = heart.some(*heart.names)
    frames = heart.run(0.0, 0.05)
    share = heart.rng.uniform(0.25, 0.9) * heart.rng.choice([-1, 1])
    for frame in frames:
        heart.resize(name, frame, share, into=(heart.myo, heart.lv))
    return (name,), frames, []


def drift(heart: _Heart) -> Where:
    """A structure that grows or shrinks from the first frame to the last."""
    name = heart.some(*heart.names)
    total = heart.rng.uniform(0.3, 0.8) * heart.rng.choice([-1, 1])
    for frame in range(heart.n_frames):
        heart.resize(name, frame, total * frame / (heart.n_frames - 1), into=(heart.myo,))
    return (name,), list(range(heart.n_frames)), []


def _throughout(heart: _Heart, low: float, high: float) -> Where:
    name = heart.some(*heart.names)
    share = heart.rng.uniform(low, high)
    for frame in range(heart.n_frames):
        heart.resize(name, frame, share, into=(heart.myo,))
    return (name,), list(range(heart.n_frames)), []


def over_segmentation(heart: _Heart) -> Where:
    """A structure that is much too large in all frames."""
    return _throughout(heart, 0.4, 1.3)


def under_segmentation(heart: _Heart) -> Where:
    """A structure that is much too small in all frames, or not there at all."""
    return _throughout(heart, -1.0, -0.4)


def unsteady(heart: _Heart) -> Where:
    """Another size in every frame and another number of slices, as networks do that have seen too little."""
    names = heart.names if heart.rng.random() < 0.6 else [heart.some(*heart.names)]
    spread = heart.rng.uniform(0.08, 0.4)
    for frame in range(heart.n_frames):
        for name in names:
            heart.resize(name, frame, float(np.clip(heart.rng.normal(0, spread), -0.95, 1.5)), into=(heart.myo,))
    return tuple(names), list(range(heart.n_frames)), []


FAULTS: Mapping[str, Callable[[_Heart], Where]] = {
    f.__name__.replace("_", "-"): f
    for f in (
        missing_basal_slice,
        missing_apical_slice,
        frame_dropout,
        label_swap,
        rv_leak,
        spike,
        drift,
        over_segmentation,
        under_segmentation,
        unsteady,
    )
}
"""Kind → function; each takes the labels that it edits and returns structures, frames and slices."""


def corrupt(
    labels: Labels, scheme: LabelScheme, rng: np.random.Generator, kind: str | None = None
) -> tuple[Labels, Fault]:
    """Return labels with one fault that their curves show, and what it is.

    Parameters
    ----------
    labels : (T, Z, Y, X) uint8
        A good segmentation of every frame; it is not changed.
    kind : str, optional
        One of `FAULTS`; by default one is drawn.

    Raises
    ------
    LabelError
        The labels are empty, or no fault of this kind could be made visible in them.
    """
    if not labels.any():
        raise LabelError("an empty segmentation cannot be made worse; leave it out")
    for _ in range(_ATTEMPTS if kind else 4 * _ATTEMPTS):
        chosen = kind or str(rng.choice(list(FAULTS)))
        heart = _Heart(labels, scheme, rng)
        try:
            structures, frames, slices = FAULTS[chosen](heart)
        except LabelError:
            continue
        limit = VISIBLE_THROUGHOUT if len(frames) == len(labels) and chosen != "unsteady" else VISIBLE
        if _largest_change(labels, heart.labels, scheme) >= limit:
            fault = Fault(kind=chosen, structures=structures, frames=tuple(frames), slices=tuple(sorted(slices)))
            return heart.labels, fault
    raise LabelError(f"no visible fault of kind {kind or 'any'} could be made in labels of shape {labels.shape}")


def _largest_change(before: Labels, after: Labels, scheme: LabelScheme) -> float:
    """Largest change of a volume in a frame as a share of the structure's largest volume before."""
    old, new = (
        np.array([list(frame_volumes(frame, scheme, 1.0).values()) for frame in labels]) for labels in (before, after)
    )
    return float((np.abs(new - old).max(axis=0) / np.maximum(old.max(axis=0), 1.0)).max())
