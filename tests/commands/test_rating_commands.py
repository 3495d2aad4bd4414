from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.rating import Rating
from napari_ssl.core.segmentation import Source
from napari_ssl.io.images import Geometry, write_volume
from napari_ssl.io.layouts.item import ImportItem
from napari_ssl.study import Study

GRID = Geometry(size_xyz=(6, 5, 2), spacing_xyz=(1.5, 1.5, 8.0), origin_xyz=(0.0, 0.0, 0.0), is_4d=True)


@pytest.fixture
def study(tmp_path: Path):
    with Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"]) as made:
        for i in range(3):
            image = tmp_path / f"c{i}.nii.gz"
            write_volume(image, np.full((4, 2, 5, 6), i + 1, np.uint8), GRID)
            made.add_cases([ImportItem(subject_id=f"s{i}", case_id=f"c{i}", image_path=image)])
            labels = np.zeros((4, 2, 5, 6), np.uint8)
            labels[:, :, 1:3, 1:4] = 3
            made.add_segmentation(f"c{i}", labels, source=Source.MODEL, frames=range(4))
        yield made


def _run(*words) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["qc", "ratings", *map(str, words)])
    return done.exit_code, done.output


def _rate(study: Study, case_id: str, reader: str, score: int) -> Rating:
    return study.add_rating(
        Rating(
            case_id=case_id,
            segmentation_id=study.proposal(case_id).id,
            reader=reader,
            score=score,
            seconds=4.0,
            rated_at=datetime.now(UTC),
            app_version="1",
        )
    )


def test_ratings_go_out_as_a_table_and_come_back(study: Study, tmp_path: Path):
    _rate(study, "c0", "Ada", 4)
    table = tmp_path / "ratings.csv"
    assert _run("export", study.folder, table) == (0, f"1 ratings in {table}\n")
    assert [r["score"] for r in csv.DictReader(table.open())] == ["4"]
    table.write_text("case,reader,score\nc0,Bob,1\nc1,Bob,3\n")
    assert _run("import", study.folder, table) == (0, "2 ratings added\n")
    code, said = _run("import", study.folder, table, "--json")
    assert code == 0 and json.loads(said) == {"added": 0}
    table.write_text("case,reader,score\nc9,Bob,1\n")
    code, said = _run("import", study.folder, table)
    assert code == 1 and "line 2" in said and "no case 'c9'" in said


def test_agreement_is_told_and_ties_are_settled(study: Study):
    for case_id, ada, bob in (("c0", 4, 3), ("c1", 1, 2), ("c2", 4, 1)):
        _rate(study, case_id, "Ada", ada)
        _rate(study, case_id, "Bob", bob)
    code, said = _run("agreement", study.folder)
    number = study.proposal("c2").id
    assert code == 0 and "Ada and Bob: kappa 0.40" in said and f"c2 (version {number})" in said
    document = json.loads(_run("agreement", study.folder, "--json")[1])
    assert document["to_settle"] == [{"segmentation": number, "case": "c2"}] and document["n_shared"] == 3
    code, said = _run("settle", study.folder, number, 2, "--by", "Eve")
    assert (code, said) == (0, f"Case c2, version {number}: erroneous\n")
    assert "to be settled" not in _run("agreement", study.folder)[1]
    assert _run("settle", study.folder, number, 7)[0] == 2
    assert _run("settle", study.folder, 999, 2)[0] == 1


def test_a_study_without_ratings_says_so(study: Study):
    code, said = _run("agreement", study.folder)
    assert code == 0 and said.startswith("No rating yet")
