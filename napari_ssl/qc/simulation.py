"""Simulated examples: good cycles, and the same with faults, until there are ratings in their place.

Of the short axis there are two sorts, in pairs of a good and an erroneous one. In the first the good one is the truth
and the other has one gross fault (`qc.faults`). In the second both are what a network could say, and their true Dice
decides (`qc.network_faults`): truth alone would teach that whatever is not perfect is erroneous. ``network_share`` says
how many pairs are of the second sort.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.quality import CURVE_ROLES, CurveExample, ExampleSource
from napari_ssl.errors import LabelError
from napari_ssl.measures.curves import volume_curves
from napari_ssl.qc.curve_faults import corrupt_curves, vary_curves
from napari_ssl.qc.cycles import Cycle, phantom_cycle, random_aortic_area
from napari_ssl.qc.faults import Fault, corrupt
from napari_ssl.qc.network_faults import NetworkErrors, coarse

__all__ = ["NETWORK_ERRORS", "PER_CYCLE", "cycle_examples", "simulate"]

PER_CYCLE = 4
"""Curve sets from one cycle: half of them good, half with a fault."""
NETWORK_ERRORS = "network-errors"
"""Kind of fault of those that are erroneous as networks are."""
_MOST_OF_ONE_CYCLE = 20


def _curves(cycle: Cycle, labels: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    measured = volume_curves(cycle.id, labels, cycle.scheme, cycle.spacing_zyx_mm)
    return {name: curve.volume_ml for name, curve in measured.items()}


def _example(
    name: str, subject_id: str, curves: Mapping[str, NDArray[np.float64]], good: bool, weight: float
) -> CurveExample:
    return CurveExample(
        id=name,
        subject_id=subject_id,
        curves={n: tuple(np.round(v, 4).tolist()) for n, v in curves.items()},
        good=good,
        source=ExampleSource.SIMULATED,
        weight=weight,
    )


def cycle_examples(
    cycle: Cycle, rng: np.random.Generator, n: int, *, weight: float = 1.0, network_share: float = 0.0
) -> tuple[list[CurveExample], dict[str, Fault]]:
    """Make `n` curve sets of one cycle, every second one with a fault; return them and the faults by example."""
    examples: list[CurveExample] = []
    faults: dict[str, Fault] = {}
    clean = _curves(cycle, cycle.labels)
    network: _Network | None = None
    is_network = False
    for i in range(n):
        name, good = f"{cycle.id}-sim{i}", i % 2 == 0
        is_network = bool(rng.random() < network_share) if good else is_network
        if is_network:
            network = network or _Network(cycle)
        made = network.example(rng, good) if is_network and network is not None else None
        if made is not None:
            curves, fault = made
        elif good:
            curves, fault = clean, None
        else:
            labels, fault = corrupt(cycle.labels, cycle.scheme, rng)
            curves = _curves(cycle, labels)
        if fault is not None:
            faults[name] = fault
        examples.append(_example(name, cycle.subject_id, vary_curves(curves, rng), good, weight))
    return examples, faults


class _Network:
    """What networks say about a cycle; where that cannot be had, nothing, and truth and gross faults take its place."""

    def __init__(self, cycle: Cycle) -> None:
        labels, spacing = coarse(cycle.labels, cycle.spacing_zyx_mm)
        self.cycle = dataclasses.replace(cycle, labels=labels, spacing_zyx_mm=spacing)
        self.errors = NetworkErrors(labels, cycle.scheme, spacing[1:])

    def example(
        self, rng: np.random.Generator, good: bool
    ) -> tuple[dict[str, NDArray[np.float64]], Fault | None] | None:
        try:
            labels, _ = self.errors.example(rng, good)
        except LabelError:
            return None
        names = tuple(s.name for s in self.errors.structures)
        fault = None if good else Fault(kind=NETWORK_ERRORS, structures=names, frames=tuple(range(len(labels))))
        return _curves(self.cycle, labels), fault


def _aortic_examples(
    name: str, area: Mapping[str, NDArray[np.float64]], rng: np.random.Generator, n: int, weight: float
) -> tuple[list[CurveExample], dict[str, Fault]]:
    examples, faults = [], {}
    for i in range(n):
        curves = dict(area)
        if i % 2:
            curves, faults[f"{name}-sim{i}"] = corrupt_curves(curves, rng)
        scale = rng.uniform(0.9, 1.1)
        examples.append(_example(f"{name}-sim{i}", name, {k: v * scale for k, v in curves.items()}, i % 2 == 0, weight))
    return examples, faults


def simulate(
    kind: str,
    scheme: LabelScheme,
    n: int,
    seed: int,
    *,
    cycles: Sequence[Cycle] = (),
    weight: float = 1.0,
    network_share: float = 0.0,
    on_progress: Callable[[float], None] | None = None,
) -> tuple[list[CurveExample], dict[str, Fault], dict[str, Any]]:
    """Make `n` simulated curve sets, half of them erroneous.

    The study's own cycles come first, up to 20 curve sets each and at most half of all, for a classifier that has seen
    few subjects knows these by heart; the rest comes from the phantom (short axis) or from analytic curves (aorta).

    Parameters
    ----------
    kind : str
        ``short-axis`` or ``aorta``.
    cycles : sequence of Cycle
        Full cycles that a person stands for.
    weight : float
        Weight of each example.
    network_share : float
        Share of the pairs of the short axis that are as networks give them.

    Returns
    -------
    list of CurveExample
    dict of str to Fault
        By the example's id, of the erroneous ones.
    dict
        For the card: ``study_cycles``, ``phantom_cycles`` (numbers of subjects) and ``faults`` (kind to number).
    """
    rng = np.random.default_rng([seed, 7])
    examples: list[CurveExample] = []
    faults: dict[str, Fault] = {}
    per_cycle = min(_MOST_OF_ONE_CYCLE, n // 2 // len(cycles) // 2 * 2) if cycles else 0
    used = 0
    for cycle in cycles if per_cycle else ():
        try:
            made = _of_cycle(kind, cycle, rng, per_cycle, weight, network_share)
        except LabelError:  # nothing in it, or too little for any fault to show
            continue
        examples, faults, used = examples + made[0], faults | made[1], used + 1
    n_phantoms = 0
    while len(examples) < n:
        count = min(PER_CYCLE, n - len(examples))
        made = _of_phantom(kind, scheme, seed, n_phantoms, rng, count, weight, network_share)
        examples, faults, n_phantoms = examples + made[0], faults | made[1], n_phantoms + 1
        if on_progress is not None:
            on_progress(len(examples) / n)
    kinds = [fault.kind for fault in faults.values()]
    provenance = {
        "study_cycles": used,
        "phantom_cycles": n_phantoms,
        "faults": {k: kinds.count(k) for k in sorted(set(kinds))},
    }
    return examples, faults, provenance


Made = tuple[list[CurveExample], dict[str, Fault]]


def _of_cycle(kind: str, cycle: Cycle, rng: np.random.Generator, n: int, weight: float, network_share: float) -> Made:
    if kind == "short-axis":
        return cycle_examples(cycle, rng, n, weight=weight, network_share=network_share)
    curves = _curves(cycle, cycle.labels)
    if not any(v.max() > 0 for v in curves.values()):
        raise LabelError(f"case {cycle.id}: no aorta in its labels")
    return _aortic_examples(cycle.subject_id, curves, rng, n, weight)


def _of_phantom(
    kind: str,
    scheme: LabelScheme,
    seed: int,
    index: int,
    rng: np.random.Generator,
    n: int,
    weight: float,
    network_share: float,
) -> Made:
    if kind == "short-axis":
        return cycle_examples(phantom_cycle(seed, index, scheme), rng, n, weight=weight, network_share=network_share)
    structure = scheme.by_role(CURVE_ROLES[kind][0])
    name = structure.name if structure is not None else "Aorta"
    return _aortic_examples(f"aorta{index:05d}", {name: random_aortic_area(seed, index)}, rng, n, weight)
