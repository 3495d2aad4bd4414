"""``study import``: images from folders, data sets and DICOM, with what label values mean said by the user."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from napari_ssl.commands.options import JSON, STUDY, catching, report, say
from napari_ssl.core.case import Split
from napari_ssl.errors import NapariSslError, StudyError

__all__ = ["import_"]


@click.command("import")
@STUDY
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--layout",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="auto, acdc, ukbb, ukbb-aorta, mnms, nnunet, msd, flare22, promise12, bids, sunnybrook, cvi42, dicom, "
    "plain, files.",
)
@click.option(
    "--labels",
    metavar="ORDER",
    help="What the values in the label files mean: 'study' (the study's own), or VALUE=NAME,… with the names of the "
    "study's structures, '-' for what is left out, e.g. 1=RV,2=Myo,3=LV. Needed where the data set documents another "
    "order than the study's.",
)
@click.option(
    "--split",
    type=click.Choice(["folder", "auto", *[s.value for s in Split]]),
    default="folder",
    show_default=True,
    help="Split of new subjects; folder: what the folder states, where it states nothing as auto.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides the automatic split.")
@click.option("--channel", metavar="NAME", help="Which channel of images that have several (nnU-Net, Decathlon).")
@click.option(
    "--phases",
    type=click.Choice(["auto", "instance"]),
    default="auto",
    show_default=True,
    help="What orders the phases of a DICOM cine; auto: temporal position or trigger time.",
)
@click.option("--keep-body", is_flag=True, help="DICOM: keep sex, height and weight of the patients.")
@click.option(
    "--keep-identity", is_flag=True, help="DICOM: keep patients' identifiers, UIDs and year of birth, no pseudonyms."
)
@click.option("--dry-run", is_flag=True, help="Show what was found and write nothing.")
@JSON
@catching
def import_(
    study: Path,
    paths: tuple[Path, ...],
    layout: str,
    labels: str | None,
    split: str,
    seed: int,
    channel: str | None,
    phases: str,
    keep_body: bool,
    keep_identity: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Import images (and labels) from folders, files or DICOM. What is there already is left as it is.

    DICOM is de-identified: patients get pseudonyms that are keyed with the study's own secret, pseudonym.key.
    """
    from napari_ssl.core.label_order import LabelOrder
    from napari_ssl.io.identity import Pseudonyms
    from napari_ssl.io.layouts import ScanOptions
    from napari_ssl.study.study import Study

    def progress(done: int, total: int, what: str) -> None:
        if what and not as_json:
            say(f"[{done + 1}/{total}] {what}")

    with Study.open(study, read_only=dry_run) as opened:
        pseudonyms = Pseudonyms.of_folder(opened.folder, keep_identity=keep_identity)
        options = ScanOptions(pseudonyms=pseudonyms, phases=phases, keep_body=keep_body, channel=channel)
        order = LabelOrder.parse(labels, opened.label_scheme) if labels else None
        items = [replace(item, label_order=order) for item in _scan(paths, layout, options)]
        if dry_run:
            found = [_found(i) for i in items]
            report({"found": found}, as_json, [_line(f) for f in found])
            return
        if any(i.conversion is not None and i.conversion.format == "dicom" for i in items):
            pseudonyms.store()
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
    lines += [f"  {i.case_id}: {n}" for i in items if i.case_id in result.added for n in _notes(i)]
    report(document, as_json, lines + [f"  {failure}" for failure in result.failures])
    if result.failed and not result.added and not result.skipped:
        raise StudyError(f"{study}: nothing could be imported; see the messages above")


def _in_splits(splits: Counter[Split]) -> str:
    return f" ({', '.join(f'{s.value} {splits[s]}' for s in Split if splits[s])})" if splits else ""


def _scan(paths: tuple[Path, ...], layout: str, options: Any) -> list[Any]:
    """List what lies in each folder, and all files together; DICOM in one go: a series may lie in several folders."""
    from napari_ssl.io.layouts import detect, scan

    folders, files = [p for p in paths if p.is_dir()], [p for p in paths if not p.is_dir()]
    layouts = {f: detect(f) if layout == "auto" else layout for f in folders}
    together = [f for f in folders if layouts[f] == "dicom"]
    items = [item for f in folders if f not in together for item in scan(f, layouts[f], options)]
    file_layout = detect(files) if files and layout == "auto" else layout
    if together or (files and file_layout == "dicom"):
        items += scan([*together, *(files if file_layout == "dicom" else [])], "dicom", options)
    if files and file_layout != "dicom":
        items += scan(files, file_layout, options)
    return items


def _notes(item: Any) -> tuple[str, ...]:
    return item.conversion.notes if item.conversion is not None else ()


def _found(item: Any) -> dict[str, Any]:
    """Say what is known of an item without its pixels."""
    from napari_ssl.io.images import read_header

    shape, spacing, problem = None, None, ""
    try:
        header = item.conversion.header() if item.conversion is not None else read_header(item.image_path)
        shape, spacing = list(header.shape_tzyx), list(header.spacing_zyx_mm)
    except NapariSslError as error:
        problem = str(error)
    return {
        "case_id": item.case_id,
        "subject_id": item.subject_id,
        "image": item.shown,
        "shape_tzyx": shape,
        "spacing_zyx_mm": spacing,
        "labels": len(item.label_paths) or int(item.drawn is not None),
        "label_values": item.label_proposal and item.label_proposal.text(),
        "split": item.split,
        "notes": list(_notes(item)),
        "problem": problem,
    }


def _line(found: dict[str, Any]) -> str:
    """Tell a person what was found."""
    text = f"{found['case_id']}: {found['image']} ({found['labels']} label files)"
    if found["shape_tzyx"]:
        text += f", (T, Z, Y, X) = {tuple(found['shape_tzyx'])}"
        text += f", {' × '.join(f'{s:g}' for s in found['spacing_zyx_mm'])} mm"
    if found["label_values"]:
        text += f"; labels are documented as {found['label_values']}"
    text += "".join(f"; {note}" for note in found["notes"])
    problem = found["problem"].removeprefix(f"{found['image']}: ")  # the line names the image already
    return text + (f"; cannot be imported: {problem}" if problem else "")
