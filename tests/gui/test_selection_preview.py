from napari_ssl.core.case import Split
from napari_ssl.core.decision import ReviewState
from napari_ssl.gui.selection_preview import SelectionRule, explain, rule_of
from napari_ssl.study.queue_rows import QueueRow


def row(name, p=None, **more):
    values = {"split": Split.TRAIN, "state": ReviewState.UNREVIEWED, "subject_id": name, "probability_good": p}
    return QueueRow(case_id=name, proposal_id=1, **{**values, **more})


ROWS = [
    *(row(f"c{i}", i / 10, group="A" if i > 6 else "B", mean_confidence=1 - i / 20) for i in range(10)),
    row("none"),
    row("decided", 0.99, state=ReviewState.ACCEPTED),
    row("expert", 0.99, has_reference=True),
    row("test", 0.99, split=Split.TEST),
]


def test_the_rule_comes_from_the_strategy_or_the_policy():
    own = {"arm": "qc", "n_cases": 30, "selection": "balanced-groups"}
    assert rule_of(own, "accept-all", {}) == SelectionRule("balanced-groups", 30)
    assert rule_of({**own, "arm": "half"}, "accept-all", {}) is None
    assert rule_of({}, "qc", {"n_best": 5, "threshold": 0.0}) == SelectionRule("threshold", 5, 0.0)
    assert rule_of({}, "random", {"n": 7, "seed": 0}) == SelectionRule("random", 7)
    assert rule_of({}, "clinician", {}) is None


def test_best_in_class_is_told_with_the_lowest_probability_and_reasons():
    text, reasons = explain(ROWS, SelectionRule("best-in-class", 3), 0.5)
    assert text.startswith("By today's scores: 3 of 10 best in class, lowest P(good) 0.70.")
    assert "1 are not scored" in text
    assert [line.split(":")[0] for line in reasons.splitlines()] == ["c9", "c8", "c7"]


def test_a_threshold_of_zero_is_the_operating_point():
    assert "5 of 10" in explain(ROWS, SelectionRule("threshold", 0), 0.5)[0]
    assert "2 of 10" in explain(ROWS, SelectionRule("threshold", 0, 0.8), 0.5)[0]
    assert "3 of 10" in explain(ROWS, SelectionRule("threshold", 3), 0.5)[0]


def test_balanced_selections_take_from_every_class():
    text, reasons = explain(ROWS, SelectionRule("balanced-groups", 4), None)
    assert "balanced groups" in text and "'A'" in reasons and "'B'" in reasons
    assert "hard" in explain(ROWS, SelectionRule("balanced-difficulty", 6), None)[0]


def test_without_scores_it_says_how_to_get_them():
    text, reasons = explain([row("a"), row("b")], SelectionRule("threshold", 3), None)
    assert "None of 2 cases is scored yet" in text and "Score proposals" in text and reasons == ""
    assert explain(ROWS, SelectionRule("random", 3), None)[0] == "3 of 11 cases, drawn by chance."
