"""Arms are trained alike, share what they can, resume where they stopped, and end in a paper's table."""

from __future__ import annotations

import csv
import dataclasses
import json
import re

import pytest
from comparison_study import QUICK, TINY, make_study

from napari_ssl.core.case import Split
from napari_ssl.core.job import EventKind
from napari_ssl.errors import JobError, SpecError
from napari_ssl.jobs.runner import run_here
from napari_ssl.report.comparison_page import CASE_COLUMNS, SCORE_COLUMNS, write_comparison
from napari_ssl.rounds import StoppedByRequest, training_spec
from napari_ssl.rounds.comparison import compare
from napari_ssl.rounds.comparison_plan import ComparisonPlan, parse_arms
from napari_ssl.rounds.comparison_units import draw_labelled, make_units

CRF_ARMS = f"alternating-crf:name=CRF;alternations=1;{TINY},alternating-crf:name=no CRF;alternations=1;crf=no;{TINY}"


def plan(arms=CRF_ARMS, **changes):
    values = {"seeds": (0, 1), "labelled": 2, "iterations": 10, "common": QUICK, "device": "cpu", "crf": False}
    return ComparisonPlan(arms=parse_arms(arms), **{**values, **changes})


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    with make_study(tmp_path_factory.mktemp("comparison")) as made:
        yield made


@pytest.fixture(scope="module")
def interrupted(study, tmp_path_factory):
    """Two arms × two seeds, stopped in the middle and called again: (folder, document)."""
    folder = tmp_path_factory.mktemp("compared")
    asked = iter(range(10**6))

    def stop():  # inside the second unit
        return any(folder.glob("runs/*/result.json")) and next(asked) >= 5

    with pytest.raises(StoppedByRequest):
        compare(study, plan(), folder, workers=0, should_stop=stop)
    done_before = {p: p.stat().st_mtime_ns for p in folder.glob("runs/*/result.json")}
    assert len(done_before) == 1
    document = compare(study, plan(), folder, workers=0)
    assert all(p.stat().st_mtime_ns == at for p, at in done_before.items())  # a finished arm is never redone
    assert json.loads((folder / "comparison.json").read_text()) == json.loads(json.dumps(document))
    return folder, document


def test_a_stopped_comparison_goes_on_and_ends_as_an_undisturbed_one(interrupted, study, tmp_path):
    _, document = interrupted
    assert not document["failed"]
    one = plan(CRF_ARMS.split(",")[1], seeds=(1,))
    alone = compare(study, one, tmp_path, workers=0)
    found = next(r for r in document["runs"] if (r["arm"], r["seed"]) == ("no CRF", 1))
    assert found["cases"] == alone["runs"][0]["cases"]


def test_the_baseline_that_arms_share_is_trained_once(interrupted):
    folder, document = interrupted
    steps = [json.loads(p.read_text())["step"] for p in folder.glob("steps/*/done.json")]
    assert steps.count("supervised training") == 2  # one for each seed, not for each arm
    assert steps.count("alternation 1 of 1: network") == 4
    seconds = {arm: row["training_seconds"] for arm, row in document["efficiency"].items()}
    assert min(seconds.values()) > 0  # what was shared counts in both


def test_all_arms_train_the_same_number_of_steps(interrupted, study):
    _, document = interrupted
    assert document["steps_are_equal"]
    assert {row["n_steps"] for row in document["efficiency"].values()} == {10}
    arms = f"supervised:{TINY},{CRF_ARMS}"
    for unit in make_units(study, plan(arms, iterations=23)):
        p = unit.spec.parameters
        stages = ["duration"] if unit.arm == "supervised" else ["initial", "per_alternation"]
        assert sum(int(p[name].split()[0]) for name in stages) == 23


def test_an_arm_that_is_added_uses_what_is_there(interrupted, study):
    folder, _ = interrupted
    before = set(folder.glob("steps/*/done.json"))
    more = plan(f"{CRF_ARMS},alternating-crf:name=half;alternations=1;lam=0.5;crf=no;{TINY}", seeds=(0,))
    document = compare(study, more, folder, workers=0)
    assert list(document["arms"]) == ["CRF", "no CRF", "half"]
    new = set(folder.glob("steps/*/done.json")) - before
    assert [json.loads(p.read_text())["step"] for p in new] == ["alternation 1 of 1: network"]


