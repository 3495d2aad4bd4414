"""The workspace as a program of its own."""

from __future__ import annotations

from pathlib import Path

import napari

from napari_ssl.gui.workspace import open_workspace

__all__ = ["run_workspace"]


def run_workspace(study_folder: Path | None, *, reader: str | None = None) -> None:
    """Open the workspace and return when its window is closed; StudyError when the study cannot be opened."""
    open_workspace(study_folder, reader=reader)
    napari.run()
