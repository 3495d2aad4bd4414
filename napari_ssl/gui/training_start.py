"""What a training begins with, said before it is started. Free of Qt."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from napari_ssl.core.catalogue import DEPLOYABLE
from napari_ssl.core.preprocessing import Preprocessing, changed_preprocessing
from napari_ssl.core.training import StartModel
from napari_ssl.errors import NapariSslError

__all__ = ["begins_with"]


def begins_with(
    start: StartModel | None,
    network: str,
    network_values: Mapping[str, Any],
    preprocessing: Preprocessing | None,
    brought: Mapping[str, Any],
) -> str:
    """Say whether a training begins with the promoted model, and why not; empty when there is none.

    Parameters
    ----------
    start : StartModel or None
        The promoted model.
    network, network_values
        What is chosen.
    preprocessing : Preprocessing or None
        The study's; `brought` is what the preset changes in it.
    """
    if start is None or preprocessing is None:
        return ""
    if start.network != network:
        named = DEPLOYABLE[start.network].title if start.network in DEPLOYABLE else start.network
        return f"Begins with random weights: {start.model_id} is a {named}."
    if dict(start.network_parameters) != dict(network_values):
        return f"Begins with random weights: {start.model_id} has other values for its network."
    try:
        chosen = changed_preprocessing(preprocessing, dict(brought))
    except NapariSslError:
        return ""
    if differing := _differences(start.preprocessing, chosen):
        return f"Begins with random weights: {start.model_id} sees images otherwise ({differing})."
    return f"Begins with the promoted model {start.model_id}."


def _differences(old: Preprocessing, new: Preprocessing) -> str:
    before, after = dataclasses.asdict(old), dataclasses.asdict(new)
    names = [name for name in before if before[name] != after[name]]
    return ", ".join(f"{n.replace('_', ' ')} {_text(before[n])}, not {_text(after[n])}" for n in names)


def _text(value: Any) -> str:
    return "×".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
