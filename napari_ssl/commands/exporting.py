"""``export``: results out to where they are needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from napari_ssl.commands.options import JSON, STUDY, catching, report, say
from napari_ssl.core.case import Split
from napari_ssl.core.export import FORMATS, FRAME_CHOICES, MODALITIES, ExportOptions, relabelling
from napari_ssl.errors import StudyError

if TYPE_CHECKING:
    from napari_ssl.study.study import Study

__all__ = ["COMMANDS"]


def _relabelling(_context: click.Context, _parameter: click.Parameter, text: str | None) -> dict[int, int]:
    """Read ``OLD=NEW,…``."""
    try:
        return relabelling(text or "")
    except StudyError as error:
        raise click.BadParameter(str(error)) from error


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _confirm(study: Study, relabel: dict[int, int], yes: bool) -> None:
    """Let a person confirm that label values are changed; wrong usage where nobody can be asked."""
    if not relabel or yes:
        return
    names = {s.value: s.name for s in study.label_scheme.structures}
    change = ", ".join(f"{names.get(old, '?')} {old} → {new}" for old, new in relabel.items())
    if not _can_ask():
        raise click.UsageError(f"label values would change ({change}); confirm with --yes")
    click.confirm(f"Label values change in what is exported: {change}. Go on?", abort=True, err=True)


@click.command("export")
@STUDY
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(FORMATS)),
    required=True,
    help=" ".join(f"{name}: {entry.title}." for name, entry in FORMATS.items()),
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for what is written.")
@click.option(
    "--state",
    "states",
    multiple=True,
    default=("accepted", "corrected"),
    show_default=True,
    help="Review states to export (may be repeated); 'all' takes every case that has labels.",
)
@click.option("--with-expert", is_flag=True, help="Also cases whose expert labels came with the data.")
@click.option("--split", type=click.Choice([s.value for s in Split]), help="Only this split.")
@click.option(
    "--frames",
    type=click.Choice(FRAME_CHOICES),
    default="labelled",
    show_default=True,
    help="All labelled frames, or end-diastole and end-systole only.",
)
@click.option(
    "--relabel", callback=_relabelling, metavar="OLD=NEW,…", help="Write other label values; asks before (see --yes)."
)
@click.option("--yes", is_flag=True, help="Confirm that --relabel changes label values.")
@click.option(
    "--modality",
    type=click.Choice(MODALITIES),
    default="MR",
    show_default=True,
    help="What images are said to be that do not tell themselves (nnunet, dicom-seg).",
)
@click.option("--dataset-id", type=click.IntRange(1, 999), default=1, show_default=True, help="Number for nnU-Net.")
@click.option(
    "--folds",
    "n_folds",
    type=click.IntRange(0, 50),
    default=0,
    show_default=True,
    help="Folds of nnU-Net's splits, by subject; 0: the study's training and validation subjects.",
)
@click.option("--model", "model_id", metavar="ID", help="Model to export (monai-bundle); by default the promoted one.")
@click.option(
    "--round", type=click.IntRange(1), metavar="N", help="Round to describe (ro-crate); by default the newest."
)
@click.option("--force", is_flag=True, help="Replace files of the same name.")
@JSON
@catching
def export(
    study: Path,
    format_: str,
    out: Path,
    relabel: dict[int, int],
    yes: bool,
    force: bool,
    as_json: bool,
    **options: object,
) -> None:
    """Write labels, indices, decisions, a model or a whole round for other programs.

    All is written or nothing, only inside --out; without --force no file is replaced.
    """
    from napari_ssl.study.exporting import export_study
    from napari_ssl.study.study import Study

    chosen = ExportOptions(relabel=relabel, **options)

    def progress(done: int, total: int, what: str) -> None:
        if not as_json:
            say(f"[{done + 1}/{total}] {what}")

    with Study.open(study, read_only=True) as opened:
        _confirm(opened, relabel, yes)
        write = None
        if format_ == "monai-bundle":
            from napari_ssl.rounds.model_export import export_bundle as write
        done = export_study(opened, out, format_, chosen, write=write, overwrite=force, progress=progress)
    lines = [str(p) for p in done.files] or [
        f"Nothing to export: no case is {' or '.join(chosen.states)} (--state all takes every case with labels)."
    ]
    report(
        {"written": [str(p) for p in done.files], "notes": list(done.notes)},
        as_json,
        lines + [f"note: {note}" for note in done.notes],
    )


COMMANDS = (export,)
