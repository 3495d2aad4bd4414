"""``strategies`` and ``networks``: what there is, with parameters, presets and papers."""

from __future__ import annotations

from typing import Any

import click

from napari_ssl.commands.options import JSON, catching, report
from napari_ssl.core.catalogue import NETWORKS, STRATEGIES
from napari_ssl.core.parameters import describe

__all__ = ["COMMANDS"]


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
    return document


def _lines(documents: list[dict[str, Any]]) -> list[str]:
    lines = []
    for d in documents:
        lines += [f"{d['name']}: {d['sentence']}", f"  paper: {d['paper']}"]
        if d.get("presets"):
            lines.append(f"  presets: {', '.join(d['presets'])}")
        for p in d["parameters"]:
            unit = f" {p['unit']}" if p["unit"] else ""
            choices = f" [{', '.join(p['choices'])}]" if p["choices"] else ""
            lines.append(f"  {p['name']} = {p['default']}{unit}{choices}  {p['title']} ({p['source']})")
    return lines


@click.command()
@JSON
@catching
def strategies(as_json: bool) -> None:
    """List the training strategies."""
    documents = [_document(e) for e in STRATEGIES.values()]
    report({"strategies": documents}, as_json, _lines(documents))


@click.command()
@JSON
@catching
def networks(as_json: bool) -> None:
    """List the networks."""
    documents = [_document(e) for e in NETWORKS.values()]
    report({"networks": documents}, as_json, _lines(documents))


COMMANDS = (strategies, networks)
