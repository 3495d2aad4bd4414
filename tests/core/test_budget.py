"""Every strategy divides a total of steps, so that arms can be compared at equal steps."""

from __future__ import annotations

import dataclasses

import pytest

from napari_ssl.core.catalogue import STRATEGIES, preset_values
from napari_ssl.core.catalogue.base import Share
from napari_ssl.core.catalogue.budget import duration_parameters, split_budget
from napari_ssl.core.duration import Duration
from napari_ssl.errors import CatalogueError

CASES = [(name, preset) for name, entry in STRATEGIES.items() for preset in (None, *entry.presets)]


@pytest.mark.parametrize(("name", "preset"), CASES)
@pytest.mark.parametrize("total", [40, 397, 30000])
def test_the_stages_of_every_strategy_sum_to_the_total(name, preset, total):
    entry = STRATEGIES[name]
    values = preset_values(entry, preset, {})
    shares = split_budget(entry, values, total)
    assert set(shares) <= set(duration_parameters(entry))
    if not shares:
        return  # nothing is trained by steps
    full = preset_values(entry, preset, shares)
    times = {n: int(full[s.times]) if s.times else 1 for n, s in entry.budget.items()}
    steps = {n: Duration.parse(full[n]) for n in shares}
    assert all(d.unit == "iterations" and d.amount >= 1 for d in steps.values())
    assert sum(d.amount * times.get(n, 1) for n, d in steps.items()) == total


def test_alternating_crf_gives_the_supervised_training_three_fifths_and_the_rest_to_the_alternations():
    entry = STRATEGIES["alternating-crf"]
    assert split_budget(entry, preset_values(entry, None, {"alternations": 3}), 400) == {
        "initial": "241 iterations", "per_alternation": "53 iterations",
    }  # fmt: skip


def test_without_declared_shares_the_published_proportions_are_kept():
    entry = dataclasses.replace(STRATEGIES["alternating-crf"], budget={})
    values = preset_values(entry, None, {})  # 500 epochs and 100 epochs
    assert split_budget(entry, values, 600) == {"initial": "500 iterations", "per_alternation": "100 iterations"}
    with pytest.raises(CatalogueError, match="different units"):
        split_budget(entry, {**values, "initial": "20 iterations"}, 600)


def test_what_cannot_be_divided_is_refused():
    entry = STRATEGIES["alternating-crf"]
    values = preset_values(entry, None, {})
    with pytest.raises(CatalogueError, match="too few"):
        split_budget(entry, values, 3)
    uneven = dataclasses.replace(entry, budget={"per_alternation": Share(fraction=1, times="alternations")})
    with pytest.raises(CatalogueError, match="multiple"):
        split_budget(uneven, values, 100)


def test_a_model_to_begin_with_takes_the_place_of_the_first_stage_alone_where_it_is_wanted_and_there():
    entry = STRATEGIES["alternating-crf"]
    warm = preset_values(entry, "quick", {"alternations": 2})
    cold = preset_values(entry, None, {"alternations": 2})
    assert split_budget(entry, warm, 40, begins_with_model=True) == {"per_alternation": "20 iterations"}
    for values, there in ((warm, False), (cold, True), (cold, False)):
        assert "initial" in split_budget(entry, values, 40, begins_with_model=there)
