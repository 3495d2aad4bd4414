"""Exports behind the dialog: most in a thread, those that need torch in a process of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from napari_ssl.core.export import ExportOptions
from napari_ssl.errors import StudyError
from napari_ssl.gui.background import BackgroundRun
from napari_ssl.study.export_run import ExportStoppedError
from napari_ssl.study.exporting import ExportReport, export_study
from napari_ssl.study.study import Study

__all__ = ["export_apart", "export_here"]

_ASK_S = 0.2  # how often a process that runs is asked whether it has ended


def export_here(
    study: Study, folder: Path, format: str, options: ExportOptions, *, overwrite: bool, run: BackgroundRun
) -> ExportReport:
    """Export in this thread."""
    return export_study(
        study, folder, format, options, overwrite=overwrite, progress=run.report, should_stop=run.should_stop
    )


def export_apart(
    study: Study, folder: Path, format: str, options: ExportOptions, *, overwrite: bool, run: BackgroundRun
) -> ExportReport:
    """Export a model through the command ``napari-ssl export``: torch stays out of the window's process.

    Raises
    ------
    StudyError
        What the command said.
    ExportStoppedError
        The user stopped it; what it had collected is removed.
    """
    command = [sys.executable, "-m", "napari_ssl", "export", str(study.folder), "--format", format, "--json"]
    command += ["--out", str(folder)] + (["--force"] if overwrite else [])
    command += ["--model", options.model_id] if options.model_id else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    stopped = False
    while True:
        try:
            out, err = process.communicate(timeout=_ASK_S)
            break
        except subprocess.TimeoutExpired:
            if run.should_stop() and not stopped:
                stopped = True
                process.send_signal(signal.SIGINT)  # as Ctrl-C: what was collected is removed
    if stopped:
        raise ExportStoppedError("the export was stopped; nothing was written")
    if process.returncode != 0:
        lines = [line for line in err.splitlines() if line.startswith("napari-ssl: ")]
        raise StudyError(lines[-1].removeprefix("napari-ssl: ") if lines else err.strip()[-300:] or "the export failed")
    document = json.loads(out)
    return ExportReport(files=tuple(map(Path, document["written"])), notes=tuple(document["notes"]))
