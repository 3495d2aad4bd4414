"""Filter, audit marks and memory of the queue; the Team window."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from gui_cases import beating_disc, propose
from gui_driver import READER, SHIFT, wait
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from test_gui_queue import rows

from napari_ssl.core.decision import Decision, ReviewState, Verdict
from napari_ssl.gui.loader import WorkQueue
from napari_ssl.gui.queue_memory import QueueMemory
from napari_ssl.gui.queue_panel import QueuePanel
from napari_ssl.gui.team_window import TeamWindow
from napari_ssl.review.audit_draw import in_audit
from napari_ssl.review.planning import plan_repeats
from napari_ssl.study.study import Study


@pytest.fixture
def panel(qapp):
    panel = QueuePanel()
    panel.resize(340, 600)
    panel.show()
    yield panel
    panel.close()


def _decide(study: Study, case_id: str, reader: str, verdict: Verdict = Verdict.ACCEPT) -> Decision:
    version = study.current(case_id, reader)
    return study.record(
        Decision(
            case_id=case_id,
            verdict=verdict,
            reader=reader,
            decided_at=datetime.now(UTC),
            seconds=5.0,
            segmentation_id=version.id,
            label_hash=version.label_hash,
            reason="RV wrong" if verdict is Verdict.REJECT else "",
        )
    )


def test_keys_typed_into_the_filter_choose_rows_and_nonsense_says_what_there_is(panel):
    panel.set_rows(rows(70))
    QTest.keyClicks(panel.search, "state:accepted ef<55")
    shown = panel.model.rows
    assert shown and all(r.state is ReviewState.ACCEPTED and r.lv_ef < 55 for r in shown)
    assert not panel.problem.isVisible()
    panel.search.clear()
    QTest.keyClicks(panel.search, "colour:red")
    assert "knows no 'colour'; there are state" in panel.problem.text() and panel.problem.isVisible()
    assert len(panel.model.rows) == 70  # the list stays


def test_cases_of_the_audit_are_marked_and_their_rate_is_shown(panel):
    many = rows(400)
    panel.set_rows(many)
    assert "audit" not in panel.counts.text()
    panel.audit.setChecked(True)
    marked = [panel.model.data(panel.model.index(i, 0)).startswith("◆ ") for i in range(400)]
    assert marked == [in_audit(r.case_id) for r in panel.model.rows] and any(marked[:12])
    decided = [r for r in many if in_audit(r.case_id) and r.state.value in ("accepted", "corrected", "rejected")]
    accepted = sum(r.state is ReviewState.ACCEPTED for r in decided)
    assert f"◆ audit: {accepted} of {len(decided)} accepted" in panel.counts.text()


class _Reviewer:
    """What the memory needs of a reviewer."""

    def __init__(self, study: Study, reader: str) -> None:
        self.study, self.reader, self.saver = study, reader, WorkQueue()

    def settle(self) -> None:
        wait(lambda: self.saver.n_running == 0)


def test_filter_and_order_come_back_on_another_machine_for_the_same_reader(review_study, qapp):
    first, second, third = QueuePanel(), QueuePanel(), QueuePanel()
    for panel in (first, second, third):
        panel.set_rows(rows(40))
    ada = _Reviewer(review_study, "Ada")
    memory = QueueMemory(first)
    memory.follow(ada)
    ada.settle()
    QTest.keyClicks(first.search, "state:todo")
    first.order.setCurrentIndex(first.order.findData("most-changed-first"))
    first.audit.setChecked(True)
    first._sort_by(5)
    first._sort_by(5)
    memory.follow(None)  # closed before the delay is over: kept all the same
    ada.saver.close()
    for panel, name in ((second, "Ada"), (third, "Bob")):
        with Study.open(review_study.folder) as elsewhere:
            reviewer = _Reviewer(elsewhere, name)
            QueueMemory(panel, panel).follow(reviewer)
            reviewer.settle()
            reviewer.saver.close()
    assert second.arrangement() == first.arrangement() and second.model.rows == first.model.rows
    assert second.arrangement()["sorted"] == ["EF", False]
    assert third.arrangement()["text"] == "" and third.model.sorted_column is None


def test_the_team_window_plans_blind_second_reads_by_keyboard(review_study, qapp):
    for i in range(4):
        _decide(review_study, f"case{i}", "Ada")
    window = TeamWindow(review_study, "Bob")
    window.show()
    wait(lambda: window.progress.rowCount() == 1)
    assert window.empty.isVisible() and not window.plan.plan_button.isEnabled()
    window.plan.reader.setFocus()
    window.plan.reader.lineEdit().selectAll()
    QTest.keyClicks(window.plan.reader.lineEdit(), "Bob")
    window.plan.share.setFocus()
    window.plan.share.selectAll()
    QTest.keyClicks(window.plan.share, "100")
    window.plan.plan_button.setFocus()
    QTest.keyClick(window.plan.plan_button, Qt.Key.Key_Space)
    wait(lambda: "4 for Bob" in window.message.text())
    assert len(review_study.reading_tasks(reader="Bob")) == 4
    wait(lambda: window.progress.rowCount() == 2)
    assert window.progress.item(1, 6).text() == "(hidden)"  # Bob looks: what is planned for him unmasks nothing
    _decide(review_study, "case0", "Bob")
    _decide(review_study, "case1", "Bob", Verdict.REJECT)
    window.refresh()
    wait(lambda: window.agreement.rowCount() == 1)
    assert window.agreement.item(0, 0).text() == "Ada – Bob" and window.agreement.item(0, 2).text() == "50 %"
    assert "Readers differ on case1" in window.disputed.text()
    QTest.keyClick(window, Qt.Key.Key_Escape)
    assert not window.isVisible()


def test_the_team_window_says_what_to_do_while_nobody_has_read(review_study, qapp):
    window = TeamWindow(review_study, "Ada")
    window.show()
    wait(lambda: "No proposal" in window.acceptance.text())
    assert window.nobody.isVisible() and "A accepts" in window.nobody.text() and not window.progress.isVisible()
    _decide(review_study, "case0", "Ada")
    window.refresh()
    wait(window.progress.isVisible)
    assert not window.nobody.isVisible()
    window.close()


def test_a_plan_that_is_refused_says_why(review_study, qapp):
    _decide(review_study, "case0", "Ada")
    window = TeamWindow(review_study, "Ada")
    window.show()
    wait(lambda: window.progress.rowCount() == 1)
    window.plan.kind.setCurrentIndex(2)
    assert window.plan.count.isVisible() and not window.plan.share.isVisible()
    window.plan.reader.setEditText("Ada")
    QTest.mouseClick(window.plan.plan_button, Qt.MouseButton.LeftButton)
    wait(lambda: "predict labelled cases first" in window.message.text())
    window.close()


def test_the_team_window_opens_by_its_key_and_a_repeat_comes_unmarked(window):
    study = window.study
    seen = []

    def look():
        dialog = QApplication.activeModalWidget()
        seen.append(type(dialog).__name__)
        dialog.reject()

    QTimer.singleShot(200, look)
    window.press(Qt.Key.Key_T, SHIFT)
    assert seen == ["TeamWindow"]
    window.session.comment = "thin septum"
    window.widget.reviewer.remember_view()
    window.press(Qt.Key.Key_A)
    window.wait_for("case1")
    window.wait_saved()
    (task,) = plan_repeats(study, READER, share=1.0, by="Cyn", after_days=0)
    propose(study, "case0", beating_disc(2)[1], "model-1", 0.9)
    window.widget.reviewer.refresh_rows()
    window.wait_saved()
    row = window.widget.queue.model.row_by_id("case0")
    assert row.state is ReviewState.UNREVIEWED and row.reader_of_decision is None
    window.widget.open_case("case0")
    window.wait_for("case0")
    loaded = window.session.loaded
    assert loaded.decision is None and loaded.segmentation.id == task.segmentation_id and loaded.others == {}
    assert window.session.comment == "" and not window.session.flags  # what was noted then would tell
    window.press(Qt.Key.Key_A)
    window.wait_saved()
    assert [d.reading and d.reading.value for d in study.decisions("case0")] == [None, "repeat"]
