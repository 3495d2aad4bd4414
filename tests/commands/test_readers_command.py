from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.decision import Decision, Verdict
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.segmentation import Source
from napari_ssl.io.images import Geometry, write_volume
from napari_ssl.io.layouts.item import ImportItem
from napari_ssl.study import Study

GRID = Geometry(size_xyz=(6, 5, 2), spacing_xyz=(1.5, 1.5, 8.0), origin_xyz=(0.0, 0.0, 0.0), is_4d=True)


@pytest.fixture
def study(tmp_path: Path):
    """Three proposals; Ada has accepted two and rejected one."""
    with Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"]) as made:
        for i in range(3):
            image = tmp_path / f"c{i}.nii.gz"
            write_volume(image, np.full((4, 2, 5, 6), i + 1, np.uint8), GRID)
            made.add_cases([ImportItem(subject_id=f"s{i}", case_id=f"c{i}", image_path=image)])
            labels = np.zeros((4, 2, 5, 6), np.uint8)
            labels[:, :, 1:3, 1:4] = 3
            made.add_segmentation(f"c{i}", labels, source=Source.MODEL, frames=range(4))
            _decide(made, f"c{i}", "Ada", Verdict.REJECT if i == 2 else Verdict.ACCEPT)
        yield made


def _decide(study: Study, case_id: str, reader: str, verdict: Verdict) -> None:
    version = study.current(case_id, reader)
    study.record(
        Decision(
            case_id=case_id,
            verdict=verdict,
            reader=reader,
            decided_at=datetime.now(UTC),
            seconds=4.0,
            segmentation_id=version.id,
            label_hash=version.label_hash,
            reason="RV wrong" if verdict is Verdict.REJECT else "",
        )
    )


def _run(*words: object) -> str:
    done = CliRunner().invoke(main, ["readers", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.output


def test_second_reads_are_planned_listed_read_and_compared(study: Study):
    assert "3 second reads for Bob" in _run("plan", "second", study.folder, "--reader", "Bob", "--share", 1)
    listed = json.loads(_run("tasks", study.folder, "--json"))["tasks"]
    assert [(t["case"], t["reader"], t["kind"], t["done"]) for t in listed] == [
        (f"c{i}", "Bob", "second-read", False) for i in range(3)
    ]
    for i in range(3):
        _decide(study, f"c{i}", "Bob", Verdict.ACCEPT if i == 0 else Verdict.REJECT)
    document = json.loads(_run("agreement", study.folder, "--json"))
    (pair,) = document["between"]
    assert pair["n"] == 3 and pair["agreement"] == pytest.approx(2 / 3) and pair["labels"]["dice"]["mean"] == 1.0
    text = _run("agreement", study.folder)
    assert "Ada and Bob: 3 cases, kappa 0.40" in text and "readers differ on: c1" in text
    assert "Bob: 3 read (1 accepted, 0 corrected, 2 rejected, 4 s a case)" in text
    assert "1 case to settle for Cyn" in _run("plan", "adjudication", study.folder, "--reader", "Cyn")
    assert "1 planned reads withdrawn" in _run("withdraw", study.folder, "--reader", "Cyn")


def test_repeats_are_planned_once_decisions_are_old(study: Study):
    assert "0 hidden repeats" in _run("plan", "repeats", study.folder, "--reader", "Ada", "--share", 1)
    words = ("plan", "repeats", study.folder, "--reader", "Ada", "--share", 1, "--after-days", 0, "--json")
    assert len(json.loads(_run(*words))["added"]) == 3


def test_what_cannot_be_planned_is_one_line_and_status_1(study: Study):
    for words, message in (
        (("plan", "second", study.folder, "--reader", "Bob", "--share", "2"), "share of cases"),
        (("plan", "gold", study.folder, "--reader", "Bob"), "predict labelled cases first"),
    ):
        done = CliRunner().invoke(main, ["readers", *map(str, words)])
        assert done.exit_code == 1 and message in done.output and len(done.output.strip().splitlines()) == 1
