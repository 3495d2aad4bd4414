"""``study subjects``: bodies of subjects, which normal ranges and indexed volumes need."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from napari_ssl.commands.options import JSON, STUDY, catching, report

__all__ = ["subjects"]


@click.command()
@STUDY
@click.argument("table", required=False, type=click.Path(path_type=Path, dir_okay=False))
@JSON
@catching
def subjects(study: Path, table: Path | None, as_json: bool) -> None:
    """Take sex, height_cm, weight_kg and birth_year of subjects from the CSV file TABLE; without it list them.

    With sex and body surface the window shows normal ranges and volumes per m².
    """
    from napari_ssl.study.study import Study
    from napari_ssl.study.subject_tables import import_subjects

    unknown: tuple[str, ...] = ()
    with Study.open(study, read_only=table is None) as opened:
        if table is not None:
            found, unknown = dataclasses.astuple(import_subjects(opened, table))
            n_changed = len(found)
        rows = opened.subjects()
    documents = [{**dataclasses.asdict(s), "body_surface_area_m2": s.body_surface_area_m2} for s in rows]
    lines = [_line(d) for d in documents]
    if table is not None:
        left = f"; not in the study: {', '.join(unknown)}" if unknown else ""
        lines = [f"{n_changed} subject{'s' if n_changed != 1 else ''} from {table}{left}"]
    report({"subjects": documents, "unknown": list(unknown)}, as_json, lines)


def _line(document: dict) -> str:
    shown = (("sex", "{}"), ("height_cm", "{:g} cm"), ("weight_kg", "{:g} kg"), ("birth_year", "born {}"))
    parts = [form.format(document[name]) for name, form in shown if document[name] is not None]
    surface = document["body_surface_area_m2"]
    parts += [f"{surface:.2f} m²"] if surface else []
    return f"{document['id']}  {', '.join(parts) or 'nothing known of the body'}"
