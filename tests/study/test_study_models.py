from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from study_factory import make_model

from napari_ssl.core.model import ModelState
from napari_ssl.errors import CheckpointError, StudyError, UnknownCaseError
from napari_ssl.study import Study


@pytest.fixture
def models(study: Study, tmp_path: Path) -> list[str]:
    return [make_model(study, tmp_path / name, name, i).id for i, name in enumerate(("a", "b", "c"), start=1)]


def test_a_registered_model_brings_its_files(study: Study, models: list[str], tmp_path: Path):
    assert [m.id for m in study.models()] == models
    assert study.model_weights("b").read_bytes() == b"b" * 10
    assert study.model_weights("b").is_relative_to(study.folder / "models" / "b")
    assert study.model_card("b") == {"model_id": "b"}
    assert study.model("b").state is ModelState.CANDIDATE and study.promoted() is None
    assert study.next_round() == 4


def test_registering_twice_gives_one_model_and_never_replaces_weights(study: Study, models: list[str], tmp_path: Path):
    make_model(study, tmp_path / "a", "a")
    assert len(study.models()) == 3
    (tmp_path / "a" / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(StudyError, match=r"exists already with other weights"):
        study.register_model(study.model("a"), tmp_path / "a")
    assert study.model_weights("a").read_bytes() == b"a" * 10


def test_a_model_without_files_or_with_a_bad_name_is_refused(study: Study, models: list[str], tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is absent"):
        study.register_model(dataclasses.replace(study.model("a"), id="d"), tmp_path)
    with pytest.raises(StudyError, match=r"model '../d'"):
        study.register_model(dataclasses.replace(study.model("a"), id="../d"), tmp_path / "a")
    with pytest.raises(StudyError, match=r"register it as candidate"):
        study.register_model(dataclasses.replace(study.model("a"), state=ModelState.PROMOTED), tmp_path / "a")


def test_one_model_is_promoted_at_a_time(study: Study, models: list[str]):
    study.promote("a", by="Ada")
    assert study.promote("b", by="Ada").state is ModelState.PROMOTED
    assert study.promoted().id == "b"
    assert [m.state.value for m in study.models()] == ["archived", "promoted", "candidate"]
    events = [(e["model_id"], e["event"], e["by"]) for e in study.model_events() if e["event"] != "registered"]
    assert events == [("a", "promoted", "Ada"), ("b", "promoted", "Ada")]


def test_rolling_back_walks_back_through_the_promotions(study: Study, models: list[str]):
    for model_id in models:
        study.promote(model_id, by="Ada")
    assert study.rollback("Bob").id == "b"
    assert study.rollback("Bob").id == "a"
    with pytest.raises(StudyError, match=r"none to go back to"):
        study.rollback("Bob")
    study.promote("c", by="Ada")
    assert study.rollback("Bob").id == "a" == study.promoted().id


def test_a_discarded_model_is_not_rolled_back_to(study: Study, models: list[str]):
    for model_id in ("a", "b", "a", "c"):
        study.promote(model_id, by="Ada")
    study.archive("a", "Ada")
    assert study.rollback("Ada").id == "b"


def test_the_promoted_model_cannot_be_discarded(study: Study, models: list[str]):
    study.promote("a", by="Ada")
    with pytest.raises(StudyError, match=r"a is promoted; promote another one or roll back"):
        study.archive("a", "Ada")
    assert study.archive("b", "Ada").state is ModelState.ARCHIVED


def test_changes_need_a_name_and_a_model(study: Study, models: list[str]):
    with pytest.raises(StudyError, match=r"needs the name of who did it"):
        study.promote("a", by=" ")
    assert study.promoted() is None
    with pytest.raises(UnknownCaseError, match=r"no model 'x'"):
        study.promote("x", by="Ada")


def test_metrics_are_kept_by_split(study: Study, models: list[str]):
    study.set_model_metrics("a", "validation", {"mean": {"dice": {"LV": np.float32(0.5)}}, "sd": float("nan")})
    study.set_model_metrics("a", "test", {"n": np.int64(3)})
    assert study.model("a").metrics == {"validation": {"mean": {"dice": {"LV": 0.5}}, "sd": None}, "test": {"n": 3}}


def test_absent_weights_are_named(study: Study, models: list[str]):
    (study.folder / "models" / "a" / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model a: its weights .* are absent"):
        study.model_weights("a")
