"""``strategies`` and ``networks``: what there is, with parameters, presets and papers."""

from __future__ import annotations

from typing import Any

import click

from napari_ssl.commands.options import JSON, catching, report
from napari_ssl.core.catalogue import DEFAULT_STRATEGY, NETWORKS, STRATEGIES
from napari_ssl.core.parameters import describe

__all__ = ["COMMANDS"]

_CLASSES = 4
_MEASURED = {2: (224, 224), 3: (16, 64, 64)}
"""A slice, and the patch of Nie et al. 2018."""


def _parameters(kind: type) -> list[dict[str, Any]]:
    return [
        {
            "name": i.name,
            "type": i.type.__name__,
            "default": i.default,
            "title": i.title,
            "unit": i.unit,
            "low": i.low,
            "high": i.high,
            "choices": list(i.choices),
            "source": i.source,
        }
        for i in describe(kind)
    ]


def _document(entry: Any) -> dict[str, Any]:
    document = {
        "name": entry.name,
        "title": entry.title,
        "sentence": entry.sentence,
        "paper": entry.paper,
        "parameters": _parameters(entry.parameters),
    }
    if hasattr(entry, "presets"):
        document["presets"] = {name: dict(values) for name, values in entry.presets.items()}
        document["network"] = entry.network
        document["preset_networks"] = dict(entry.preset_network)
        document["preset_preprocessing"] = {name: dict(values) for name, values in entry.preset_preprocessing.items()}
        document["uses_unlabelled"] = entry.uses_unlabelled
        document["is_default"] = entry.name == DEFAULT_STRATEGY
    if hasattr(entry, "dimensions"):
        document["dimensions"] = list(entry.dimensions)
    return document


def _sizes(entry: Any) -> list[dict[str, Any]]:
    """Parameters and multiply-adds of a network with its default parameters, for each number of dimensions."""
    from napari_ssl.networks import build_network
    from napari_ssl.networks.measure import count_flops, count_parameters

    sizes = []
    for dimensions in entry.dimensions:
        network = build_network(entry.name, n_classes=_CLASSES, dimensions=dimensions)
        shape = _MEASURED[dimensions]
        sizes.append(
            {
                "dimensions": dimensions,
                "image": list(shape),
                "classes": _CLASSES,
                "parameters": count_parameters(network),
                "multiply_adds": count_flops(network, (1, 1, *shape)),
            }
        )
    return sizes


def _lines(documents: list[dict[str, Any]]) -> list[str]:
    lines = []
    for d in documents:
        lines += [f"{d['name']}: {d['sentence']}", f"  paper: {d['paper']}"]
        if d.get("presets"):
            lines.append(
                f"  network: {d['network']}{', the strategy that is offered first' if d['is_default'] else ''}"
            )
            lines += [f"  preset {name}{_brings(d, name)}" for name in d["presets"]]
        if d.get("dimensions"):
            lines.append(f"  images: {' or '.join(f'{n}D' for n in d['dimensions'])}")
        for size in d.get("sizes", ()):
            image = "×".join(map(str, size["image"]))
            lines.append(
                f"  size: {size['parameters'] / 1e6:.2f} M parameters, {size['multiply_adds'] / 1e9:.2f} G "
                f"multiply-adds for {image} and {size['classes']} classes"
            )
        for p in d["parameters"]:
            unit = f" {p['unit']}" if p["unit"] else ""
            choices = f" [{', '.join(p['choices'])}]" if p["choices"] else ""
            lines.append(f"  {p['name']} = {p['default']}{unit}{choices}  {p['title']} ({p['source']})")
    return lines


def _brings(document: dict[str, Any], preset: str) -> str:
    """What a preset changes, its network and preprocessing too."""
    values = {
        **({"network": document["preset_networks"][preset]} if preset in document["preset_networks"] else {}),
        **document["presets"][preset],
        **{f"preprocessing.{k}": v for k, v in document["preset_preprocessing"].get(preset, {}).items()},
    }
    return ": " + ", ".join(f"{name}={value}" for name, value in values.items()) if values else ": the defaults"


@click.command()
@JSON
@catching
def strategies(as_json: bool) -> None:
    """List the training strategies."""
    documents = [_document(e) for e in STRATEGIES.values()]
    report({"strategies": documents}, as_json, _lines(documents))


@click.command()
@click.option("--measure", is_flag=True, help="Build each with its defaults and count parameters and multiply-adds.")
@JSON
@catching
def networks(measure: bool, as_json: bool) -> None:
    """List the networks."""
    documents = [_document(e) | ({"sizes": _sizes(e)} if measure else {}) for e in NETWORKS.values()]
    report({"networks": documents}, as_json, _lines(documents))


COMMANDS = (strategies, networks)
