"""Labels carried through time by registration of neighbouring frames.

Each frame is registered to the one before in the chain, slice by slice, by symmetric demons (J.-P. Thirion, Image
matching as a diffusion process, Medical Image Analysis 2, 1998; symmetric forces: T. Vercauteren et al., NeuroImage 45,
2009), coarse to fine, through SimpleITK. Displacements are composed along the chain and the source labels are warped
once, each structure linearly, the strongest taking the pixel: outlines do not erode from step to step. Slices are
registered by themselves because they lie 8 to 10 mm apart, each from another breath-hold.

Between two labelled frames (ED and ES) labels are carried from both ends, and the nearer end counts more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from napari_ssl.errors import ImageError, LabelError

__all__ = ["Propagation", "chain", "displacement"]

_MARGIN_MM = 20.0
_ITERATIONS = (25, 10)
"""Of the half-resolution and of the full-resolution level."""
_FIELD_SIGMA_PIXELS = 1.5
"""Smoothing of the displacement field after each iteration (the diffusion of the demons)."""


def chain(start: int, targets: Sequence[int], n_frames: int) -> list[list[int]]:
    """Return the ways from `start` to all targets, one frame at a time around the cycle, at most half of it each way.

    Frames on the way that are no targets are steps of it all the same.
    """
    wanted = {t % n_frames for t in targets} - {start}
    forwards = [(start + k) % n_frames for k in range(1, n_frames // 2 + 1)]
    backwards = [(start - k) % n_frames for k in range(1, (n_frames - 1) // 2 + 1)]
    ways = []
    for way in (forwards, backwards):
        last = max((i for i, frame in enumerate(way) if frame in wanted), default=-1)
        if last >= 0:
            ways.append(way[: last + 1])
    return ways


def displacement(fixed: NDArray[np.floating], moving: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return u (2, Y, X) in pixels (y, x) such that ``moving(p + u(p))`` looks like ``fixed(p)``."""
    field: sitk.Image | None = None
    for shrink, iterations in zip((2, 1), _ITERATIONS, strict=True):
        pair = [sitk.GetImageFromArray(np.asarray(a, np.float32)) for a in (fixed, moving)]
        if shrink > 1:
            pair = [sitk.BinShrink(image, [shrink, shrink]) for image in pair]
        demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
        demons.SetNumberOfThreads(1)
        demons.SetNumberOfIterations(iterations)
        demons.SetSmoothDisplacementField(True)
        demons.SetStandardDeviations(_FIELD_SIGMA_PIXELS)
        if field is None:
            field = demons.Execute(*pair)
        else:
            field = demons.Execute(*pair, sitk.Resample(field, pair[0], sitk.Transform(), sitk.sitkLinear, 0.0))
    return np.moveaxis(sitk.GetArrayFromImage(field).astype(np.float64), -1, 0)[::-1]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep the filters inside the demons to one thread, too: on slices this small several are three times slower."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


