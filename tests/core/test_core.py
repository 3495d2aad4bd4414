"""The central types refuse what contradicts itself, and say what to do."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime

import numpy as np
import pytest

import napari_ssl.errors as errors
from napari_ssl.core.case import Case
from napari_ssl.core.catalogue import NETWORKS, POLICIES, STRATEGIES, CRFParameters, choose, preset_values
from napari_ssl.core.curve import VolumeCurve
from napari_ssl.core.decision import Decision, ReviewState, Verdict, review_state
from napari_ssl.core.duration import Duration
from napari_ssl.core.job import Event, EventKind
from napari_ssl.core.label_scheme import PRESETS, LabelScheme, StructureRole
from napari_ssl.core.parameters import describe, from_mapping, from_texts
from napari_ssl.core.training import (
    PredictionSpec,
    Preprocessing,
    Role,
    StartModel,
    TrainingItem,
    TrainingSpec,
    spec_from_dict,
)
from napari_ssl.errors import CatalogueError, DecisionError, LabelError, SchemeError, SpecError


def item(case_id="a", subject_id=None, role=Role.LABELLED, **changes):
    values = {
        "case_id": case_id,
        "subject_id": subject_id or case_id,
        "image_path": f"/images/{case_id}.nii.gz",
        "image_hash": "1" * 64,
        "spacing_zyx_mm": (10.0, 1.5, 1.5),
        "frames": (0, 5),
        "role": role,
        "label_path": "/labels/x.nii.gz" if role.has_labels else None,
        "label_hash": "2" * 64 if role.has_labels else None,
    }
    return TrainingItem(**{**values, **changes})


def spec(**changes):
    values = {
        "strategy": "supervised",
        "network": "res-unet",
        "label_scheme": PRESETS["acdc"],
        "preprocessing": Preprocessing(),
        "items": (item("a"), item("b", role=Role.UNLABELLED)),
        "validation": (item("v"),),
        "evaluation": (item("t"),),
    }
    return TrainingSpec(**{**values, **changes})


def decision(number, verdict, segmentation_id=1, retracts_id=None):
    return Decision(
        id=number, case_id="a", verdict=verdict, reader="anna", decided_at=datetime.now(UTC), seconds=3.0,
        segmentation_id=segmentation_id, label_hash="0", reason="RV wrong" if verdict == "reject" else "",
        retracts_id=retracts_id,
    )  # fmt: skip


def test_acdc_and_uk_biobank_number_their_structures_differently():
    acdc, ukbb = PRESETS["acdc"], PRESETS["ukbb"]
    assert [acdc.by_role(r).value for r in ("lv_cavity", "myocardium", "rv_cavity")] == [3, 2, 1]
    assert [ukbb.by_role(r).value for r in ("lv_cavity", "myocardium", "rv_cavity")] == [1, 2, 3]


def test_a_scheme_is_read_from_text_and_survives_json():
    scheme = LabelScheme.parse("7=LV:lv_cavity, 200 = Myo : myocardium")
    assert scheme.values == (7, 200)
    assert LabelScheme.from_dict(json.loads(json.dumps(scheme.to_dict()))) == scheme
    labels = np.array([0, 7, 200, 7], np.uint8)
    np.testing.assert_array_equal(scheme.to_classes(labels), [0, 1, 2, 1])
    np.testing.assert_array_equal(scheme.from_classes(scheme.to_classes(labels)), labels)


@pytest.mark.parametrize(
    "text", ["", "LV", "1=LV,1=RV", "0=LV", "256=LV", "1=LV:heart", "1=LV:lv_cavity,2=L:lv_cavity", "1=../x"]
)
def test_a_contradictory_scheme_is_refused(text):
    with pytest.raises(SchemeError):
        LabelScheme.parse(text)


def test_an_alien_label_value_is_named_with_the_known_ones():
    with pytest.raises(LabelError, match=r"file\.nii: label value 5 is not in the label scheme 'acdc'.*1=RV"):
        PRESETS["acdc"].check(np.array([0, 1, 5]), "file.nii")


@pytest.mark.parametrize("case_id", ["", "../x", "a/b", ".hidden", "a" * 81, "CON:"])
def test_a_case_id_cannot_leave_its_folder(case_id):
    with pytest.raises(errors.StudyError):
        Case(
            id=case_id, subject_id="s", split="train", image_path="/x", image_hash="0", spacing_zyx_mm=(1, 1, 1),
            shape_tzyx=(1, 1, 2, 2),
        )  # fmt: skip


def test_a_subject_in_training_and_test_is_refused():
    with pytest.raises(SpecError, match="subject s is in both training and test"):
        spec(items=(item("a", "s"),), evaluation=(item("t", "s"),))


def test_unlabelled_cases_alone_are_no_training_set():
    with pytest.raises(SpecError, match="no labelled case"):
        spec(items=(item("b", role=Role.UNLABELLED),))


def test_an_order_survives_json_and_its_hash_ignores_paths_but_not_labels():
    first = spec()
    assert spec_from_dict(json.loads(json.dumps(first.to_dict()))) == first
    moved = spec(items=(item("a", image_path="/elsewhere/a.nii.gz"), item("b", role=Role.UNLABELLED)))
    relabelled = spec(items=(item("a", label_hash="3" * 64), item("b", role=Role.UNLABELLED)))
    assert first.hash == moved.hash != relabelled.hash
    assert first.hash != spec(seed=1).hash


@pytest.mark.parametrize("document", [{}, {"kind": "train"}, {"kind": "delete"}, {"kind": "predict", "items": 3}])
def test_a_malformed_order_is_refused_in_words(document):
    with pytest.raises((SpecError, SchemeError)):
        spec_from_dict(document)


def test_every_entry_has_a_paper_a_sentence_and_presets_that_are_valid():
    for entry in (*STRATEGIES.values(), *NETWORKS.values()):
        assert entry.paper
        assert entry.sentence.endswith(".")
        assert all(i.title and i.source for i in describe(entry.parameters))
    for entry in STRATEGIES.values():
        assert {"paper", "quick"} <= set(entry.presets)
        for preset in entry.presets:
            preset_values(entry, preset, {})
    assert {"accept-all", "oracle", "clinician"} <= set(POLICIES)


def test_defaults_of_alternating_crf_are_the_papers():
    values = preset_values(STRATEGIES["alternating-crf"], "paper", {})
    paper = {
        "lam": 1.0, "alternations": 3, "initial": "500 epochs", "per_alternation": "100 epochs", "batch_size": 20,
        "learning_rate": 0.001, "optimiser": "sgd", "loss": "cross-entropy", "w1": 1.0, "w2": 2.0,
        "sigma_alpha": 0.5, "sigma_beta": 1.0, "sigma_gamma": 1.0, "crf": True,
    }  # fmt: skip
    assert {name: values[name] for name in paper} == paper


@pytest.mark.parametrize("values", [{"w1": -1.0}, {"w1": float("nan")}, {"w1": "x"}, {"backend": "gpu"}, {"w9": 1.0}])
def test_a_parameter_outside_its_limits_is_refused_by_name(values):
    with pytest.raises(CatalogueError, match=next(iter(values))):
        from_mapping(CRFParameters, values)


def test_parameters_are_read_from_words():
    kind = STRATEGIES["alternating-crf"].parameters
    assert from_texts(kind, ("lam=0.5", "crf=no", "alternations=2")) == {"lam": 0.5, "crf": False, "alternations": 2}
    for words in (("lam",), ("nothing=1",), ("alternations=two",)):
        with pytest.raises(CatalogueError):
            from_texts(kind, words)


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(CatalogueError, match="supervised, alternating-crf"):
        choose(STRATEGIES, "magic", "strategy")


@pytest.mark.parametrize(
    ("text", "n_slices", "expected"),
    [("500 epochs", 422, 10550), ("500 epochs", 21, 525), ("300 iterations", 5, 300), ("1 epoch", 3, 1)],
)
def test_durations_are_passes_or_steps(text, n_slices, expected):
    """Batches are always full, so 500 passes over 422 slices are 500 · 422 / 20 steps."""
    assert Duration.parse(text).iterations(n_slices, 20) == expected


@pytest.mark.parametrize(
    ("strategy", "name"),
    [("supervised", "duration"), ("alternating-crf", "initial"), ("alternating-crf", "per_alternation")],
)
def test_a_duration_without_sense_is_refused_when_the_order_is_made(strategy, name):
    with pytest.raises(CatalogueError, match="write a number and a unit"):
        from_mapping(STRATEGIES[strategy].parameters, {name: "5 minutes"})


MODEL = StartModel(
    model_id="m", weights_path="/w", weights_hash="2" * 64, network="res-unet", network_parameters={},
    preprocessing=Preprocessing(),
)  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"label_hash": "9" * 64}, {"spacing_zyx_mm": (5.0, 1.0, 1.0)}, {"es_frame": 4}, {"frame_interval_ms": 31.0},
        {"subject_id": "other"},
    ],
)  # fmt: skip
def test_a_prediction_order_is_another_one_when_anything_that_decides_its_result_changes(change):
    """An interrupted run of the same hash is gone on with: its finished cases would stand."""

    def order(**changes):
        return PredictionSpec(model=MODEL, label_scheme=PRESETS["acdc"], items=(item("a", **changes),), evaluate=True)

    assert order().hash != order(**change).hash
    assert order().hash == order(image_path="/moved/a.nii.gz").hash


def test_the_oracles_references_count_by_content_and_not_by_place():
    def order(path, digest):
        references = {"b": {"path": path, "frames": [0], "hash": digest}}
        return spec(policy="oracle", policy_parameters={"references": references})

    assert order("/here/b.nii.gz", "1").hash == order("/there/b.nii.gz", "1").hash
    assert order("/here/b.nii.gz", "1").hash != order("/here/b.nii.gz", "2").hash


@pytest.mark.parametrize("text", ["", "500", "-3 epochs", "5 minutes", "1e3 epochs"])
def test_a_duration_without_sense_is_refused(text):
    with pytest.raises(CatalogueError, match="write a number and a unit"):
        Duration.parse(text)


def test_the_state_of_a_case_follows_its_standing_decision():
    assert review_state([], proposal_id=1)[0] is ReviewState.UNREVIEWED
    assert review_state([], proposal_id=1, has_edits=True)[0] is ReviewState.IN_PROGRESS
    accepted = [decision(1, Verdict.REJECT), decision(2, Verdict.ACCEPT)]
    assert review_state(accepted, proposal_id=1)[0] is ReviewState.ACCEPTED
    back = [*accepted, decision(3, Verdict.TAKE_BACK, retracts_id=2)]
    assert review_state(back, proposal_id=1)[0] is ReviewState.REJECTED


def test_a_rejected_case_comes_back_with_a_newer_proposal_and_an_accepted_one_stays():
    assert review_state([decision(1, Verdict.REJECT)], proposal_id=2)[0] is ReviewState.SUPERSEDED
    assert review_state([decision(1, Verdict.ACCEPT)], proposal_id=2)[0] is ReviewState.ACCEPTED


@pytest.mark.parametrize(
    "changes",
    [{"reader": " "}, {"decided_at": datetime(2026, 1, 1)}, {"verdict": "reject"}, {"verdict": "take_back"}],
)
def test_a_decision_that_lacks_something_is_refused(changes):
    with pytest.raises(DecisionError):
        dataclasses.replace(decision(1, Verdict.ACCEPT), **changes)


def test_ejection_fraction_is_nan_for_an_empty_ed_frame():
    full = VolumeCurve(case_id="a", structure="LV", volume_ml=np.array([100.0, 40.0]), ed_frame=0, es_frame=1)
    assert (full.sv_ml, full.ef_percent) == (60.0, 60.0)
    empty = VolumeCurve(case_id="a", structure="LV", volume_ml=np.array([0.0, 0.0]), ed_frame=0, es_frame=1)
    assert np.isnan(empty.ef_percent)


def test_events_survive_json_and_other_versions_are_refused():
    event = Event(kind=EventKind.PROGRESS, data={"fraction": 0.5})
    assert Event.from_dict(json.loads(json.dumps(event.to_dict()))) == event
    with pytest.raises(ValueError, match="version"):
        Event.from_dict({**event.to_dict(), "v": 2})


def test_the_error_tree_is_complete_and_drawn():
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.NapariSslError)
        assert name in errors.__doc__


def test_roles_of_structures_are_known_by_name():
    assert StructureRole("lv_cavity") is StructureRole.LV_CAVITY


@pytest.mark.parametrize("crop", [(0, 16), (17, 32), (1_000_000, 1_000_000), (32,), (-16, 32)])
def test_a_crop_that_no_network_can_take_is_refused(crop):
    with pytest.raises(SpecError, match="multiples of 16"):
        Preprocessing(crop_yx=crop)
