"""``study new | import | status | subjects | pressures | check`` and ``export``."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import click

from napari_ssl.commands.exporting import export
from napari_ssl.commands.options import JSON, PREPROCESSING, STUDY, catching, report, say
from napari_ssl.commands.subjects import subjects
from napari_ssl.core.case import Split
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
@click.option("--pixel-spacing", type=float, default=0.0, metavar="MM", help="Resample slices to this; 0: native.")
@click.option("--crop", type=int, nargs=2, default=(224, 224), show_default=True, help="Training slice (y, x).")
@PREPROCESSING
@JSON
@catching
def new(
    study: Path,
    labels: str,
    name: str | None,
    pixel_spacing: float,
    crop: tuple[int, int],
    preprocessing_set: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make an empty study in the folder STUDY."""
    from napari_ssl.study.study import Study

    values = {"pixel_spacing_mm": pixel_spacing, "crop_yx": crop, **preprocessing_from_texts(preprocessing_set)}
    preprocessing = Preprocessing(**values)
    with Study.create(study, label_scheme=LabelScheme.parse(labels), preprocessing=preprocessing, name=name) as made:
        document = {"study": str(made.folder), "name": made.name, "label_scheme": made.label_scheme.to_dict()}
    meaning = ", ".join(f"{s['value']}={s['name']}" for s in document["label_scheme"]["structures"])
    report(document, as_json, [f"Study {document['name']} in {document['study']}; labels: {meaning}"])


@study.command("import")
@STUDY
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--layout", default="auto", show_default=True, metavar="NAME", help="auto, acdc, plain or files.")
@click.option(
    "--split",
    type=click.Choice(["folder", "auto", *[s.value for s in Split]]),
    default="folder",
    show_default=True,
    help="Split of new subjects; folder: what the folder states, where it states nothing as auto.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides the automatic split.")
@click.option("--dry-run", is_flag=True, help="Show what was found and write nothing.")
@JSON
@catching
def import_(
    study: Path, paths: tuple[Path, ...], layout: str, split: str, seed: int, dry_run: bool, as_json: bool
) -> None:
    """Import images (and labels) from folders or files. What is there already is left as it is."""
    from napari_ssl.io.layouts import scan
    from napari_ssl.study.study import Study

    with Study.open(study, read_only=dry_run) as opened:
        items = [item for found in _scan(scan, paths, layout) for item in found]
        if dry_run:
            document: dict[str, Any] = {"found": [_found(i) for i in items]}
            report(
                document,
                as_json,
                [f"{f['case_id']}: {f['image']} ({f['labels']} label files)" for f in document["found"]],
            )
            return

        def progress(done: int, total: int, what: str) -> None:
            if what and not as_json:
                say(f"[{done + 1}/{total}] {what}")

        result = opened.add_cases(items, split=None if split == "folder" else split, seed=seed, progress=progress)
        splits = Counter(opened.case(case_id).split for case_id in result.added)
    document = {
        "added": list(result.added),
        "skipped": list(result.skipped),
        "failed": [{"path": str(path), "message": message} for path, message in result.failed],
    }
    lines = [
        f"{len(result.added)} cases imported{_in_splits(splits)}, {len(result.skipped)} were there already, "
        f"{len(result.failed)} failed"
    ]
    report(document, as_json, lines + [f"  {f['path']}: {f['message']}" for f in document["failed"]])
    if result.failed and not result.added and not result.skipped:
        raise StudyError(f"{study}: nothing could be imported; see the messages above")


def _in_splits(splits: Counter[Split]) -> str:
    return f" ({', '.join(f'{s.value} {splits[s]}' for s in Split if splits[s])})" if splits else ""


def _scan(scan: Any, paths: tuple[Path, ...], layout: str) -> list[Any]:
    folders = [p for p in paths if p.is_dir()]
    files = [p for p in paths if not p.is_dir()]
    return [scan(f, layout) for f in folders] + (
        [scan(files, "files" if layout == "auto" else layout)] if files else []
    )


def _found(item: Any) -> dict[str, Any]:
    return {
        "case_id": item.case_id,
        "subject_id": item.subject_id,
        "image": str(item.image_path),
        "labels": len(item.label_paths),
        "split": item.split,
    }


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