def test_the_table_has_every_arm_structure_and_test(interrupted):
    _, document = interrupted
    assert set(document["scores"]) == {"dice", "hd95_mm", "asd_mm", "nsd"}
    for by_structure in document["scores"].values():
        assert list(by_structure) == ["RV", "Myo", "LV", "mean"]
        for rows in by_structure.values():
            assert list(rows) == ["CRF", "no CRF"]
            assert "against" not in rows["CRF"]
            against = rows["no CRF"]["against"]
            assert against["n"] == 2
            assert against["t"]["p_holm"] == against["t"]["p"]  # one arm: nothing to correct
            assert len(rows["CRF"]["by_seed"]) == 2
    mean = document["scores"]["dice"]["mean"]["CRF"]
    runs = [r for r in document["runs"] if r["arm"] == "CRF"]
    by_hand = [sum(c["dice"].values()) / 3 for r in runs for c in r["cases"]]
    assert mean["mean"] == pytest.approx(sum(by_hand) / 4)
    for index in ("lv_edv_ml", "lv_esv_ml", "lv_ef_percent", "rv_edv_ml", "rv_ef_percent"):
        row = document["clinical"][index]
        assert row["reference"]["n"] == 2
        errors = [found - expected for _, found, expected in row["arms"]["CRF"]["pairs"]]
        assert row["arms"]["CRF"]["agreement"]["bias"] == pytest.approx(sum(errors) / 2)


