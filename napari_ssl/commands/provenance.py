"""``provenance``: where a model or a case's labels come from, as one page."""

from __future__ import annotations

from pathlib import Path

import click

from napari_ssl.commands.options import JSON, STUDY, catching, report
from napari_ssl.report.provenance import write_case_page, write_model_page
from napari_ssl.study.study import Study

__all__ = ["COMMANDS"]


@click.command("provenance")
@STUDY
@click.option("--model", "model_id", help="A model of the study.")
@click.option("--case", "case_id", help="A case of the study.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="By default in the folder reports of the study."
)
@JSON
@catching
def write_provenance(study: Path, model_id: str | None, case_id: str | None, out: Path | None, as_json: bool) -> None:
    """Write where a model or the labels of a case come from, down to the decisions behind it, as one HTML page."""
    if (model_id is None) == (case_id is None):
        raise click.UsageError("name either a model (--model ID) or a case (--case ID)")
    with Study.open(study, read_only=True) as opened:
        path = out or opened.folder / "reports" / f"provenance-{model_id or case_id}.html"
        if model_id is not None:
            write_model_page(opened, model_id, path)
        else:
            write_case_page(opened, case_id, path)
    report({"page": str(path), "model": model_id, "case": case_id}, as_json, [str(path)])


COMMANDS = (write_provenance,)
