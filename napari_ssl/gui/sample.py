"""The sample study: analytic beating hearts, written and imported on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.training import Preprocessing
from napari_ssl.errors import StudyError
from napari_ssl.gui.settings import state_folder
from napari_ssl.io.layouts import scan
from napari_ssl.phantom import SAMPLE_SIZE, write_sample_study_files
from napari_ssl.study.study import Study

__all__ = ["open_sample_study"]


def open_sample_study(folder: Path | None = None, *, progress: Callable[[int, int, str], None]) -> Study:
    """Open the sample study, making it first where there is none; takes about half a minute, call it in a thread.

    Raises
    ------
    StudyError
        An image of the sample could not be imported.
    StorageError
        The disk is full or the folder cannot be written.
    """
    folder = folder or state_folder() / "sample"
    finished = folder / "complete"
    if finished.exists():
        return Study.open(folder / "study")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    written = 0

    def tell_image(name: str) -> None:
        nonlocal written
        written += 1
        progress(written, 2 * SAMPLE_SIZE, f"making {name}")

    write_sample_study_files(folder / "images", progress=tell_image)
    study = Study.create(
        folder / "study",
        label_scheme=PRESETS["acdc"],
        preprocessing=Preprocessing(crop_yx=(96, 96)),
        name="Sample study",
    )
    report = study.add_cases(
        scan(folder / "images", "acdc"),
        split="auto",
        progress=lambda done, total, name: progress(total + done, 2 * total, f"importing {name}"),
    )
    if report.failed:
        path, message = report.failed[0]
        study.close()
        raise StudyError(f"the sample study could not be made: {path}: {message}")
    finished.touch()
    return study
