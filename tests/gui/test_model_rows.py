from __future__ import annotations

from datetime import UTC, datetime

from panel_fakes import evaluation

from napari_ssl.core.decision import Decision, Verdict
from napari_ssl.core.model import Model, ModelState
from napari_ssl.gui.model_rows import (
    case_rows,
    comparison_sentence,
    default_pair,
    mean_dice,
    provenance,
    shared_splits,
    structure_rows,
)
from napari_ssl.measures.evaluation import compare


def model(model_id, state=ModelState.CANDIDATE, metrics=None, parents=()):
    return Model(
        id=model_id,
        spec_hash="a" * 64,
        strategy="supervised",
        network="res-unet",
        round=1,
        parents=parents,
        metrics=metrics or {},
        state=state,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


OLD = evaluation({"LV": [0.80, 0.82]}, [4.0, -4.0])
NEW = evaluation({"LV": [0.70, 0.92]}, [1.0, 2.0])


def test_the_promoted_model_is_compared_with_the_newest_candidate():
    a, b, c = model("a", ModelState.PROMOTED), model("b"), model("c")
    assert default_pair([a, b, c]) == (a, c)
    assert default_pair([a]) == (None, a)
    assert default_pair([model("x", ModelState.ARCHIVED), a])[1] is a
    assert default_pair([]) == (None, None)


def test_only_splits_that_both_were_measured_on_are_offered():
    first, second = model("a", metrics={"test": OLD}), model("b", metrics={"test": NEW, "validation": NEW})
    assert shared_splits(first, second) == ("test",)
    assert mean_dice(first, "test") == OLD["mean"]["mean_dice"] and mean_dice(first, "validation") is None


def test_the_sentence_is_cautious_when_the_interval_holds_zero():
    text = comparison_sentence(compare(OLD, NEW), "test")
    assert text.startswith("No clear difference: mean Dice 0.810 → 0.810")
    assert text.endswith("2 test subjects; better in 1, worse in 1.")


def test_cases_come_with_the_largest_loss_first():
    rows = case_rows(OLD, NEW)
    assert [r.case_id for r in rows] == ["test0", "test1"]
    assert rows[0].difference < 0 < rows[1].difference
    assert (rows[0].old_ef_error, rows[0].new_ef_error) == (4.0, 1.0)


def test_one_subject_has_no_interval():
    one = evaluation({"LV": [0.8]}, [1.0])
    assert {r.interval for r in structure_rows(compare(one, one))} == {"–"}


def test_provenance_names_the_reader_behind_an_accepted_case():
    decision = Decision(
        id=1,
        case_id="p7",
        verdict=Verdict.ACCEPT,
        reader="dr-x",
        decided_at=datetime(2026, 1, 2, tzinfo=UTC),
        seconds=3.0,
        segmentation_id=4,
        label_hash="h7",
        model_id="r001",
        comment="good",
    )
    card = {
        "started_from": "r001",
        "training_cases": [["p1", "labelled", "h1"], ["p7", "accepted", "h7"]],
        "parameters": {"lam": 1.0},
    }
    text = provenance(model("r002", parents=("r001",)), card, [], [decision])
    assert "p7  accepted by dr-x" in text and "proposed by r001: good" in text
    assert "Started from: r001" in text and "1 labelled, 1 accepted" in text
