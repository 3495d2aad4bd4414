from __future__ import annotations

import dataclasses

import pytest

from napari_ssl.core.case import Split
from napari_ssl.core.subject import Subject
from napari_ssl.errors import StudyError, UnknownCaseError
from napari_ssl.study import Study


def test_the_body_surface_area_is_mostellers():
    someone = Subject(id="s", split=Split.TRAIN, height_cm=180, weight_kg=80)
    assert someone.body_surface_area_m2 == pytest.approx(2.0)  # √(180 · 80 / 3600) = √4
    assert dataclasses.replace(someone, weight_kg=None).body_surface_area_m2 is None


def test_what_is_said_of_a_subject_stays_and_the_rest_is_left_alone(study: Study):
    assert study.subject("s0").sex is None
    study.set_subject("s0", sex="F", height_cm=170.0)
    changed = study.set_subject("s0", weight_kg=65.5, birth_year=1960)
    assert changed == study.subject("s0")
    assert (changed.sex, changed.height_cm, changed.weight_kg, changed.birth_year) == ("F", 170.0, 65.5, 1960)
    assert study.set_subject("s0", sex=None).sex is None and study.subject("s0").height_cm == 170.0
    assert [s.id for s in study.subjects()] == [f"s{i}" for i in range(6)]


def test_bodies_that_there_are_not_are_refused(study: Study):
    for values, message in (
        ({"sex": "female"}, "sex is 'female', use F, M"),
        ({"height_cm": 1.78}, "height_cm is 1.78, expected 20 to 260"),
        ({"weight_kg": float("nan")}, "weight_kg is nan"),
        ({"birth_year": 60}, "birth_year is 60"),
    ):
        with pytest.raises(StudyError, match=message):
            study.set_subject("s0", **values)
    with pytest.raises(UnknownCaseError, match="no subject 's99'"):
        study.set_subject("s99", sex="M")
    assert study.subject("s0") == Subject(id="s0", split=study.subject("s0").split)
