"""Arms in words and in files, and plans that contradict themselves."""

from __future__ import annotations

import pytest

from napari_ssl.core.case import Split
from napari_ssl.errors import CatalogueError, SpecError
from napari_ssl.rounds.comparison_plan import Arm, ComparisonPlan, parse_arms, read_arms, with_preset


def test_arms_are_read_from_words_with_everything_that_can_be_set():
    first, second = parse_arms(
        "supervised, alternating-crf:name=λ ½;preset=quick;lam=0.5;crf=no;network=fcn17;network.base_channels=8;"
        "policy=random;policy.n=5;labelled=a+b;preprocessing.pixel_spacing_mm=1.5"
    )
    assert first == Arm(name="supervised", strategy="supervised")
    assert (second.name, second.preset, second.network_name) == ("λ ½", "quick", "fcn17")
    assert second.parameters == {"lam": 0.5, "crf": False}
    assert second.network_parameters == {"base_channels": 8}
    assert (second.policy, second.policy_parameters, second.labelled) == ("random", {"n": 5}, ("a", "b"))
    assert second.preprocessing == {"pixel_spacing_mm": 1.5}
    named, all_of_them = parse_arms("supervised:preset=paper,supervised:labelled=all;name=full")
    assert (named.name, all_of_them.labelled) == ("supervised (paper)", "all")


def test_arms_are_read_from_a_file(tmp_path):
    (tmp_path / "arms.toml").write_text(
        """
[[arm]]
strategy = "supervised"
labelled = 3

[[arm]]
name = "CRF off"
strategy = "alternating-crf"
policy = "oracle"
labelled = ["a", "b"]
[arm.set]
lam = 0.5
crf = false
[arm.network_set]
base_channels = 8
[arm.policy_set]
minutes = 20.0
"""
    )
    first, second = read_arms(tmp_path / "arms.toml")
    assert (first.name, first.labelled) == ("supervised", 3)
    assert (second.parameters, second.labelled) == ({"lam": 0.5, "crf": False}, ("a", "b"))
    assert (second.network_parameters, second.policy_parameters) == ({"base_channels": 8}, {"minutes": 20.0})


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("nothing", CatalogueError, "no strategy 'nothing'"),
        ("supervised:lam=1", CatalogueError, "lam"),
        ("supervised:duration", SpecError, "NAME=VALUE"),
        ("supervised:network.depth=3", CatalogueError, "depth"),
        ("supervised:policy=clinician", SpecError, "waits for nobody"),
        ("supervised:preset=none", CatalogueError, "preset"),
        ("alternating-crf:lam=99", CatalogueError, r"\[0, 10\]"),
        ("supervised,supervised:name=b;foo=1", CatalogueError, r"arm 'supervised:name=b;foo=1': cannot read 'foo=1'"),
        (
            "supervised:preprocessing.window_low=abc",
            SpecError,
            r"arm .*'window_low': 'abc' is not a value of type float",
        ),
        ("supervised:preprocessing.nope=1", SpecError, r"arm .*cannot read 'nope=1'.*crop_yx"),
    ],
)
def test_words_that_mean_nothing_are_named(text, error, match):
    with pytest.raises(error, match=match):
        parse_arms(text)


def test_sizes_of_a_crop_are_read_from_words_and_tables(tmp_path):
    (word,) = parse_arms("supervised:preprocessing.crop_yx=32x48")
    (tmp_path / "arms.toml").write_text('[[arm]]\nstrategy = "supervised"\npreprocessing = {crop_yx = [32, 48]}')
    (table,) = read_arms(tmp_path / "arms.toml")
    assert word.preprocessing == table.preprocessing == {"crop_yx": (32, 48)}
    assert parse_arms("supervised:labelled=²")[0].labelled == ("²",)  # a digit, and no number


@pytest.mark.parametrize("setting", ["set = 7", "set = {nope = 1}", "labelled = 3\nnetwork_set = {nope = 1}"])
def test_the_arm_of_a_file_that_is_wrong_is_named(setting, tmp_path):
    (tmp_path / "arms.toml").write_text(f'[[arm]]\nstrategy = "supervised"\n[[arm]]\nstrategy = "asdnet"\n{setting}')
    with pytest.raises((SpecError, CatalogueError), match=r"arms\.toml: arm 2: cannot read"):
        read_arms(tmp_path / "arms.toml")


@pytest.mark.parametrize("text", ["", "arm = 3", "[[arm]]\nname = 'x'", "[[arm", "[[arm]]\nstrategy = [1]"])
def test_files_without_arms_are_refused(text, tmp_path):
    (tmp_path / "arms.toml").write_text(text)
    with pytest.raises(SpecError, match=r"arms\.toml"):
        read_arms(tmp_path / "arms.toml")


@pytest.mark.parametrize(
    ("arms", "changes", "match"),
    [
        ("", {}, "no arm"),
        ("supervised,supervised", {}, "two arms"),
        ("supervised", {"baseline": "other"}, "no arm; there are supervised"),
        ("supervised", {"seeds": (1, 1)}, "different numbers"),
        ("supervised", {"iterations": 0}, "1 or more"),
        ("supervised", {"labelled": 0}, "1 or more"),
        ("supervised", {"split": Split.TRAIN}, "never on the cases"),
        ("supervised", {"rounds": 1, "policy": "clinician"}, "answers by itself"),
        ("supervised", {"common": {"lam": "1"}}, "no arm has a parameter 'lam'"),
    ],
)
def test_plans_that_contradict_themselves_are_refused(arms, changes, match):
    with pytest.raises((SpecError, CatalogueError), match=match):
        ComparisonPlan(arms=parse_arms(arms), **changes)


def test_common_settings_reach_the_arms_that_have_them_and_give_way_to_the_arms_own():
    plan = ComparisonPlan(
        arms=parse_arms("supervised:batch_size=3,alternating-crf"), common={"batch_size": "7", "lam": "0.5"}
    )
    supervised, alternating = (plan.overrides(arm) for arm in plan.arms)
    assert supervised == {"batch_size": 3}
    assert alternating == {"batch_size": 7, "lam": 0.5}


def test_a_duration_beside_equal_steps_is_refused():
    plan = ComparisonPlan(arms=parse_arms("supervised:duration=5 epochs"), iterations=100)
    with pytest.raises(CatalogueError, match="all arms train 100 steps"):
        plan.overrides(plan.arms[0])


def test_a_preset_for_all_leaves_those_alone_that_name_one():
    first, second = with_preset(parse_arms("supervised,alternating-crf:preset=paper"), "quick")
    assert (first.preset, second.preset) == ("quick", "paper")
    with pytest.raises(CatalogueError, match="no arm has a preset"):
        with_preset((first,), "strange")
