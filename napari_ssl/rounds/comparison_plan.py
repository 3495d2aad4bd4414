"""What is compared: the arms, read from words or a file, and what all of them share.

An arm in words is ``STRATEGY`` or ``STRATEGY:NAME=VALUE;NAME=VALUE…``; in a TOML file it is one ``[[arm]]`` table with
the same names. A name is a parameter of the strategy or one of

========================  =================================================================================
``name``                  what the arm is called; by default the strategy, with the preset where there is one
``preset``                parameter values to start from
``network``               by default the strategy's
``network.PARAMETER``     a parameter of the network
``policy``                who reviews inside the run
``policy.PARAMETER``      a parameter of the policy
``preprocessing.FIELD``   what differs from the study's preprocessing
``labelled``              ``all``, a number of cases, or ``CASE+CASE…``, for an arm of its own setting
``unlabelled``            the same for the cases without labels, as for the 20 + 60 subjects of Bai 2017
========================  =================================================================================
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_ssl.core.case import Split
from napari_ssl.core.catalogue import DEPLOYABLE, POLICIES, STRATEGIES, choose, preset_values
from napari_ssl.core.catalogue.budget import duration_parameters, split_budget
from napari_ssl.core.parameters import describe, from_mapping, from_texts
from napari_ssl.core.preprocessing import preprocessing_from_texts
from napari_ssl.errors import CatalogueError, SpecError

__all__ = ["Arm", "ComparisonPlan", "parse_arms", "read_arms", "with_preset"]

_GROUPS = ("network", "policy", "preprocessing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One row of the table: a strategy with all that is set about it. `parameters` hold what differs from its preset.

    `labelled` is None (as all arms), ``"all"``, a number of subjects to draw, or names of cases; `unlabelled` likewise,
    None for all.
    """

    name: str
    strategy: str
    preset: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    network: str | None = None
    network_parameters: Mapping[str, Any] = field(default_factory=dict)
    policy: str = "accept-all"
    policy_parameters: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    labelled: str | int | tuple[str, ...] | None = None
    unlabelled: str | int | tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[^\s;,=/][^;,=/]{0,79}", self.name):
            raise SpecError(f"arm {self.name!r}: a name is 1 to 80 characters without ; , = /")
        entry = choose(STRATEGIES, self.strategy, "strategy")
        preset_values(entry, self.preset, self.parameters)
        from_mapping(choose(DEPLOYABLE, self.network_name, "network").parameters, dict(self.network_parameters))
        if self.policy == "clinician":
            raise SpecError(f"arm {self.name}: a comparison waits for nobody; choose another policy than clinician")
        from_mapping(choose(POLICIES, self.policy, "policy").parameters, dict(self.policy_parameters))

    @property
    def network_name(self) -> str:
        """The network that the arm trains."""
        entry = STRATEGIES[self.strategy]
        return self.network or entry.preset_network.get(self.preset or "", entry.network)

    def overrides(
        self, common: Mapping[str, Any], iterations: int | None, from_promoted: bool = False
    ) -> dict[str, Any]:
        """Return what differs from the preset: values for all arms, the arm's own, its share of the steps.

        Raises
        ------
        CatalogueError
            The arm sets a duration although all durations come from `iterations`, or these cannot be divided.
        """
        entry = STRATEGIES[self.strategy]
        warm = {"warm_start": True, "from_scratch": False} if from_promoted else {}
        shared = {k: v for k, v in {**common, **warm}.items() if k in _names(entry.parameters)}
        values = {**shared, **self.parameters}
        if iterations is None:
            return values
        clash = [name for name in duration_parameters(entry) if name in self.parameters]
        if clash:
            raise CatalogueError(
                f"arm {self.name}: {clash[0]} is set, but all arms train {iterations} steps; leave one of both out"
            )
        full = preset_values(entry, self.preset, values)
        return {**values, **split_budget(entry, full, iterations, begins_with_model=from_promoted)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPlan:
    """Arms and what they share.

    Parameters
    ----------
    arms : tuple of Arm
    baseline : str
        Name of the arm that the others are tested against; by default the first.
    seeds : tuple of int
        Every arm is trained with each.
    labelled : tuple of str, int or None
        Cases that keep their expert labels, or how many are drawn by subject; None: all.
    draw_seed : int
        Decides the draw; with `draw_per_seed` the run's seed is added, so that every seed has its own cases, the same
        for all arms.
    iterations : int or None
        Optimiser steps of every arm; None leaves durations to presets and parameters.
    common : mapping of str to str
        Parameters of the strategies as texts, set in every arm that has them.
    from_promoted : bool
        Every arm that can goes on from the study's promoted model, which must know no labels but these.
    split : Split
        What the arms are evaluated on: test or validation.
    crf, largest_component : bool
        Post-processing of every arm alike.
    in_voxels : bool
        Distances in voxels too, as papers without spacing give them.
    rounds : int
        How often `policy` reviews what an arm proposes and the arm is trained anew; 0: one training.
    policy, policy_parameters
        Who reviews between the rounds.
    device : str
    """

    arms: tuple[Arm, ...]
    baseline: str = ""
    seeds: tuple[int, ...] = (0,)
    labelled: tuple[str, ...] | int | None = None
    draw_seed: int = 0
    draw_per_seed: bool = False
    iterations: int | None = None
    common: Mapping[str, str] = field(default_factory=dict)
    from_promoted: bool = False
    split: Split = Split.TEST
    crf: bool = True
    largest_component: bool = False
    in_voxels: bool = False
    rounds: int = 0
    policy: str = "accept-all"
    policy_parameters: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if not names:
            raise SpecError("no arm to compare; name strategies, e.g. supervised,alternating-crf")
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice:
            raise SpecError(f"two arms are called {twice!r}; give one another name, e.g. {twice}:name=second")
        object.__setattr__(self, "baseline", self.baseline or names[0])
        if self.baseline not in names:
            raise SpecError(f"baseline {self.baseline!r} is no arm; there are {', '.join(names)}")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise SpecError(f"seeds must be one or more different numbers, got {list(self.seeds)}")
        if self.iterations is not None and self.iterations < 1:
            raise SpecError(f"iterations must be 1 or more, got {self.iterations}")
        if isinstance(self.labelled, int) and self.labelled < 1:
            raise SpecError(f"the number of labelled cases must be 1 or more, got {self.labelled}")
        if Split(self.split) is Split.TRAIN:
            raise SpecError("arms are evaluated on test or validation, never on the cases they learn from")
        if self.rounds < 0 or (self.rounds and self.policy == "clinician"):
            raise SpecError("rounds must be 0 or more, with a policy that answers by itself, such as oracle")
        from_mapping(choose(POLICIES, self.policy, "policy").parameters, dict(self.policy_parameters))
        self._check_common()

    def _check_common(self) -> None:
        for name in self.common:
            if not any(name in _names(STRATEGIES[arm.strategy].parameters) for arm in self.arms):
                raise CatalogueError(f"no arm has a parameter {name!r}; see napari-ssl strategies")

    def overrides(self, arm: Arm) -> dict[str, Any]:
        """Return what differs from the arm's preset."""
        kind = STRATEGIES[arm.strategy].parameters
        words = tuple(f"{name}={text}" for name, text in self.common.items() if name in _names(kind))
        return arm.overrides(from_texts(kind, words), self.iterations, self.from_promoted)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        plain = dataclasses.asdict(self)
        return {**plain, "split": Split(self.split).value, "arms": [dataclasses.asdict(a) for a in self.arms]}


def with_preset(arms: Sequence[Arm], preset: str | None) -> tuple[Arm, ...]:
    """Give arms that name no preset this one, where their strategy has it; CatalogueError when none has."""
    if preset is None:
        return tuple(arms)
    if not any(preset in STRATEGIES[arm.strategy].presets for arm in arms):
        raise CatalogueError(f"no arm has a preset {preset!r}; see napari-ssl strategies")
    return tuple(
        dataclasses.replace(arm, preset=preset)
        if arm.preset is None and preset in STRATEGIES[arm.strategy].presets
        else arm
        for arm in arms
    )


def _names(parameters: type) -> set[str]:
    return {info.name for info in describe(parameters)}


def parse_arms(text: str) -> tuple[Arm, ...]:
    """Read ``STRATEGY[:NAME=VALUE;…],…``.

    Raises
    ------
    CatalogueError, SpecError
        Names the arm and what is wrong with it.
    """
    return tuple(_parse_arm(word.strip()) for word in text.split(",") if word.strip())


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Say which arm it is that an error is about."""
    try:
        yield
    except (CatalogueError, SpecError) as error:
        raise type(error)(f"{what}: {error}") from error


def _parse_arm(word: str) -> Arm:
    strategy, _, rest = word.partition(":")
    pairs: dict[str, str] = {}
    for setting in filter(None, (s.strip() for s in rest.split(";"))):
        name, separator, value = setting.partition("=")
        if not separator:
            raise SpecError(f"arm {word!r}: cannot read {setting!r}; write NAME=VALUE")
        pairs[name.strip()] = value.strip()
    with _naming(f"arm {word!r}") if rest else nullcontext():
        return _arm(strategy.strip(), pairs)


def _arm(strategy: str, pairs: Mapping[str, str]) -> Arm:
    entry = choose(STRATEGIES, strategy, "strategy")
    groups: dict[str, dict[str, str]] = {group: {} for group in _GROUPS}
    own: dict[str, str] = {}
    for name, value in pairs.items():
        group, dot, parameter = name.partition(".")
        if dot and group in _GROUPS:
            groups[group][parameter] = value
        elif name not in ("name", "preset", "network", "policy", "labelled", "unlabelled"):
            own[name] = value
    preset = pairs.get("preset")
    network = pairs.get("network") or entry.preset_network.get(preset or "", entry.network)
    policy = pairs.get("policy", "accept-all")
    return Arm(
        name=pairs.get("name") or (f"{strategy} ({preset})" if preset else strategy),
        strategy=strategy,
        preset=preset,
        parameters=_typed(entry.parameters, own),
        network=pairs.get("network"),
        network_parameters=_typed(choose(DEPLOYABLE, network, "network").parameters, groups["network"]),
        policy=policy,
        policy_parameters=_typed(choose(POLICIES, policy, "policy").parameters, groups["policy"]),
        preprocessing=preprocessing_from_texts(
            f"{name}={text.replace('+', 'x') if name == 'crop_yx' else text}"
            for name, text in groups["preprocessing"].items()
        ),
        labelled=_cases(pairs.get("labelled")),
        unlabelled=_cases(pairs.get("unlabelled")),
    )


def _typed(kind: type, texts: Mapping[str, str]) -> dict[str, Any]:
    return from_texts(kind, tuple(f"{name}={text}" for name, text in texts.items()))


def _cases(text: str | None) -> str | int | tuple[str, ...] | None:
    if text is None or text == "all":
        return text
    return int(text) if text.isdecimal() else tuple(text.split("+"))


def read_arms(path: Path) -> tuple[Arm, ...]:
    """Read arms from a TOML file: one ``[[arm]]`` table each, ``strategy`` and the names above; parameters in ``set``.

    Raises
    ------
    SpecError
        The file cannot be read, holds no arm, or an arm without a strategy.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(f"{path}: cannot be read ({error}); write one [[arm]] table for each arm") from error
    tables: Sequence[dict[str, Any]] = document.get("arm", [])
    if not tables or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise SpecError(f'{path}: no arm; write [[arm]] and strategy = "…" for each')
    arms = []
    for number, table in enumerate(tables, start=1):
        if not isinstance(table.get("strategy"), str):
            raise SpecError(f"{path}: arm {number} has no strategy; see napari-ssl strategies")
        if not isinstance(table.get("set", {}), dict):
            raise SpecError(f"{path}: arm {number}: cannot read set; write set = {{NAME = VALUE, …}}")
        rest = {k: v for k, v in table.items() if k not in ("strategy", "set")}
        pairs = {**{k: v for k, v in rest.items() if not isinstance(v, dict)}, **table.get("set", {})}
        for group, values in ((k, v) for k, v in rest.items() if isinstance(v, dict)):
            pairs |= {f"{group.removesuffix('_set')}.{name}": value for name, value in values.items()}
        with _naming(f"{path}: arm {number}"):
            arms.append(_arm(table["strategy"], {name: _as_text(value) for name, value in pairs.items()}))
    return tuple(arms)


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(str(v) for v in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
