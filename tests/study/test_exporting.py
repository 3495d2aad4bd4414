from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from study_factory import GEOMETRY, SHAPE, decide, make_labels, make_model, propose

from napari_ssl.core.decision import Verdict
from napari_ssl.core.export import ExportOptions
from napari_ssl.core.segmentation import Source
from napari_ssl.errors import StudyError
from napari_ssl.io.images import read_header, read_labels
from napari_ssl.study import Study
from napari_ssl.study.exporting import export_study

ALL = tuple(range(SHAPE[0]))


def _corrected() -> np.ndarray:
    """LV of 2 × 4 pixels in 3 slices, a quarter less in frame 1."""
    labels = make_labels(2, ALL)
    labels[1, :, 2:4, 2] = 0
    return labels


@pytest.fixture
def reviewed(study: Study, tmp_path: Path) -> Study:
    make_model(study, tmp_path / "m1")
    study.record(decide(propose(study, "p0", 0), Verdict.ACCEPT))
    study.set_phases("p1", 0, 1)
    corrected = study.add_segmentation("p1", _corrected(), source=Source.CORRECTED, frames=ALL, reader="Ada")
    study.record(decide(corrected, Verdict.CORRECT))
    study.record(decide(propose(study, "p2", 0), Verdict.REJECT))
    return study


def test_accepted_and_corrected_labels_are_written_in_the_images_geometry(reviewed: Study, tmp_path: Path):
    written = export_study(reviewed, tmp_path / "out", "nifti").files
    assert [p.name for p in written] == ["p0_seg.nii.gz", "p1_seg.nii.gz", "label_values.json"]
    assert json.loads(written[2].read_text()) == {"background": 0, "RV": 1, "Myo": 2, "LV": 3}
    np.testing.assert_array_equal(read_labels(written[1]), _corrected())
    assert read_header(written[1]).geometry.differs(GEOMETRY) is None


def test_frames_without_labels_are_not_written_as_empty(study: Study, tmp_path: Path):
    chosen = ExportOptions(states=("all",), split=study.case("p0").split)
    written = export_study(study, tmp_path / "out", "nifti", chosen).files
    assert {"p0_frame01_seg.nii.gz", "p0_frame03_seg.nii.gz"} <= {p.name for p in written}
    assert not any("p5" in p.name for p in written)
    geometry = dataclasses.replace(GEOMETRY, is_4d=False)
    assert read_header(written[0]).geometry.differs(geometry) is None


def test_the_table_holds_volumes_in_ml(reviewed: Study, tmp_path: Path):
    (path,) = export_study(reviewed, tmp_path / "out", "csv").files
    rows = list(csv.DictReader(path.open()))
    assert [(r["case"], r["subject"], r["state"], r["source"], r["model"], r["reader"]) for r in rows] == [
        ("p0", "s0", "accepted", "model", "m1", "Ada"),
        ("p1", "s1", "corrected", "corrected", "", "Ada"),
    ]
    voxel_ml = 1.5 * 1.25 * 8 / 1000
    assert float(rows[1]["LVEDV (mL)"]) == pytest.approx(3 * 2 * 4 * voxel_ml, abs=1e-3)
    assert float(rows[1]["LVEF (%)"]) == pytest.approx(25.0)
    assert rows[1]["RVEF (%)"] == ""


def test_nothing_to_export_writes_no_table(study: Study, tmp_path: Path):
    assert export_study(study, tmp_path / "out", "csv").files == ()
    assert list((tmp_path / "out").iterdir()) == []


def test_unknown_formats_and_states_are_refused(study: Study, tmp_path: Path):
    with pytest.raises(StudyError, match=r"no export format 'dicom'; there are nifti, csv"):
        export_study(study, tmp_path / "out", "dicom")
    with pytest.raises(StudyError, match=r"no state of review 'good'"):
        ExportOptions(states=("good",))
