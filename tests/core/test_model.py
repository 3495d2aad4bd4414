from __future__ import annotations

from datetime import UTC, datetime, timedelta

from napari_ssl.core.model import Model, ModelState, trained_apart

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def model(name, *parents, days=0, state=ModelState.CANDIDATE):
    return Model(
        id=name, spec_hash="0", strategy="supervised", network="res-unet", round=1, parents=parents, metrics={},
        state=state, created_at=T0 + timedelta(days=days),
    )  # fmt: skip


def names(of, models):
    return [m.id for m in trained_apart(of, models)]


def test_parents_children_and_siblings_are_not_apart():
    first, child, grandchild = model("a"), model("b", "a"), model("c", "b")
    sibling, other, newer = model("d", "a"), model("e", days=1), model("f", "e", days=2)
    family = [first, child, grandchild, sibling, other, newer]
    assert names(first, family) == ["f", "e"]
    assert names(child, family) == ["f", "e"]
    assert names(newer, family) == ["a", "b", "c", "d"][::-1]  # of the same day: by name


def test_archived_models_and_the_model_itself_are_not_offered():
    gone = model("gone", state=ModelState.ARCHIVED)
    assert names(model("a"), [model("a"), gone]) == []


def test_a_parent_that_is_no_longer_there_still_counts():
    assert names(model("a", "lost"), [model("a", "lost"), model("b", "lost")]) == []
