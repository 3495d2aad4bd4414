from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from study_factory import make_items, make_model, propose

from napari_ssl.cli import main
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.rating import Rating
from napari_ssl.measures.flags import Severity
from napari_ssl.rounds.drift import raise_alarms, round_records, study_drift
from napari_ssl.study import Study

IMPOSSIBLE, IMPLAUSIBLE = ({"rule": "x", "severity": s.value} for s in (Severity.IMPOSSIBLE, Severity.IMPLAUSIBLE))


@pytest.fixture
def study(tmp_path: Path):
    with Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"]) as made:
        made.add_cases(make_items(tmp_path / "images"))
        yield made


def _model(study: Study, place: Path, name: str, round_: int, loss: float) -> None:
    make_model(study, place / name, name, round_)
    card = study.folder / "models" / name / "card.json"
    card.write_text(json.dumps({"model_id": name, "validation_loss": loss}))


def test_records_tell_of_models_proposals_and_ratings(study: Study, tmp_path: Path):
    _model(study, tmp_path, "m1", 1, 0.5)
    first, second, third = (propose(study, f"p{i}", i) for i in range(3))
    study.set_measures(first.id, {"flags": [IMPOSSIBLE]})
    study.set_measures(second.id, {"flags": [IMPLAUSIBLE]})
    folder = tmp_path / "qc"
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"w")
    (folder / "card.json").write_text(json.dumps({"id": "q1", "kind": "short-axis", "threshold": 0.5}))
    study.register_classifier(folder)
    study.add_score(second.id, "q1", 0.3)
    rating = Rating(
        case_id="p1",
        segmentation_id=second.id,
        reader="Ada",
        score=4,
        seconds=1,
        rated_at=datetime.now(UTC),
        app_version="1",
    )
    study.add_rating(rating)
    (record,) = round_records(study)
    assert (record.round, record.model_id, record.validation_loss) == (1, "m1", 0.5)
    assert record.flagged == {"p0": True, "p1": True}  # nobody has judged the third
    assert record.rated == ((0.3, True),) and third.id not in study.rule_flags()


def test_an_alarm_is_kept_with_the_model_and_told_once(study: Study, tmp_path: Path):
    _model(study, tmp_path, "m1", 1, 0.5)
    assert raise_alarms(study) == ()
    _model(study, tmp_path, "m2", 2, 0.7)
    loss, advice = raise_alarms(study)
    assert "validation loss" in loss and advice.startswith("Stop: round 2")
    assert study.model_alarms("m2") == {"validation-loss": loss} and study.model_alarms("m1") == {}
    assert raise_alarms(study) == ()
    study.promote("m1", by="Ada")
    study.promote("m2", by="Ada")
    assert study.rollback("Ada").id == "m1"  # an alarm is no promotion


def test_a_lost_card_does_not_stop_the_monitor(study: Study, tmp_path: Path):
    _model(study, tmp_path, "m1", 1, 0.5)
    (study.folder / "models" / "m1" / "card.json").write_text("{")
    assert study_drift(study).rounds[0].validation_loss is None


def test_the_command_tells_rounds_alarms_and_advice(study: Study, tmp_path: Path):
    _model(study, tmp_path, "m1", 1, 0.5)
    _model(study, tmp_path, "m2", 2, 0.7)
    said = CliRunner().invoke(main, ["qc", "drift", str(study.folder)])
    assert said.exit_code == 0, said.output
    assert "validation loss 0.7000" in said.output and "Stop: round 2" in said.output.splitlines()[-1]
    document = json.loads(CliRunner().invoke(main, ["qc", "drift", str(study.folder), "--json"]).stdout)
    assert document["stop"] and [a["kind"] for a in document["alarms"]] == ["validation-loss"]
    wide = CliRunner().invoke(main, ["qc", "drift", str(study.folder), "--set", "loss_rise_percent=100"])
    assert "Go on" in wide.output
    assert CliRunner().invoke(main, ["qc", "drift", str(study.folder), "--set", "colour=1"]).exit_code == 1
