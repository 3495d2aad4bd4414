"""Both settings of Bai 2017, Sec. 3.1, as arms of one comparison (20 + 60, 80 + 240 subjects; here 1 + 2, 2 + 3)."""

from __future__ import annotations

import pytest
from comparison_study import TINY, make_study

from napari_ssl.errors import SpecError
from napari_ssl.rounds.comparison_plan import ComparisonPlan, parse_arms
from napari_ssl.rounds.comparison_units import make_units


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    with make_study(tmp_path_factory.mktemp("settings")) as made:
        yield made


def units(study, *settings, **changes):
    words = ",".join(f"alternating-crf:name=arm{n};{setting};{TINY}" for n, setting in enumerate(settings))
    return make_units(study, ComparisonPlan(arms=parse_arms(words), iterations=10, device="cpu", **changes))


def cases(unit):
    has = {True: set(), False: set()}
    for item in unit.spec.items:
        has[item.role.has_labels].add(item.case_id)
    return has[True], has[False]


def test_each_arm_has_its_numbers_of_labelled_and_unlabelled_subjects(study):
    small, large = units(study, "labelled=1;unlabelled=2", "labelled=2;unlabelled=3")
    (few, others), (more, rest) = cases(small), cases(large)
    assert [len(found) for found in (few, others, more, rest)] == [1, 2, 2, 3]
    assert few < more
    assert not few & others and not more & rest
    assert units(study, "labelled=1;unlabelled=2")[0].spec.hash == small.spec.hash


def test_a_larger_draw_of_unlabelled_subjects_contains_a_smaller_one(study):
    found = [cases(unit)[1] for unit in units(study, *(f"labelled=1;unlabelled={n}" for n in (0, 1, 2, 4)))]
    assert [len(each) for each in found] == [0, 1, 2, 4]
    assert found[0] < found[1] < found[2] < found[3]


def test_unlabelled_cases_are_chosen_by_name_and_without_a_word_all_of_them(study):
    named, every, left = units(
        study, "labelled=patient001;unlabelled=patient003+patient005", "labelled=patient001;unlabelled=all",
        "labelled=patient001",
    )  # fmt: skip
    assert cases(named) == ({"patient001"}, {"patient003", "patient005"})
    assert cases(every) == cases(left) == ({"patient001"}, {f"patient00{n}" for n in (2, 3, 4, 5)})


def test_what_is_reviewed_between_rounds_is_no_more_than_the_arm_has(study):
    (unit,) = units(study, "labelled=1;unlabelled=2", rounds=1, policy="accept-all")
    assert {i.case_id for i in unit.pool} == cases(unit)[1]


@pytest.mark.parametrize(
    ("setting", "match"),
    [("labelled=2;unlabelled=4", "4 unlabelled subjects were asked for, there are 3"),
     ("labelled=patient001;unlabelled=patient001", "patient001 is no training case without labels"),
     ("labelled=1;unlabelled=nobody", "nobody")],
)  # fmt: skip
def test_more_than_there_is_is_refused(study, setting, match):
    with pytest.raises(SpecError, match=match):
        units(study, setting)
