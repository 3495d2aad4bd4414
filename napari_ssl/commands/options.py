"""Arguments, output and error handling that all commands share."""

from __future__ import annotations

import errno
import json
import sys
import traceback
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from napari_ssl.errors import NapariSslError

__all__ = ["DEVICE", "JSON", "PREPROCESSING", "SEED", "STUDY", "catching", "names", "report", "say"]

STUDY = click.argument("study", type=click.Path(path_type=Path, file_okay=False))
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
DEVICE = click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
SEED = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Decides what is left to chance."
)
PREPROCESSING = click.option(
    "--preprocessing",
    "preprocessing_set",
    multiple=True,
    metavar="NAME=VALUE",
    help="How images reach the network, repeatable: dimensions, patch_z, crop_yx=160x160, pixel_spacing_mm, "
    "slice_spacing_mm, intensity (percentile, z-score, three-sd, window), window_low, window_high, overlap, …",
)


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


def names(option: str, text: str | None) -> list[str] | None:
    """Read ``A,B,C``; None where the option was not given, wrong usage where it names nothing or something twice."""
    if text is None:
        return None
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        one = "MODEL" if option == "--ensemble" else "CASE"
        raise click.BadParameter(f"names none; write {one},{one},… or leave the option out", param_hint=option)
    return list(dict.fromkeys(found))


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
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:  # the border to the person at the terminal: whatever it is, it is one line
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # whoever reads the output has gone; click ends quietly
            say(f"napari-ssl: {_unexpected(error)}")
            sys.exit(1)

    return run


def _unexpected(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "this computer ran out of memory; close other programs, or choose a smaller batch size or network"
    text = " ".join(str(error).split())
    if isinstance(error, OSError):
        return f"{text}; check that the name is right, the disk has room and the folder may be written, then try again"
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return (
        f"unexpected error ({type(error).__name__}: {text}, at {where}); what was stored before is intact; "
        "run 'napari-ssl study check' on the study and report this line"
    )
