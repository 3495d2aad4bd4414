"""Files from elsewhere, damaged or malicious: an error in words or a valid object, never a crash or a path outside.

``NAPARI_SSL_FUZZ=100000 pytest tests/study/test_fuzz_documents.py`` tries so many of each.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_ssl.core.cohort import CohortSpec
from napari_ssl.core.job import Event, EventKind
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.quality import QcScoringSpec, QcTrainingSpec
from napari_ssl.core.training import (
    PredictionSpec,
    Preprocessing,
    Role,
    StartModel,
    TrainingItem,
    TrainingSpec,
    spec_from_dict,
)
from napari_ssl.errors import NapariSslError, StudyError
from napari_ssl.jobs.events import EventReader
from napari_ssl.jobs.place import read_line
from napari_ssl.study.settings import StudySettings, read_settings, write_settings
from napari_ssl.study.storage import inside

MANY = settings(
    max_examples=int(os.environ.get("NAPARI_SSL_FUZZ", "60")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["../../etc/passwd", "/etc/passwd", "CON", "a\0b", "train", "predict", "1", "inf"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def _order() -> dict:
    item = TrainingItem(
        case_id="a",
        subject_id="a",
        image_path="/a.nii.gz",
        image_hash="0",
        spacing_zyx_mm=(1, 1, 1),
        frames=(0,),
        role=Role.UNLABELLED,
    )
    model = StartModel(
        model_id="m",
        weights_path="/w",
        weights_hash="0",
        network="res-unet",
        network_parameters={},
        preprocessing=Preprocessing(),
    )
    spec = PredictionSpec(model=model, label_scheme=PRESETS["acdc"], items=(item,))
    return json.loads(json.dumps(spec.to_dict()))


def _places(document, at=()):
    """Every place of a document, as a path of keys."""
    yield at
    pairs = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in enumerate(document) if isinstance(document, list) else pairs:
        yield from _places(value, (*at, key))


def _changed(document, place, value):
    if not place:
        return value
    copied = document.copy()
    copied[place[0]] = _changed(document[place[0]], place[1:], value)
    return copied


@MANY
@given(st.sampled_from(list(_places(_order()))), VALUES)
def test_an_order_with_any_value_changed_is_read_or_refused(place, value):
    try:
        spec = spec_from_dict(_changed(_order(), place, value))
    except NapariSslError:
        return
    assert isinstance(spec, TrainingSpec | PredictionSpec | QcTrainingSpec | QcScoringSpec)


def _cohort():
    spec = CohortSpec(model_id="m", cases=("a", "b"), ensemble=("n",), confidence=("entropy",))
    return json.loads(json.dumps(spec.to_dict()))


@MANY
@given(st.sampled_from(list(_places(_cohort()))), VALUES)
def test_an_order_of_a_cohort_with_any_value_changed_is_read_or_refused(place, value):
    try:
        spec = spec_from_dict(_changed(_cohort(), place, value))
    except NapariSslError:
        return
    assert isinstance(spec, CohortSpec) and len(spec.hash) == 64
    assert spec_from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@MANY
@given(VALUES)
def test_any_document_is_no_order_or_a_whole_one(document):
    with pytest.raises(NapariSslError):
        spec_from_dict(document)


@pytest.fixture(scope="module")
def study_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_settings(
        folder, StudySettings(name="s", label_scheme=PRESETS["acdc"], preprocessing=Preprocessing(crop_yx=(32, 32)))
    )
    return folder


@MANY
@given(st.data())
def test_a_study_file_with_changed_bytes_is_read_or_refused(study_folder, data):
    path = study_folder / "study.toml"
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole)))
    inserted, n_lost = data.draw(st.binary(max_size=12)), data.draw(st.integers(0, 40))
    path.write_bytes(whole[:place] + inserted + whole[place + n_lost :])
    try:
        assert isinstance(read_settings(study_folder), StudySettings)
    except NapariSslError as error:
        assert "study.toml" in str(error)
    finally:
        path.write_bytes(whole)


@MANY
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: "napari-ssl-server:" + b.hex()))
def test_any_text_is_no_line_of_a_server(text):
    with pytest.raises(NapariSslError):
        read_line(text)


@MANY
@given(content=st.binary(max_size=300) | VALUES.map(lambda v: json.dumps(v).encode()))
def test_any_bytes_among_the_events_are_skipped(study_folder, content):
    path = study_folder / "events.jsonl"
    good = json.dumps(Event(kind=EventKind.NOTICE, data={"message": "m"}).to_dict()).encode()
    path.write_bytes(content + b"\n" + good + b"\n")
    assert EventReader(study_folder).read_new()[-1].data["message"] == "m"


NAMES = st.lists(
    st.sampled_from(
        ["..", ".", "", "a", "labels", "link", "~", "CON", "nul.txt", "a:b", "a\\b", "a\0b", "/", "%2e%2e"]
    ),
    min_size=1,
    max_size=6,
).map("/".join)


@MANY
@given(NAMES | st.text(max_size=30))
def test_no_name_leads_out_of_a_study(study_folder, name):
    link = study_folder / "link"
    if not link.is_symlink():
        link.symlink_to("/")
    try:
        path = inside(study_folder, name)
    except StudyError:
        return
    assert path.resolve().is_relative_to(study_folder.resolve())
    assert path.name.split(".")[0].upper() not in {"CON", "NUL"} and ":" not in path.name


def test_an_identifier_cannot_be_a_path(study_folder):
    from napari_ssl.study.base import check_identifier

    for name in ("..", "../a", "/a", "a/b", "a\\b", "", ".", "a" * 81, "a\n", "con", "NUL", "com1.txt", 3):
        with pytest.raises(StudyError):
            check_identifier("case", name)


def test_the_order_that_is_fuzzed_is_valid_as_it_is():
    assert dataclasses.is_dataclass(spec_from_dict(_order())) and Path("/a.nii.gz").is_absolute()