@dataclass(slots=True, kw_only=True, eq=False)
class Propagation:
    """Carries the labels of frames to other frames.

    Parameters
    ----------
    image : (T, Z, Y, X)
    labels : (T, Z, Y, X) uint8
    spacing_zyx_mm : tuple of float
    should_stop : callable
        Asked after each registration of a frame; what was done by then is returned.
    on_step : callable
        Told how many registrations of frames are done and how many there are.
    """

    image: NDArray
    labels: NDArray[np.uint8]
    spacing_zyx_mm: tuple[float, float, float]
    should_stop: Callable[[], bool] = lambda: False
    on_step: Callable[[int, int], None] = lambda _done, _all: None
    _done: int = 0

    def __post_init__(self) -> None:
        if self.image.shape != self.labels.shape or self.image.ndim != 4:
            raise ImageError(
                f"expected image and labels (T, Z, Y, X) of one grid, got {self.image.shape} and {self.labels.shape}"
            )
        if len(self.image) < 2:
            raise ImageError("propagation needs two frames or more; this is a single volume")

    def run(self, start: int, targets: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
        """Carry the labels of frame `start` to the targets: {frame: (Z, Y, X) uint8}.

        Raises
        ------
        LabelError
            Frame `start` has no labels.
        """
        ways = chain(start, targets, len(self.image))
        n_all = sum(map(len, ways))
        carried: dict[int, NDArray[np.uint8]] = {}
        for way in ways:
            for frame, strength in self._walk(start, way, n_all):
                if frame in targets:
                    carried[frame] = _strongest(strength)
        return carried

    def between(self, first: int, last: int) -> dict[int, NDArray[np.uint8]]:
        """Carry the labels of both frames to those from `first` on to `last`: {frame: (Z, Y, X) uint8}.

        The way from `first` to `last` goes forwards in time, and around the end of the cycle when `last` is earlier.
        """
        n = len(self.image)
        way = [(first + k) % n for k in range(1, (last - first) % n)]
        n_all = 2 * len(way)
        forwards = dict(self._walk(first, way, n_all))
        carried = {}
        for frame, strength in self._walk(last, way[::-1], n_all):
            if frame in forwards:
                weight = (1 + way.index(frame)) / (1 + len(way))
                carried[frame] = _strongest(_blend(forwards[frame], strength, weight))
        return carried

    def _walk(self, start: int, way: Sequence[int], n_all: int) -> Iterator[tuple[int, dict[int, NDArray[np.float32]]]]:
        """Yield each frame of a way with the strength of each structure there, {value: (Z, Y, X)}."""
        source = self.labels[start]
        if not source.any():
            raise LabelError(f"frame {start} has no labels to carry; paint them first, or choose another frame")
        box = self._box(source)
        slices = np.flatnonzero(source.any(axis=(1, 2)))
        grid = np.stack(np.indices(source[0][box].shape)).astype(np.float64)
        total = {int(z): np.zeros_like(grid) for z in slices}
        before = start
        for frame in way:
            strengths = {int(v): np.zeros(source.shape, np.float32) for v in np.unique(source)}
            for z, so_far in total.items():
                with _one_thread():
                    step = displacement(*self._pair(frame, before, z, box))
                carried = [ndimage.map_coordinates(c, grid + step, order=1, mode="nearest") for c in so_far]
                total[z] = step + np.stack(carried)
                for value, strength in strengths.items():
                    indicator = (source[z][box] == value).astype(np.float32)
                    strength[z][box] = ndimage.map_coordinates(indicator, grid + total[z], order=1, mode="nearest")
            before = frame
            self._done += 1
            self.on_step(self._done, n_all)
            yield frame, strengths
            if self.should_stop():
                return

    def _box(self, labels: NDArray[np.uint8]) -> tuple[slice, slice]:
        [box] = ndimage.find_objects(labels.any(axis=0).astype(np.uint8))
        margins = [int(np.ceil(_MARGIN_MM / pixel)) for pixel in self.spacing_zyx_mm[1:]]
        return tuple(slice(max(0, s.start - m), s.stop + m) for s, m in zip(box, margins, strict=True))

    def _pair(self, fixed: int, moving: int, z: int, box: tuple[slice, slice]) -> list[NDArray[np.float32]]:
        """Return two images of a slice with grey values from 0 to 255."""
        pair = [self.image[t, z][box].astype(np.float32) for t in (fixed, moving)]
        low, high = np.percentile(pair, (0.5, 99.5))
        return [np.clip((a - low) * (255.0 / max(high - low, 1e-6)), 0, 255) for a in pair]


def _strongest(strengths: dict[int, NDArray[np.float32]]) -> NDArray[np.uint8]:
    values = np.array(sorted(strengths), np.uint8)
    stack = np.stack([strengths[int(v)] for v in values])
    return np.where(stack.max(axis=0) > 0, values[stack.argmax(axis=0)], 0).astype(np.uint8)


def _blend(
    one: dict[int, NDArray[np.float32]], other: dict[int, NDArray[np.float32]], weight: float
) -> dict[int, NDArray[np.float32]]:
    """Mix strengths, the second with `weight`; where one end has no label at all, it speaks for background."""
    either = [*one.values(), *other.values()]
    nothing = np.zeros_like(either[0])
    mixed = {v: (1 - weight) * one.get(v, nothing) + weight * other.get(v, nothing) for v in {*one, *other}}
    for ends, share in ((one, 1 - weight), (other, weight)):
        mixed[0] = mixed[0] + share * (sum(ends.values()) < 0.5)
    return mixed
