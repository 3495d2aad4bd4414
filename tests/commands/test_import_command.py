from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.io.images import Geometry, write_volume
from napari_ssl.study.study import Study

sys.path.append(str(Path(__file__).parents[1] / "io"))
from dicom_files import cine, save


@pytest.fixture
def study(tmp_path):
    Study.create(tmp_path / "study", label_scheme=PRESETS["ukbb"]).close()
    return tmp_path / "study"


def call(*arguments, code=0):
    result = CliRunner().invoke(main, ["study", "import", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def acdc_folder(folder: Path) -> Path:
    (folder / "p1").mkdir(parents=True)
    labels = np.array([1, 2, 2, 3, 3, 3, 0, 0], np.uint8).reshape(1, 2, 2, 2)
    geometry = Geometry(size_xyz=(2, 2, 2), spacing_xyz=(1, 1, 8))
    write_volume(folder / "p1" / "p1_frame01.nii.gz", labels.astype(np.int16), geometry)
    write_volume(folder / "p1" / "p1_frame01_gt.nii.gz", labels, geometry)
    return folder


def test_another_order_of_labels_must_be_said(study, tmp_path):
    folder = acdc_folder(tmp_path / "acdc")
    result = call(study, folder, code=1)
    assert "ACDC" in result.output and "--labels 1=RV,2=Myo,3=LV" in result.output
    call(study, folder, "--labels", "1=RV,2=Myo,3=LV")
    with Study.open(study) as opened:
        labels = opened.read_labels(opened.segmentations()[0])
    assert [int((labels == v).sum()) for v in (1, 2, 3)] == [3, 2, 1]


@pytest.mark.parametrize("labels", ["nonsense", "1=Kidney"])
def test_an_order_that_cannot_be_read_is_one_line(study, tmp_path, labels):
    result = call(study, acdc_folder(tmp_path / "acdc"), "--labels", labels, code=1)
    assert "cannot read" in result.output and "Traceback" not in result.output


def test_a_dry_run_shows_dicom_and_writes_nothing(study, tmp_path):
    folder = save(tmp_path / "in", cine())
    before = sorted(study.iterdir())
    found = json.loads(call(study, folder, "--dry-run", "--json").output)["found"]
    assert found[0]["shape_tzyx"] == [2, 3, 4, 5] and found[0]["spacing_zyx_mm"] == [8, 1.5, 1.25]
    assert found[0]["problem"] == ""
    assert sorted(p for p in study.iterdir() if p.suffix not in (".db-shm", ".db-wal")) == [
        p for p in before if p.suffix not in (".db-shm", ".db-wal")
    ]


def test_folders_of_one_series_belong_together(study, tmp_path):
    early, late = cine()
    save(tmp_path / "a", early)
    save(tmp_path / "b", late)
    document = json.loads(call(study, tmp_path / "a", tmp_path / "b", "--json").output)
    assert len(document["added"]) == 1
    with Study.open(study, read_only=True) as opened:
        assert opened.cases()[0].shape_tzyx == (2, 3, 4, 5)
    assert (study / "pseudonym.key").is_file()


def test_what_is_missing_is_told_and_no_name(study, tmp_path):
    pictures = cine()
    del pictures[1][2]
    result = call(study, save(tmp_path / "Surname_Given", pictures), code=1)
    assert "missing: phase 1" in result.output
    assert "Surname" not in result.output.replace(str(tmp_path), "")


def test_what_cannot_be_imported_names_its_place_once(study, tmp_path):
    pictures = cine()
    del pictures[1][2]
    folder = save(tmp_path / "scan", pictures)
    place = f"{folder} (DICOM series 7)"
    for arguments in ([], ["--dry-run"]):
        output = call(study, folder, *arguments, code=0 if arguments else 1).output
        assert output.count(place) == 1, output
        assert "slice" in output
    broken = tmp_path / "plain" / "a.nii.gz"
    broken.parent.mkdir()
    broken.write_bytes(b"no image")
    for arguments in ([], ["--dry-run"]):
        output = call(study, broken.parent, *arguments, code=0 if arguments else 1).output
        assert output.count(str(broken)) == 1, output
