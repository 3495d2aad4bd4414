"""The command ``napari-ssl``. Every command that reports takes ``--json`` and then prints one JSON document, no more.

Exit status: 0 done; 2 wrong usage; 3 done, but cases were left out; 130 stopped with Ctrl-C; 1 with one clear line on
standard error otherwise.
"""

from __future__ import annotations

from pathlib import Path

import click

from napari_ssl import __version__
from napari_ssl.commands.options import JSON, SEED, catching, report, say
from napari_ssl.errors import MissingDependencyError

__all__ = ["main"]


class _Group(click.Group):
    """Commands in the order they are written."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_Group, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="napari-ssl")
@click.pass_context
def main(context: click.Context) -> None:
    """Clinicians vet pseudo-labels in napari; networks learn from what they accept.

    Without a command the workspace opens.
    """
    if context.invoked_subcommand is None:
        context.invoke(review, study=None, reader=None)


@main.command()
@click.option("--headless", is_flag=True, help="A policy stands in for the clinician; no window.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("demo"), show_default=True)
@SEED
@JSON
@catching
def demo(headless: bool, out: Path, seed: int, as_json: bool) -> None:
    """Make the sample study, run one whole loop on it, then open the workspace."""
    from napari_ssl import demo as room

    tell = (lambda text: None) if as_json else say
    if not headless and not room.has_display():
        tell("No display: the loop runs headless, a policy standing in for the clinician.")
        headless = True
    result = room.run(out, headless=headless, seed=seed, say=tell)
    report(result, as_json, room.lines(result))
    if not headless:
        _open_window(Path(result["study"]), None)


@main.command()
@click.argument("study", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--reader", help="Your name; decisions are recorded under it.")
@catching
def review(study: Path | None, reader: str | None) -> None:
    """Open the workspace, on STUDY if it is given."""
    _open_window(study, reader)


def _open_window(study: Path | None, reader: str | None) -> None:
    from napari_ssl.demo import has_display
    from napari_ssl.system import missing

    if not has_display():
        raise MissingDependencyError("no display; the workspace needs a screen (headless: napari-ssl demo --headless)")
    lacking = missing(screenless=False)
    if lacking:
        raise MissingDependencyError(
            f"the system lacks {', '.join(lacking)}; install {' '.join(set(lacking.values()))}"
        )
    try:
        from napari_ssl.gui.app import run_workspace
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"the workspace needs {error.name}, which is not installed; pip install 'napari-ssl[gui]'"
        ) from error
    run_workspace(study, reader=reader)


def _register() -> None:
    """Add the other commands; each group is a file of its own."""
    from napari_ssl.commands import (
        catalogue,
        compare,
        engine,
        jobs,
        models,
        provenance,
        quality,
        readers,
        report,
        studies,
        work,
    )

    for module in (studies, work, compare, models, quality, readers, report, provenance, jobs, engine, catalogue):
        for command in module.COMMANDS:
            main.add_command(command)


_register()
