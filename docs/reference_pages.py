"""Pages that the program writes about itself: commands, keys, formats, strategies, networks, layouts.

They are made at each build and kept in no repository, so that they cannot be out of date.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from napari_ssl.cli import main
from napari_ssl.core.catalogue import NETWORKS, POLICIES, STRATEGIES
from napari_ssl.core.export import FORMATS
from napari_ssl.gui.keys import ACTIONS, DIGITS
from napari_ssl.io.layouts import LAYOUTS

__all__ = ["PAGES", "every_command", "write_pages"]


def every_command(
    command: click.Command = main, names: tuple[str, ...] = ("napari-ssl",), parent: click.Context | None = None
) -> Iterator[tuple[tuple[str, ...], click.Command, click.Context]]:
    """Go through all commands, groups before what is in them."""
    context = click.Context(command, info_name=names[-1], parent=parent)
    yield names, command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and not inner.hidden:
                yield from every_command(inner, (*names, name), context)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return [*lines, *(f"| {' | '.join(map(_cell, row))} |" for row in rows), ""]


def commands_page() -> str:
    """Every command with its arguments and options, as ``--help`` tells them."""
    lines = ["# Commands", "", "Every command that reports takes `--json` and then prints one JSON document."]
    lines += ["Exit status: 0 done; 2 wrong usage; 1 with one clear line otherwise; 130 stopped with Ctrl-C.", ""]
    for names, command, context in every_command():
        usage = " ".join(command.collect_usage_pieces(context))
        lines += [f"{'#' * min(4, len(names) + 1)} `{' '.join(names)}`", "", f"`{' '.join(names)} {usage}`", ""]
        lines += [_cell(command.help or "").replace("\f", ""), ""]
        records = [p.get_help_record(context) for p in command.get_params(context)]
        rows = [(f"`{name}`", text) for name, text in filter(None, records) if not name.startswith("-h,")]
        lines += _table(("Option", "What it does"), rows) if rows else []
    return "\n".join(lines)


def keys_page() -> str:
    """Every action that has a key, by group."""
    lines = ["# Keys", "", "`?` shows this list in the window, where each key can be changed. Keys stay silent while "]
    lines += ["a text field has the focus.", ""]
    groups: dict[str, list[tuple[str, str]]] = {}
    for action in ACTIONS:
        groups.setdefault(action.group, []).append((action.text, " or ".join(f"`{k}`" for k in action.keys)))
    for group, text, keys in DIGITS:
        groups.setdefault(group, []).append((text, f"`{keys}`"))
    for group, rows in groups.items():
        lines += [f"## {group}", "", *_table(("Action", "Key"), rows)]
    return "\n".join(lines)


def formats_page() -> str:
    """Every export format and every layout that an import knows."""
    rows = [(f"`{n}`", e.title, e.about, ", ".join(e.options).replace("_", " ")) for n, e in FORMATS.items()]
    lines = ["# What comes in and what goes out", "", "## Layouts that an import knows", ""]
    lines += _table(("Layout", "Title"), [(f"`{name}`", layout.title) for name, layout in LAYOUTS.items()])
    lines += ["## Formats of `napari-ssl export`", "", *_table(("Format", "Title", "What is written", "Choices"), rows)]
    return "\n".join(lines)


def strategies_page() -> str:
    """Every strategy with its paper, parameters and presets; networks; policies."""
    lines = ["# Strategies, networks, policies", ""]
    for name, entry in STRATEGIES.items():
        lines += [f"## `{name}`", "", f"{entry.sentence}", "", f"*{_cell(entry.paper)}*", ""]
        if entry.presets:
            lines += [f"Presets: {', '.join(f'`{p}`' for p in entry.presets)}.", ""]
        lines += _parameters(entry.parameters)
    lines += ["## Networks", ""]
    lines += _table(("Network", "Paper"), [(f"`{n}`", e.paper) for n, e in NETWORKS.items()])
    lines += ["## Policies: who answers when a strategy asks for review", ""]
    lines += _table(("Policy", "What it does"), [(f"`{n}`", e.sentence) for n, e in POLICIES.items()])
    return "\n".join(lines)


def _parameters(kind: type) -> list[str]:
    rows = []
    for field in dataclasses.fields(kind):
        about = field.metadata
        unit = f" ({about['unit']})" if about.get("unit") else ""
        rows.append(
            (f"`{field.name}`", f"`{field.default}`{unit}", str(about.get("title", "")), str(about.get("source", "")))
        )
    return _table(("Parameter", "Default", "What it is", "Source"), rows) if rows else []


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "keys.md": keys_page,
    "formats.md": formats_page,
    "strategies.md": strategies_page,
}


def write_pages(folder: Path) -> None:
    """Write all pages; one that has not changed is left alone, so that Sphinx need not read it again."""
    folder.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        text = make() + "\n"
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
