"""A lock goes along to the next case, but not to one that does not have the structure yet."""

from __future__ import annotations

from gui_cases import beating_disc, propose
from gui_driver import wait


def test_a_lock_stays_where_there_is_something_to_keep(window, review_study):
    labels = beating_disc(2)[1]
    labels[labels == 3] = 0
    propose(review_study, "case2", labels, "model-1", 0.8)
    window.widget.reviewer.set_locked(1, True)
    window.widget.reviewer.set_locked(3, True)
    window.widget.open_case("case1")
    window.wait_for("case1")
    assert window.widget.reviewer.locked == {1, 3}
    window.widget.open_case("case2")
    window.wait_for("case2")
    wait(lambda: window.widget.reviewer.locked == {1})
    assert window.widget.reviewer._tracker.locked == {1}  # the LV can be painted
