"""How a total number of optimiser steps is divided among the stages of a strategy, so that arms can be compared.

An entry may say it (`StrategyEntry.budget`): the fraction of the total that each duration parameter stands for, which
parameter says how often that stage is run, and which stage a model that the run begins with replaces. Where it says
nothing, the stages keep the proportions of the durations that the preset, or the published defaults, give them, each
run once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_ssl.core.catalogue.base import Share, StrategyEntry
from napari_ssl.core.duration import Duration
from napari_ssl.core.parameters import describe
from napari_ssl.errors import CatalogueError

__all__ = ["duration_parameters", "split_budget"]


def duration_parameters(entry: StrategyEntry) -> tuple[str, ...]:
    """Return the parameters that say how long a stage lasts: texts whose default reads as a duration."""
    found = []
    for info in describe(entry.parameters):
        if info.type is str and not info.choices:
            try:
                Duration.parse(info.default)
            except CatalogueError:
                continue
            found.append(info.name)
    return tuple(found)


def split_budget(
    entry: StrategyEntry, values: Mapping[str, Any], total: int, *, begins_with_model: bool = False
) -> dict[str, str]:
    """Return values of the duration parameters that sum to exactly `total` optimiser steps, the repeats counted.

    Parameters
    ----------
    values : mapping
        The other parameters, in full: how often a stage repeats, and proportions where the entry declares none.
    begins_with_model : bool
        A model is there; where `values` want it (``warm_start``), the stages that it replaces get nothing.
    total : int
        Steps of the whole run. What division leaves over goes to the first stage that is run once.

    Raises
    ------
    CatalogueError
        A stage would get no step, durations of different units without declared shares, or the remainder has no place.
    """
    shares = dict(entry.budget) or _published_shares(entry, values)
    if begins_with_model and values.get("warm_start"):
        shares = {name: share for name, share in shares.items() if not share.first}
    if not shares:
        return {}  # nothing is trained by steps, such as an atlas
    times = {name: int(values[share.times]) if share.times else 1 for name, share in shares.items()}
    whole = sum(share.fraction for share in shares.values())
    steps = {name: int(total * shares[name].fraction / whole / times[name]) for name in shares}
    left = total - sum(steps[name] * times[name] for name in steps)
    once = next((name for name in steps if times[name] == 1), None)
    if once is not None:
        steps[once] += left
    elif left:
        n = ", ".join(f"{name} runs {times[name]} times" for name in steps)
        raise CatalogueError(f"{entry.name}: {total} steps cannot be divided evenly ({n}); choose a multiple")
    for name, amount in steps.items():
        if amount < 1:
            raise CatalogueError(f"{entry.name}: {total} steps are too few, nothing is left for {name!r}; give more")
    return {name: f"{amount} iterations" for name, amount in steps.items()}


def _published_shares(entry: StrategyEntry, values: Mapping[str, Any]) -> dict[str, Share]:
    durations = {name: Duration.parse(values[name]) for name in duration_parameters(entry)}
    if len({d.unit for d in durations.values()}) > 1:
        raise CatalogueError(
            f"{entry.name}: its durations {', '.join(durations)} have different units, so that their proportions are "
            "unknown; declare the entry's budget"
        )
    return {name: Share(fraction=d.amount) for name, d in durations.items()}
