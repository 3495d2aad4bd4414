"""Parameters that describe themselves: the form, the command line and the record of a run read the same types.

A parameter type is a frozen, keyword-only dataclass whose fields are made with `parameter`. The metadata says the unit,
the limits and the source of the default; `validate` enforces them, `from_texts` reads ``key=value`` words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from napari_ssl.errors import CatalogueError

__all__ = ["ParameterInfo", "describe", "from_mapping", "from_texts", "parameter", "validate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterInfo:
    """What people need to know about one parameter."""

    name: str
    type: type
    default: Any
    title: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    source: str = ""


def parameter(
    default: Any,
    title: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    source: str = "",
) -> Any:
    """Declare a field of a parameter type: bool, int, float or str. `source` says where the default comes from."""
    metadata = {"title": title, "unit": unit, "low": low, "high": high, "choices": choices, "source": source}
    return field(default=default, metadata=metadata)


def describe(parameter_type: type) -> tuple[ParameterInfo, ...]:
    """Return what is known about each parameter of a type, in order."""
    hints = get_type_hints(parameter_type)
    return tuple(
        ParameterInfo(name=f.name, type=hints[f.name], default=f.default, **f.metadata)
        for f in dataclasses.fields(parameter_type)
    )


def validate(parameters: Any) -> None:
    """Check types, limits and choices of a parameter object; call it in ``__post_init__``.

    Raises
    ------
    CatalogueError
        Names the parameter, the value and what is allowed.
    """
    for info in describe(type(parameters)):
        value = getattr(parameters, info.name)
        where = f"parameter {info.name!r} ({info.title})"
        if info.type is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
            object.__setattr__(parameters, info.name, value)
        if type(value) is not info.type:
            raise CatalogueError(f"{where}: expected {info.type.__name__}, got {value!r}")
        if info.choices and value not in info.choices:
            raise CatalogueError(f"{where}: must be one of {', '.join(info.choices)}; got {value!r}")
        if info.type in (int, float):
            low = -float("inf") if info.low is None else info.low
            high = float("inf") if info.high is None else info.high
            if not low <= value <= high:  # also refuses NaN
                raise CatalogueError(
                    f"{where}: must be in [{low:g}, {high:g}] {info.unit}".rstrip() + f"; got {value!r}"
                )


def from_mapping(parameter_type: type, values: Mapping[str, Any]) -> Any:
    """Build a parameter object from plain values; an unknown name is an error that lists the known ones."""
    known = [f.name for f in dataclasses.fields(parameter_type)]
    for name in values:
        if name not in known:
            raise CatalogueError(f"no parameter {name!r}; there are: {', '.join(known)}")
    return parameter_type(**values)


def from_texts(parameter_type: type, words: tuple[str, ...]) -> dict[str, Any]:
    """Read ``key=value`` words into plain values of the right types (not yet checked against limits)."""
    infos = {info.name: info for info in describe(parameter_type)}
    values: dict[str, Any] = {}
    for word in words:
        name, separator, text = word.partition("=")
        if not separator or name not in infos:
            raise CatalogueError(f"cannot read {word!r}; write NAME=VALUE with NAME one of: {', '.join(infos)}")
        kind = infos[name].type
        try:
            if kind is bool:
                values[name] = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
                    text.lower()
                ]
            else:
                values[name] = kind(text)
        except (KeyError, ValueError):
            raise CatalogueError(f"parameter {name!r}: {text!r} is not {kind.__name__}") from None
    return values
