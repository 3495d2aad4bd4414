"""``qc ratings export | import | agreement | settle``: ratings of readers as tables, and how well readers agree."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

import click

from napari_ssl.commands.options import JSON, STUDY, catching, report

__all__ = ["ratings_group"]


@click.group("ratings")
def ratings_group() -> None:
    """Exchange ratings with other programs; see how well readers agree; settle ties."""


@ratings_group.command("export")
@STUDY
@click.argument("table", type=click.Path(path_type=Path, dir_okay=False))
@JSON
@catching
def export(study: Path, table: Path, as_json: bool) -> None:
    """Write all ratings to the CSV file TABLE."""
    from napari_ssl.study.study import Study

    with Study.open(study, read_only=True) as opened:
        path, n = opened.export_ratings_csv(table), len(opened.ratings())
    report({"path": str(path), "ratings": n}, as_json, [f"{n} ratings in {path}"])


@ratings_group.command("import")
@STUDY
@click.argument("table", type=click.Path(path_type=Path, dir_okay=False))
@JSON
@catching
def import_(study: Path, table: Path, as_json: bool) -> None:
    """Add the ratings of the CSV file TABLE (columns case, reader, score) that are not there yet, all or none."""
    from napari_ssl.study.study import Study

    with Study.open(study) as opened:
        added = opened.import_ratings_csv(table)
    report({"added": len(added)}, as_json, [f"{len(added)} ratings added"])


@ratings_group.command("agreement")
@STUDY
@JSON
@catching
def agreement(study: Path, as_json: bool) -> None:
    """Cohen's, weighted and Fleiss' kappa of the readers, with 95 % intervals."""
    from napari_ssl.measures.reader_agreement import rating_agreement
    from napari_ssl.study.study import Study

    with Study.open(study, read_only=True) as opened:
        document = rating_agreement(opened.ratings())
        cases = {s.id: s.case_id for s in opened.segmentations()}
    document["to_settle"] = [{"segmentation": n, "case": cases[n]} for n in document["to_settle"]]
    report(document, as_json, _lines(document))


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [f"{name}: {n} ratings" for name, n in document["readers"].items()] or ["No rating yet"]
    lines.append(f"{document['n_versions']} segmentations rated, {document['n_shared']} by two readers or more")
    for pair in document["pairs"]:
        lines.append(f"{' and '.join(pair['readers'])}: {_text(pair['good'])}; four points: {_text(pair['scale'])}")
    if len(document["readers"]) > 2:
        lines.append(f"all readers: {_text(document['good'])}; four points: {_text(document['scale'])}")
    if document["to_settle"]:
        lines.append(
            "votes tie, to be settled ('napari-ssl qc ratings settle'): "
            + ", ".join(f"{e['case']} (version {e['segmentation']})" for e in document["to_settle"])
        )
    return lines


def _text(kappa: dict[str, Any] | None) -> str:
    if kappa is None or kappa["value"] is None:
        return "kappa not defined"
    interval = "" if kappa["low"] is None else f" ({kappa['low']:.2f} to {kappa['high']:.2f})"
    return f"kappa {kappa['value']:.2f}{interval}, n = {kappa['n_items']}"


@ratings_group.command("settle")
@STUDY
@click.argument("segmentation", type=int)
@click.argument("score", type=click.IntRange(0, 4))
@click.option("--by", default=getpass.getuser, show_default="user", help="Who decides; recorded.")
@JSON
@catching
def settle(study: Path, segmentation: int, score: int, by: str, as_json: bool) -> None:
    """Settle the label version SEGMENTATION, on which readers tie, with SCORE (1 to 4; 0: image not readable)."""
    from napari_ssl.study.study import Study

    with Study.open(study) as opened:
        rating = opened.adjudicate(segmentation, by, score)
        verdict = opened.consensus_ratings().get(segmentation)
    words = {True: "good", False: "erroneous", None: "left out"}[verdict]
    document = {"id": rating.id, "case": rating.case_id, "segmentation": segmentation, "good": verdict}
    report(document, as_json, [f"Case {rating.case_id}, version {segmentation}: {words}"])
