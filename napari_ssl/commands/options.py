"""Arguments, output and error handling that all commands share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from napari_ssl.errors import NapariSslError

__all__ = ["DEVICE", "JSON", "STUDY", "catching", "report", "say"]

STUDY = click.argument("study", type=click.Path(path_type=Path, file_okay=False))
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
DEVICE = click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)


def say(text: str) -> None:
    """Tell a person something; standard output stays free for results."""
    click.echo(text, err=True)


def report(document: Any, as_json: bool, lines: Iterable[str]) -> None:
    """Print the result: the document with ``--json``, the lines otherwise."""
    if as_json:
        click.echo(json.dumps(document, allow_nan=False, default=str))
    else:
        for line in lines:
            click.echo(line)


def catching(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn the errors that are meant for people into one line and exit status 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except NapariSslError as error:
            say(f"napari-ssl: {error}")
            sys.exit(1)
        except KeyboardInterrupt:
            say("napari-ssl: stopped; the same command goes on where it was")
            sys.exit(130)

    return run
