"""``report``: one page about a round of a study."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from napari_ssl.commands.options import JSON, STUDY, catching, report, say
from napari_ssl.errors import NapariSslError
from napari_ssl.io.atomic import write_bytes
from napari_ssl.io.images import read_image
from napari_ssl.rounds.round_summary import summarise_round
from napari_ssl.study.study import Study

if TYPE_CHECKING:
    from napari_ssl.report.round_page import Example

__all__ = ["COMMANDS"]


@click.command("report")
@STUDY
@click.option("--round", "number", type=click.IntRange(min=1), help="By default the newest that has a model.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="By default the folder reports of the study."
)
@JSON
@catching
def write_report(study: Path, number: int | None, out: Path | None, as_json: bool) -> None:
    """Write what a round brought as one HTML page, with its figures as SVG and PNG and its numbers as JSON."""
    from napari_ssl.report.round_page import write_round_page  # brings matplotlib

    with Study.open(study, read_only=True) as opened:
        document = summarise_round(opened, number)
        folder = out or opened.folder / "reports"
        files = write_round_page(document, folder, scheme=opened.label_scheme, example_of=_examples(opened, document))
    numbers = folder / f"round-{document['round']}.json"
    write_bytes(numbers, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
    written = [str(f) for f in (*files, numbers)]
    report({"round": document["round"], "files": written}, as_json, [f"{files[0]} and {len(written) - 1} files more"])


def _examples(study: Study, document: dict[str, Any]) -> Callable[[str], Example | None]:
    """Find the label maps that the evaluation of the round's model kept."""
    from napari_ssl.report.round_page import Example

    model = next(m for m in document["models"] if m["id"] == document["example_model"])
    runs = study.folder / "runs"

    def example_of(case_id: str) -> Example | None:
        name = f"{model['evaluation']}/{case_id}.labels.nii.gz"
        kept = next(iter(sorted(runs.glob(f"*/{name}"))), None) if model["evaluation"] else None
        reference = study.reference(case_id)
        if kept is None or reference is None:
            return None
        try:
            case, truth = study.case(case_id), study.read_labels(reference)
            found = study.read_label_file(kept, case_id)
            frame = case.ed_frame if case.ed_frame in reference.frames else reference.frames[0]
            image = read_image(case.image_path, frames=[frame]).data[0]
        except NapariSslError as error:
            say(f"{case_id} is not shown: {error}")
            return None
        z = int(np.argmax((truth[frame] > 0).sum(axis=(1, 2))))
        _, y_mm, x_mm = case.spacing_zyx_mm
        return Example(image[z], found[frame, z], truth[frame, z], frame, z, y_mm / x_mm)

    return example_of


COMMANDS = (write_report,)
