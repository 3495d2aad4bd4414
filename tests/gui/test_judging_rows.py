"""What dialogs and forms say, without the window: indices, what a training begins with, a model's kept labels."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from panel_fakes import add_models, make_study

from napari_ssl.core.case import Split
from napari_ssl.core.curve import ClinicalIndices
from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.core.subject import Subject
from napari_ssl.core.training import StartModel
from napari_ssl.errors import LabelError
from napari_ssl.gui.index_rows import index_rows
from napari_ssl.gui.keys import ACTIONS, KeyTable
from napari_ssl.gui.model_view import labels_of_model, load_comparison
from napari_ssl.gui.training_start import begins_with

_INDICES = ClinicalIndices(lv_edv_ml=240.0, lv_esv_ml=70.0, lv_sv_ml=100.0, lv_ef_percent=40.0, lv_mass_g=160.0)


def _texts(subject, **more):
    rows = index_rows(_INDICES, ("LV", None), subject, **more)
    return {row[0].text: [cell.text for cell in row[1:]] for row in rows}


def test_without_a_subject_there_are_values_alone_and_the_tip_says_what_more_needs():
    rows = index_rows(_INDICES, ("LV", None), None)
    assert [[c.text for c in row] for row in rows][:2] == [["", "LV"], ["EDV", "240 ml"]]
    assert "sex, height and weight" in rows[1][1].tip


def test_sex_marks_what_is_outside_and_names_the_range():
    man = Subject(id="s", split=Split.TRAIN, sex="M")
    texts = _texts(man)
    assert texts[""] == ["LV", "normal"]
    assert texts["EDV"] == ["↑ 240 ml", "103–229"]
    assert texts["SV"] == ["100 ml", "57–135"]
    assert texts["EF"] == ["↓ 40.0 %", "48–68"]
    assert texts["Mass"] == ["160 g", "–"]  # known per m² alone


def test_where_there_is_little_room_the_unit_moves_and_the_range_stays():
    man = Subject(id="s", split=Split.TRAIN, sex="M")
    texts = _texts(man, narrow=True)
    assert texts["EDV ml"] == ["↑ 240", "103–229"]
    assert texts["EF %"] == ["↓ 40.0", "48–68"]


def test_body_surface_gives_values_per_m2_with_their_own_range():
    man = Subject(id="s", split=Split.TRAIN, sex="M", height_cm=180.0, weight_kg=80.0)
    texts = _texts(man)
    assert texts["EDV"] == ["↑ 240 ml", "120", "103–229"]
    assert texts["Mass"] == ["160 g", "↑ 80", "35–71/m²"]
    woman = dataclasses.replace(man, sex="F")
    assert _texts(woman)["EF"][0] == "↓ 40.0 %" and _texts(woman)["EDV"][2] == "83–165"


def _start(**changed) -> StartModel:
    values = {"crop_yx": (96, 96)}
    return StartModel(
        model_id="r001",
        weights_path="w",
        weights_hash="0" * 64,
        network=changed.get("network", "res-unet"),
        network_parameters={"levels": 3},
        preprocessing=Preprocessing(**{**values, **changed.get("preprocessing", {})}),
    )


@pytest.mark.parametrize(
    ("start", "brought", "said"),
    [
        (None, {}, ""),
        (_start(), {}, "Begins with the promoted model r001."),
        (_start(), {"crop_yx": (128, 128)}, "crop yx 96×96, not 128×128"),
        (_start(preprocessing={"crop_yx": (64, 64)}), {}, "crop yx 64×64, not 96×96"),
        (_start(network="unet"), {}, "random weights: r001 is a"),
    ],
)
def test_the_form_says_what_a_training_begins_with_before_it_starts(start, brought, said):
    text = begins_with(start, "res-unet", {"levels": 3}, Preprocessing(crop_yx=(96, 96)), brought)
    assert said in text if said else text == ""
    assert begins_with(_start(), "res-unet", {"levels": 4}, Preprocessing(crop_yx=(96, 96)), {}).count("other values")


def test_labels_that_a_measurement_kept_are_found_for_their_model(tmp_path):
    with make_study(tmp_path) as study:
        add_models(study, tmp_path)
        reference = study.reference("test0")
        assert labels_of_model(study, "r001-aaaa", "test0") is None
        with pytest.raises(LabelError, match="Measure on test cases"):
            load_comparison(study, "test0", "Ada", "r001-aaaa", "r002-bbbb")
        for number, model_id in enumerate(("r001-aaaa", "r002-bbbb")):
            folder = study.folder / "runs" / f"job{number}" / "evaluation"
            folder.mkdir(parents=True)
            (folder.parent / "spec.json").write_text(json.dumps({"model": {"model_id": model_id}}))
            source = study.folder / reference.label_path
            (folder / "test0.labels.nii.gz").write_bytes(Path(source).read_bytes())
        labels, frames = labels_of_model(study, "r002-bbbb", "test0")
        assert np.array_equal(labels, study.read_labels(reference)) and frames == reference.frames
        loaded = load_comparison(study, "test0", "Ada", "r001-aaaa", "r002-bbbb")
        assert loaded.segmentation is None and loaded.previous is not None and loaded.reference is not None


def test_every_action_can_have_another_key_and_none_is_taken_twice(qapp, home):
    table = KeyTable()
    keys = [k for a in ACTIONS for k in table.keys(a.id)]
    assert len(keys) == len(set(keys))
    for number, action in enumerate(ACTIONS, start=1):
        table.set_keys(action.id, (f"Ctrl+Alt+Shift+F{number % 35 + 1}",) if number <= 35 else ())
        assert table.keys(action.id) != action.keys
