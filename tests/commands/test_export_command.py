from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.commands import exporting
from napari_ssl.core.export import FORMATS
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.io.images import Geometry, read_labels, write_volume
from napari_ssl.io.layouts.item import ImportItem
from napari_ssl.study import Study

GRID = Geometry(size_xyz=(6, 5, 2), spacing_xyz=(1.5, 1.5, 8.0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study of one case with expert labels: LV (3) beside RV (1)."""
    labels = np.zeros((1, 2, 5, 6), np.uint8)
    labels[:, :, 1:3, 1:3], labels[:, :, 1:3, 4:] = 3, 1
    write_volume(tmp_path / "c.nii.gz", np.ones((1, 2, 5, 6), np.uint8), GRID)
    write_volume(tmp_path / "c_gt.nii.gz", labels, GRID)
    item = ImportItem(
        subject_id="s", case_id="c", image_path=tmp_path / "c.nii.gz", label_paths=((None, tmp_path / "c_gt.nii.gz"),)
    )
    with Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"]) as made:
        assert not made.add_cases([item]).failed
    return tmp_path / "study"


def run(folder: Path, *words, answer: str | None = None):
    arguments = ["export", str(folder), "--state", "all", "--out", str(folder.parent / "out"), *map(str, words)]
    return CliRunner().invoke(main, arguments, input=answer)


def test_a_change_of_label_values_needs_a_yes(folder, monkeypatch):
    out = folder.parent / "out"
    refused = run(folder, "--format", "nifti", "--relabel", "1=3,3=1")
    assert refused.exit_code == 2 and "RV 1 → 3, LV 3 → 1" in refused.output and "confirm with --yes" in refused.output
    monkeypatch.setattr(exporting, "_can_ask", lambda: True)
    no = run(folder, "--format", "nifti", "--relabel", "1=3,3=1", answer="n\n")
    assert no.exit_code == 1 and not out.exists()
    assert run(folder, "--format", "nifti", "--relabel", "1=3,3=1", answer="y\n").exit_code == 0
    labels = read_labels(out / "c_seg.nii.gz")
    assert labels[0, 0, 1, 1] == 1 and labels[0, 0, 1, 5] == 3


def test_yes_on_the_command_line_is_a_yes(folder):
    done = run(folder, "--format", "nifti", "--relabel", "2=4", "--yes", "--json")
    document = json.loads(done.stdout)
    assert done.exit_code == 0 and [Path(p).name for p in document["written"]] == ["c_seg.nii.gz", "label_values.json"]


def test_a_second_export_needs_force(folder):
    assert run(folder, "--format", "csv").exit_code == 0
    again = run(folder, "--format", "csv")
    assert again.exit_code == 1 and "clinical_indices.csv: exists already" in again.output and "--force" in again.output
    assert run(folder, "--format", "csv", "--force").exit_code == 0


@pytest.mark.parametrize("text", ["1", "1=2=3", "a=b", "1=2,1=3", "1=1000"])
def test_a_relabelling_that_cannot_be_read_is_wrong_usage(folder, text):
    done = run(folder, "--format", "nifti", "--relabel", text, "--yes")
    assert done.exit_code == 2 and "write OLD=NEW" in done.output


def test_every_format_can_be_asked_for_and_says_what_it_is():
    text = " ".join(CliRunner().invoke(main, ["export", "--help"], terminal_width=200).output.split())
    assert all(f"{name}: {entry.title}" in text for name, entry in FORMATS.items())


def test_notes_are_told(folder):
    done = run(folder, "--format", "nnunet")
    assert done.exit_code == 0 and "note: no splits_final.json: it needs two subjects or more" in done.output
