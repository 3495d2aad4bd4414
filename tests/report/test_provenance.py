"""Provenance: from a model to the decisions that let its cases in, from labels to the model that proposed them."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.decision import PlaceVerdict, Verdict
from napari_ssl.core.model import Model, ModelState
from napari_ssl.core.reading import ReadingTask
from napari_ssl.core.segmentation import Source
from napari_ssl.errors import UnknownCaseError
from napari_ssl.report.html import render_page
from napari_ssl.report.provenance import case_page, model_page

sys.path.insert(0, str(Path(__file__).parents[1] / "study"))
from study_factory import SHAPE, decide, make_items, make_labels, make_model, propose

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.study.study import Study


def _second_model(study: Study, folder: Path, cases: list, frames: dict) -> None:
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"second")
    card = {"training_cases": cases, "training_frames": frames, "parents": ["m1"], "parameters": {"lambda": 0.5}}
    (folder / "card.json").write_text(json.dumps(card))
    study.register_model(
        Model(
            id="m2",
            spec_hash="1" * 64,
            strategy="supervised",
            network="res-unet",
            round=2,
            parents=("m1",),
            metrics={"test": {"cases": [], "mean": {"dice": {"LV": 0.91}}}},
            state=ModelState.CANDIDATE,
            created_at=datetime.now(UTC),
        ),
        folder,
    )


@pytest.fixture
def study(tmp_path):
    """m1 proposed p0, p1 and p2; Ada accepted p0, Bo corrected p1, Ada's acceptance of p2 taken back; m2 learned."""
    with Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"]) as study:
        study.add_cases(make_items(tmp_path / "images", n=4, n_labelled=0))
        make_model(study, tmp_path / "m1")
        p0, p1, p2 = (propose(study, f"p{i}", i) for i in range(3))
        study.record(decide(p0, comment="clear <borders>"))
        frames = tuple(range(SHAPE[0]))
        corrected = study.add_segmentation(
            "p1", make_labels(7, frames), source=Source.CORRECTED, frames=frames, parent_id=p1.id, reader="Bo"
        )
        study.record(decide(corrected, Verdict.CORRECT, reader="Bo"))
        study.add_place_verdict(
            PlaceVerdict(
                case_id="p0",
                segmentation_id=p0.id,
                label_hash=p0.label_hash,
                reader="Ada",
                frame=3,
                verdict="wrong",
                reason="RV wrong",
                judged_at=datetime.now(UTC),
            )
        )
        accepted = study.record(decide(p2))
        cases = [
            ["p0", "accepted", p0.label_hash],
            ["p1", "corrected", corrected.label_hash],
            ["p2", "accepted", p2.label_hash],
        ]
        _second_model(study, tmp_path / "m2", cases, {"p0": [0, 1, 2]})
        study.take_back(accepted.id, reader="Ada")
        yield study


def _text(page) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", render_page(page)))


def _row(page, case_id: str) -> str:
    rows = re.findall(r"<tr.*?</tr>", render_page(page), re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", next(r for r in rows if f">{case_id}<" in r)))


def test_a_model_goes_back_to_the_decision_behind_each_case(study):
    page = model_page(study, "m2")
    assert re.search(r"p0 accepted version 1 without frames 3 m1 Ada .* 3 s", _row(page, "p0"))
    assert re.search(r"p1 corrected version 2 m1 Bo", _row(page, "p1"))
    assert "taken back since" in _row(page, "p2")
    assert "clear &lt;borders&gt;" in render_page(page)


def test_a_model_goes_back_to_the_models_before_it(study):
    text = _text(model_page(study, "m2"))
    assert "Before it: m1" in text
    assert "LV 0.910" in text


def test_a_case_tells_versions_decisions_places_and_uses(study):
    text = _text(case_page(study, "p0"))
    assert "frame 3" in text and "RV wrong" in text
    assert re.search(r"m2 accepted version 1", text)
    corrected = _text(case_page(study, "p1"))
    assert re.search(r"2 corrected Bo .* version 1", corrected)
    assert "Proposed labels: m1" in corrected
    assert "takes decision" in _text(case_page(study, "p2"))


def test_a_blind_reader_is_shown_the_labels_and_nothing_that_was_said_of_them(study):
    labels = study.segmentations("p0")[0]
    task = ReadingTask(
        case_id="p0", segmentation_id=labels.id, reader="Bo", kind="second-read", created_at=datetime.now(UTC)
    )
    study.add_reading_tasks([task])
    text = _text(case_page(study, "p0", reader="Bo"))
    assert "1 model m1" in text
    assert "Ada" not in text and "RV wrong" not in text and "m2" not in text
    assert "Ada" in _text(case_page(study, "p0", reader="Ada"))


def test_a_lost_card_is_said_and_hides_nothing_else(study):
    (study.folder / "models" / "m2" / "card.json").unlink()
    text = _text(model_page(study, "m2"))
    assert "card of this model is lost" in text
    assert "registered" in text


def test_the_page_needs_nothing_but_itself(study):
    html = render_page(model_page(study, "m2"))
    assert "http" not in html.replace("http-equiv", "") and "<script" not in html


def test_an_unknown_model_is_named(study):
    with pytest.raises(UnknownCaseError, match="m9"):
        model_page(study, "m9")


def test_the_command_writes_the_page(study, tmp_path):
    target = tmp_path / "out" / "page.html"
    outcome = CliRunner().invoke(
        main, ["provenance", str(study.folder), "--model", "m2", "--out", str(target), "--json"]
    )
    assert outcome.exit_code == 0, outcome.output
    assert json.loads(outcome.stdout)["page"] == str(target)
    assert "Where model m2 comes from" in target.read_text()
    outcome = CliRunner().invoke(main, ["provenance", str(study.folder), "--case", "p1"])
    assert Path(outcome.stdout.strip()).parent == study.folder / "reports"
    assert CliRunner().invoke(main, ["provenance", str(study.folder)]).exit_code == 2
