from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ssl.errors import SpecError
from napari_ssl.measures.selection import balanced, best_in_class, difficulty_classes, rank, threshold

EASY = {f"easy{i}": 0.99 - i / 100 for i in range(6)}
HARD = {f"hard{i}": 0.80 - i / 10 for i in range(4)}
BOTH = {**HARD, **EASY}
CLASSES = {name: name[:4] for name in BOTH}


def test_cases_are_ranked_by_probability_and_equal_ones_by_name():
    assert rank({"b": 0.5, "a": 0.5, "c": 0.9}) == ["c", "a", "b"]
    for wrong in (1.5, float("nan")):
        with pytest.raises(SpecError, match="case a: a probability must be in"):
            rank({"a": wrong})


def test_best_in_class_takes_the_most_probable_and_says_so():
    selection = best_in_class(BOTH, 3)
    assert selection.case_ids == ("easy0", "easy1", "easy2") and len(selection) == 3
    assert selection.why["easy1"] == "Rank 2 of 10 by probability of good (0.98)."
    assert selection.summary == "The 3 of 10 cases of highest probability of good (0.99 to 0.97)."
    assert len(best_in_class(BOTH, 100)) == 10 and best_in_class({}, 5).case_ids == ()


def test_a_threshold_takes_all_that_reach_it_or_the_best_of_them():
    assert set(threshold(BOTH, 0.7).case_ids) == {*EASY, "hard0", "hard1"}
    few = threshold(BOTH, 0.7, n=2)
    assert few.case_ids == ("easy0", "easy1") and "8 reach it, the best 2 are taken" in few.summary
    assert threshold(BOTH, 1.0).case_ids == () and "0 of 10" in threshold(BOTH, 1.0).summary


def test_easy_cases_do_not_crowd_out_hard_ones():
    assert not any(c.startswith("hard") for c in best_in_class(BOTH, 6).case_ids)
    selection = balanced(BOTH, 6, CLASSES)
    assert selection.case_ids == ("easy0", "hard0", "easy1", "hard1", "easy2", "hard2")
    assert selection.why["hard1"] == "Rank 2 of 4 in class 'hard' by probability of good (0.70)."
    assert "3 of 6 easy, 3 of 4 hard" in selection.summary and "3 of them would be others" in selection.summary


def test_a_class_that_is_used_up_or_erroneous_leaves_its_share_to_the_others():
    selection = balanced(BOTH, 8, CLASSES, at_least=0.75)
    assert selection.case_ids == ("easy0", "hard0", "easy1", "easy2", "easy3", "easy4", "easy5")
    assert "other" in balanced({"x": 0.5}, 1, {}).summary


def test_difficulty_sorts_into_classes_of_equal_size():
    classes = difficulty_classes({f"c{i}": i / 10 for i in range(9)} | {"unknown": float("nan")})
    assert [classes[f"c{i}"] for i in range(9)] == ["hard"] * 3 + ["medium"] * 3 + ["easy"] * 3
    assert "unknown" not in classes and difficulty_classes({}) == {}
    assert set(difficulty_classes({"a": 0.1, "b": 0.9}, ("hard", "easy")).items()) == {("a", "hard"), ("b", "easy")}


def test_impossible_wishes_are_refused():
    with pytest.raises(SpecError, match="1 or more, got 0"):
        best_in_class(BOTH, 0)
    with pytest.raises(SpecError, match=r"in \[0, 1\], got 2"):
        threshold(BOTH, 2)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.floats(0, 1), max_size=12),
    st.integers(1, 15),
    st.floats(0, 1),
)
def test_every_selection_is_explained_and_keeps_its_promises(scores, n, at_least):
    classes = {case: case[0] for case in scores}
    for selection in (best_in_class(scores, n), threshold(scores, at_least, n), balanced(scores, n, classes)):
        assert len(set(selection.case_ids)) == len(selection) <= n
        assert set(selection.why) == set(selection.case_ids) <= set(scores)
        assert selection.summary.endswith(".")
    assert len(balanced(scores, n, classes)) == min(n, len(scores))
    assert all(scores[c] >= at_least for c in balanced(scores, n, classes, at_least=at_least).case_ids)
