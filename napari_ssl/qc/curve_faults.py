"""Faults and harmless variation on curves alone: for the aorta's area, and for curves without label maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from napari_ssl.errors import SpecError
from napari_ssl.qc.faults import VISIBLE, Fault

__all__ = ["CURVE_FAULTS", "corrupt_curves", "vary_curves"]

Curves = dict[str, NDArray[np.float64]]
_ATTEMPTS = 50


def vary_curves(curves: Mapping[str, NDArray[np.float64]], rng: np.random.Generator) -> Curves:
    """Return curves as another good segmentation could give: a bias of a few per cent, another contour per frame.

    Applied to good and corrupted curves alike, so that it is no sign of either: a bias (SD 4 %) and noise between
    frames (SD up to 2 %) per structure, which is what readers differ by (Bai et al. 2018, Table 5).
    """
    noise = rng.uniform(0.0, 0.02)
    return {
        name: np.maximum(values * (1 + rng.normal(0, 0.04)) * (1 + rng.normal(0, noise, len(values))), 0.0)
        for name, values in curves.items()
    }


def _run(n_frames: int, rng: np.random.Generator, low: float, high: float) -> list[int]:
    n = max(1, round(rng.uniform(low, high) * n_frames))
    first = int(rng.integers(n_frames))
    return sorted((first + i) % n_frames for i in range(min(n, n_frames)))


def _scaled(values: NDArray[np.float64], frames: list[int], factor: NDArray[np.float64] | float) -> NDArray[np.float64]:
    result = values.copy()
    result[frames] = values[frames] * factor
    return result


Change = Callable[[NDArray[np.float64], np.random.Generator], tuple[NDArray[np.float64], list[int]]]


def frame_dropout(values: NDArray[np.float64], rng: np.random.Generator) -> tuple[NDArray[np.float64], list[int]]:
    """Nothing in one to three frames."""
    frames = sorted(int(f) for f in rng.choice(len(values), min(len(values), int(rng.integers(1, 4))), replace=False))
    return _scaled(values, frames, 0.0), frames


def spike(values: NDArray[np.float64], rng: np.random.Generator) -> tuple[NDArray[np.float64], list[int]]:
    """One frame or two that are much too large or too small."""
    frames = _run(len(values), rng, 0.0, 0.03)
    return _scaled(values, frames, 1 + rng.uniform(0.2, 1.0) * rng.choice([-1, 1])), frames


def step(values: NDArray[np.float64], rng: np.random.Generator) -> tuple[NDArray[np.float64], list[int]]:
    """A part of the cycle where another vessel, or half of it, is segmented."""
    frames = _run(len(values), rng, 0.06, 0.6)
    return _scaled(values, frames, rng.choice([rng.uniform(0.3, 0.82), rng.uniform(1.2, 2.5)])), frames


def leak(values: NDArray[np.float64], rng: np.random.Generator) -> tuple[NDArray[np.float64], list[int]]:
    """Runs out into its surroundings, further in some frames than in others."""
    frames = _run(len(values), rng, 0.03, 0.8)
    return _scaled(values, frames, 1 + rng.uniform(0.15, 1.0) * rng.uniform(0.3, 1.0, len(frames))), frames


def drift(values: NDArray[np.float64], rng: np.random.Generator) -> tuple[NDArray[np.float64], list[int]]:
    """Grows or shrinks from the first frame to the last."""
    n = len(values)
    return values * (1 + rng.uniform(0.25, 0.8) * rng.choice([-1, 1]) * np.arange(n) / (n - 1)), list(range(n))


def unsteady(values: NDArray[np.float64], rng: np.random.Generator) -> tuple[NDArray[np.float64], list[int]]:
    """Another size in every frame."""
    n = len(values)
    return values * np.clip(1 + rng.normal(0, rng.uniform(0.06, 0.3), n), 0, None), list(range(n))


CURVE_FAULTS: Mapping[str, Change] = {
    f.__name__.replace("_", "-"): f for f in (frame_dropout, spike, step, leak, drift, unsteady)
}
"""Kind → function of one curve (T,); each returns the changed curve and the frames at fault."""


def corrupt_curves(
    curves: Mapping[str, NDArray[np.float64]], rng: np.random.Generator, kind: str | None = None
) -> tuple[Curves, Fault]:
    """Return curves with one fault in one structure that changes it by `faults.VISIBLE` in some frame.

    Raises
    ------
    SpecError
        All curves are empty.
    """
    names = [n for n, v in curves.items() if np.nanmax(v, initial=0.0) > 0]
    if not names:
        raise SpecError("empty curves cannot be made worse; leave them out")
    for _ in range(_ATTEMPTS):
        chosen, name = kind or str(rng.choice(list(CURVE_FAULTS))), str(rng.choice(names))
        changed, frames = CURVE_FAULTS[chosen](curves[name], rng)
        if np.nanmax(np.abs(changed - curves[name])) >= VISIBLE * np.nanmax(curves[name]):
            fault = Fault(kind=chosen, structures=(name,), frames=tuple(frames))
            return {n: changed if n == name else v.copy() for n, v in curves.items()}, fault
    raise SpecError(f"no visible fault of kind {kind or 'any'} could be made in curves of {', '.join(names)}")