def test_page_tables_and_figures_are_written_and_need_nothing_else(interrupted, tmp_path):
    folder, document = tmp_path, dict(interrupted[1])
    for table, name in (("scores", "dice"), ("clinical", "lv_ef_percent")):  # one of a kind will do
        document[table] = {name: document[table][name]}
    files = write_comparison(document, folder)
    page = (folder / "comparison.html").read_text()
    assert not re.search(r"https?:|//[a-z]|url\((?!#)|@import|<link|<script|src=\"(?!data:)", page)
    assert page.count("<svg") == 3  # scores, change of Dice, Bland–Altman
    assert "no CRF" in page
    stems = {f.stem for f in files if f.suffix == ".svg"}
    assert stems == {"dice", "change_of_dice", "bland_altman_lv_ef_percent"}
    assert stems == {f.stem for f in files if f.suffix == ".png"}
    with (folder / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == SCORE_COLUMNS
    assert len(rows) == 2 * 4  # arms, structures and mean
    with (folder / "cases.csv").open() as file:
        cases = list(csv.DictReader(file))
    assert tuple(cases[0]) == CASE_COLUMNS
    assert {(c["arm"], c["seed"]) for c in cases} == {(a, s) for a in ("CRF", "no CRF") for s in "01"}


def test_the_labelled_cases_are_drawn_by_subject_and_nested(study):
    two, three = draw_labelled(study, 2, (0,)), draw_labelled(study, 3, (0,))
    assert set(two) < set(three)
    assert draw_labelled(study, 2, (0,)) == two
    assert len({draw_labelled(study, 2, (s,)) for s in range(8)}) > 1
    with pytest.raises(SpecError, match="5 have expert labels"):
        draw_labelled(study, 6, (0,))
    for unit in make_units(study, plan()):
        labelled = {i.case_id for i in unit.spec.items if i.role.has_labels}
        assert labelled == set(two)
        assert len(unit.spec.items) == 5
    own = make_units(study, plan(f"supervised:labelled=all;{TINY},supervised:name=one;labelled=1;{TINY}", seeds=(0,)))
    assert [len(u.spec.items) for u in own] == [5, 1]
    drawn = {u.seed: [i.case_id for i in u.spec.items if i.role.has_labels] for u in make_units(study, plan(
        seeds=tuple(range(6)), draw_per_seed=True
    ))}  # fmt: skip
    assert len({tuple(d) for d in drawn.values()}) > 1


def test_nothing_begins_with_the_studys_model_and_test_cases_never_train(study):
    for unit in make_units(study, plan(f"alternating-crf:preset=quick;{TINY}")):
        assert unit.spec.start is None
        assert [i.case_id for i in unit.spec.evaluation] == ["patient006", "patient007"]
        assert not {i.subject_id for i in unit.spec.items} & {"patient006", "patient007"}
    with pytest.raises(SpecError, match="validation"):
        make_units(study, plan(split=Split.VALIDATION))


def test_the_oracles_rounds_give_dice_against_minutes(study, tmp_path):
    rounds = plan(
        f"supervised:{TINY}", seeds=(0,), rounds=2, policy="oracle",
        policy_parameters={"accept_dice": 1.0, "correct_cases": 1, "seconds_slice": 30.0, "seconds_reject": 15.0},
    )  # fmt: skip
    document = compare(study, rounds, tmp_path, workers=0)
    points = document["minutes"]["supervised"]
    assert [p["round"] for p in points] == [0, 1, 2]
    assert [p["training_cases"] for p in points] == [2, 3, 4]
    assert points[0]["minutes"] == 0
    assert points[1]["minutes"] == pytest.approx((3 * 15 + points[1]["n_slices"] * 30) / 60)
    assert points[2]["minutes"] > points[1]["minutes"]
    files = write_comparison({**document, "clinical": {}}, tmp_path)
    assert any(f.stem == "dice_against_minutes" for f in files)
    assert "Minutes so far" in (tmp_path / "comparison.html").read_text()


def test_a_failed_arm_is_told_and_the_others_go_on(study, tmp_path):
    arms = f"supervised:{TINY},supervised:name=best;keep=best;{TINY}"  # keep=best needs validation cases
    document = compare(study, plan(arms, seeds=(0,), iterations=2), tmp_path, workers=0)
    assert list(document["arms"]) == ["supervised"]
    (why,) = document["failed"].values()
    assert "keep=best" in why
    assert "keep=best" in write_comparison({**document, "clinical": {}, "scores": {}}, tmp_path)[0].read_text()
    with pytest.raises(JobError, match="no arm was finished"):
        compare(study, plan(f"supervised:keep=best;{TINY}", seeds=(0,), iterations=2), tmp_path, workers=0)


def test_units_run_in_processes_of_their_own(study, tmp_path):
    told = []
    document = compare(
        study, plan(f"supervised:{TINY}", iterations=2, in_voxels=True), tmp_path, workers=2,
        tell=lambda unit, event: told.append((unit.seed, event.kind)),
    )  # fmt: skip
    assert not document["failed"]
    assert {seed for seed, kind in told if kind is EventKind.PROGRESS} == {0, 1}
    assert {"hd95_voxel", "asd_voxel"} <= set(document["scores"])
    assert document["efficiency"]["supervised"]["peak_memory_mib"] > 50


def test_arms_that_go_on_from_the_promoted_model_share_it_and_spend_all_steps_after_it(tmp_path):
    """The stage that the model replaces gets nothing; a model that knows other labels is refused."""
    with make_study(tmp_path) as study:
        cases = ("patient001", "patient002")
        arms = f"supervised:{TINY},alternating-crf:alternations=2;crf=no;{TINY}"
        wanted = plan(arms, labelled=cases, from_promoted=True, seeds=(0,), iterations=8)
        with pytest.raises(SpecError, match="train one with the same --labelled first"):
            make_units(study, wanted)
        first = training_spec(
            study,
            strategy="supervised",
            overrides={"duration": "4 iterations", "batch_size": 4},
            network_overrides={"base_channels": 4, "levels": 3},
            labelled_only=cases,
            device="cpu",
        )
        model = run_here(study, first, lambda e: None, lambda: False)["model_id"]
        units = make_units(study, wanted)
        assert {u.spec.start.model_id for u in units} == {model}
        assert [u.spec.parameters.get("duration") for u in units] == ["8 iterations", None]
        assert units[1].spec.parameters["per_alternation"] == "4 iterations"
        document = compare(study, wanted, tmp_path / "out", workers=0)
        assert not document["failed"] and document["steps_are_equal"]
        with pytest.raises(SpecError, match="learnt from the labelled cases alone"):
            make_units(study, dataclasses.replace(wanted, labelled=("patient001",)))
