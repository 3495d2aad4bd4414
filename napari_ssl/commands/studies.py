"""``study new | import | status | subjects | pressures | check`` and ``export``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from napari_ssl.commands.exporting import export
from napari_ssl.commands.importing import import_
from napari_ssl.commands.options import JSON, PREPROCESSING, STUDY, catching, report
from napari_ssl.commands.subjects import subjects
from napari_ssl.core.label_scheme import PRESETS, LabelScheme
from napari_ssl.core.preprocessing import Preprocessing, preprocessing_from_texts
from napari_ssl.errors import StudyError

__all__ = ["COMMANDS"]


@click.group()
def study() -> None:
    """Make a study, import images, see what is in it and what is wrong with it."""


@study.command("new")
@STUDY
@click.option(
    "--labels",
    required=True,
    metavar="SCHEME",
    help=f"What the label values mean: {', '.join(PRESETS)}, or VALUE=NAME:ROLE,… (roles: lv_cavity, rv_cavity, "
    "myocardium, aorta, other). Never guessed from files.",
)
@click.option("--name", help="Name of the study; by default the folder's.")
@click.option(
    "--database",
    metavar="URL",
    help="postgresql://user@host/database: readers at several machines share the study; without it SQLite, for one "
    "machine. No password in it: ~/.pgpass, PGPASSWORD or a service file (postgresql:///?service=NAME) has it.",
)
@click.option("--pixel-spacing", type=float, default=0.0, metavar="MM", help="Resample slices to this; 0: native.")
@click.option("--crop", type=int, nargs=2, default=(224, 224), show_default=True, help="Training slice (y, x).")
@PREPROCESSING
@JSON
@catching
def new(
    study: Path,
    labels: str,
    name: str | None,
    database: str | None,
    pixel_spacing: float,
    crop: tuple[int, int],
    preprocessing_set: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make an empty study in the folder STUDY."""
    from napari_ssl.study.study import Study

    values = {"pixel_spacing_mm": pixel_spacing, "crop_yx": crop, **preprocessing_from_texts(preprocessing_set)}
    preprocessing = Preprocessing(**values)
    scheme = LabelScheme.parse(labels)
    with Study.create(
        study, label_scheme=scheme, preprocessing=preprocessing, name=name, database_url=database
    ) as made:
        document = {"study": str(made.folder), "name": made.name, "label_scheme": made.label_scheme.to_dict()}
    meaning = ", ".join(f"{s['value']}={s['name']}" for s in document["label_scheme"]["structures"])
    report(document, as_json, [f"Study {document['name']} in {document['study']}; labels: {meaning}"])


study.add_command(import_)


@study.command("status")
@STUDY
@JSON
@catching
def status(study: Path, as_json: bool) -> None:
    """Count cases by split and state; name models, jobs and the round."""
    from napari_ssl.study.study import Study

    with Study.open(study, read_only=True) as opened:
        document = opened.status()
    report(document, as_json, _lines(document))


def _lines(document: dict[str, Any]) -> list[str]:
    """Tell the state of a study to a person."""

    def counted(counts: dict[str, int]) -> str:
        return ", ".join(f"{name} {n}" for name, n in counts.items()) or "none"

    meaning = ", ".join(f"{s['value']}={s['name']}" for s in document["label_scheme"]["structures"])
    return [
        f"Study {document['name']} in {document['folder']}",
        f"Labels: {meaning}",
        f"Cases: {document['n_cases']} of {document['n_subjects']} subjects ({counted(document['cases_by_split'])})",
        f"Review: {counted(document['cases_by_state'])}; {document['n_decisions']} decisions",
        f"Expert labels: {document['n_with_reference']} cases; proposals: {document['n_with_proposal']} cases",
        "Models: " + (", ".join(f"{m['id']} ({m['state']})" for m in document["models"]) or "none"),
        f"Jobs: {counted(document['jobs_by_state'])}",
        f"Next round: {document['next_round']}",
    ]


@study.command("pressures")
@STUDY
@click.argument("case")
@click.argument("systolic", type=float, required=False)
@click.argument("diastolic", type=float, required=False)
@click.option("--forget", is_flag=True, help="Forget what was given.")
@JSON
@catching
def pressures(
    study: Path, case: str, systolic: float | None, diastolic: float | None, forget: bool, as_json: bool
) -> None:
    """Give the blood pressures of CASE in mmHg, central ones where known: distensibility of the aorta needs them.

    Without numbers, tell what was given.
    """
    from napari_ssl.study.study import Study

    reading = systolic is None and not forget
    if forget and systolic is not None:
        raise click.UsageError("give pressures or --forget, not both")
    with Study.open(study, read_only=reading) as opened:
        if not reading:
            opened.set_pressures(case, systolic, diastolic)
        pair = opened.pressures(case)
    document = {"case": case, "systolic_mmhg": pair and pair[0], "diastolic_mmhg": pair and pair[1]}
    known = f"systolic {pair[0]:g} mmHg, diastolic {pair[1]:g} mmHg" if pair else "pressures are not known"
    report(document, as_json, [f"Case {case}: {known}"])


@study.command("check")
@STUDY
@JSON
@catching
def check(study: Path, as_json: bool) -> None:
    """Find what is wrong: changed or missing images, labels that do not fit, subjects in two splits, stray files."""
    from napari_ssl.study.study import Study

    with Study.open(study, read_only=True) as opened:
        findings = [dataclasses.asdict(f) for f in opened.check()]
    lines = [f"{f['severity']}: {f['case_id'] or ''} {f['message']} → {f['remedy']}" for f in findings]
    report({"findings": findings}, as_json, lines or ["Nothing is wrong."])
    errors = [f for f in findings if str(f["severity"]) == "error"]
    if errors:
        raise StudyError(f"{study}: {len(errors)} of {len(findings)} findings are errors")


study.add_command(subjects)

COMMANDS = (study, export)
