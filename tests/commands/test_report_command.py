"""The page about a round: its numbers, its pictures, and that it needs nothing but itself."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.decision import Decision, Verdict
from napari_ssl.errors import CheckpointError
from napari_ssl.jobs.runner import run_here
from napari_ssl.report.round_page import _quality_blocks
from napari_ssl.rounds import training_spec
from napari_ssl.study.study import Study

sys.path.insert(0, str(Path(__file__).parents[1] / "rounds"))
from comparison_study import make_study

TINY = {"base_channels": 4, "levels": 3}


def train(study: Study, seed: int) -> dict:
    overrides = {"duration": "6 iterations", "batch_size": 4, "augmentation": "none", "learning_rate": 3e-3}
    spec = training_spec(
        study, strategy="supervised", overrides=overrides, network_overrides=TINY, seed=seed, device="cpu"
    )
    return run_here(study, spec, lambda e: None, lambda: False)


def command(*words) -> dict:
    outcome = CliRunner().invoke(main, [*map(str, words), "--json"])
    assert outcome.exit_code == 0, outcome.output
    return json.loads(outcome.stdout)


@pytest.fixture(scope="module")
def rounds(tmp_path_factory):
    """A study after two rounds, with one decision of each kind between them."""
    folder = tmp_path_factory.mktemp("rounds")
    study = make_study(folder)
    with study:
        first = train(study, 0)
        study.promote(first["model_id"], by="anna")
        reference = study.reference("patient001")
        for verdict, seconds in ((Verdict.ACCEPT, 6.0), (Verdict.REJECT, 12.0)):
            study.record(
                Decision(
                    case_id="patient001",
                    verdict=verdict,
                    reader="anna",
                    decided_at=datetime.now(UTC),
                    seconds=seconds,
                    segmentation_id=reference.id,
                    label_hash=reference.label_hash,
                    reason="Papillary muscle" if verdict is Verdict.REJECT else "",
                )
            )
        second = train(study, 1)
    return folder / "study", first, second


@pytest.fixture(scope="module")
def page(rounds, tmp_path_factory) -> Path:
    written = command("report", rounds[0], "--out", tmp_path_factory.mktemp("page"))
    assert all(Path(f).exists() for f in written["files"])
    return Path(written["files"][0])


def numbers_of(page: Path) -> dict:
    return json.loads(page.with_suffix(".json").read_text())


def test_the_page_shows_what_the_study_holds(rounds, page):
    _, first, second = rounds
    text = page.read_text()
    assert page.name == "round-2.html"
    for expected in (first["model_id"], second["model_id"], "Papillary muscle (1)", "anna", "Bland and Altman"):
        assert expected in text, expected
    numbers = numbers_of(page)
    dice = second["metrics"]["test"]["mean"]["dice"]
    for structure, mean in dice.items():
        assert numbers["scores"]["dice"][structure][second["model_id"]]["mean"] == pytest.approx(mean)
    (anna,) = numbers["readers"]
    assert (anna["verdicts"]["accept"], anna["verdicts"]["reject"], anna["cases"]) == (1, 1, 1)
    assert anna["minutes"] == pytest.approx(18 / 60) and anna["median_seconds"] == 9
    change = numbers["change"]["dice"]["mean"]
    assert change["difference"] == pytest.approx(change["new"] - change["old"])
    assert numbers["cohort"]["by_split"] == {"train": 5, "test": 2}


def test_the_page_needs_nothing_but_itself_and_its_figures_are_svg(page):
    text = page.read_text()
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)
    assert "http" not in re.sub(r"data:[^\"]*", "", text)
    assert text.count("<svg") >= 5
    figures = page.parent / "figures" / "round-2"
    assert {p.stem for p in figures.glob("*.svg")} == {p.stem for p in figures.glob("*.png")} >= {"dice", "rounds"}


def test_examples_are_drawn_from_the_label_maps_of_the_evaluation(rounds, page):
    text = page.read_text()
    numbers = numbers_of(page)
    dice = numbers["scores"]["dice"]["mean"][rounds[2]["model_id"]]["by_subject"]
    assert numbers["examples"]["best"] == max(dice, key=dice.get)
    assert text.count("data:image/png;base64,") == len(numbers["examples"]) == 2


def test_the_first_round_says_so_and_an_unknown_one_is_refused(rounds, tmp_path):
    command("report", rounds[0], "--round", 1, "--out", tmp_path)
    assert "This is the first round." in (tmp_path / "round-1.html").read_text()
    outcome = CliRunner().invoke(main, ["report", str(rounds[0]), "--round", "7"])
    assert outcome.exit_code == 1 and "no model of round 7; there are 1, 2" in outcome.output
    assert json.loads((tmp_path / "round-1.json").read_text())["readers"] == []


def test_a_study_without_a_model_is_told_what_to_do(tmp_path):
    make_study(tmp_path).close()
    outcome = CliRunner().invoke(main, ["report", str(tmp_path / "study")])
    assert outcome.exit_code == 1 and "train one first" in outcome.output


def test_a_damaged_classifier_is_told_on_the_page_and_the_rest_is_there(rounds, monkeypatch):
    from napari_ssl.rounds.round_summary import summarise_round

    def damaged(study, classifier_id):
        raise CheckpointError(f"classifier {classifier_id}: its weights were changed; restore it")

    monkeypatch.setattr(Study, "classifier", lambda study, kind: SimpleNamespace(id="judge"))
    monkeypatch.setattr(Study, "classifier_card", damaged)
    with Study.open(rounds[0], read_only=True) as study:
        document = summarise_round(study)
    assert document["quality"] == {"id": "judge", "problem": "classifier judge: its weights were changed; restore it"}
    (told,) = _quality_blocks(document, Path())
    assert told.is_warning and "restore it" in told.text
    assert document["scores"]
