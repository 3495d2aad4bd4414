from dataclasses import replace

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QPalette
from qtpy.QtTest import QTest

from napari_ssl.core.case import Split
from napari_ssl.core.decision import ReviewState
from napari_ssl.gui.queue_model import COLUMNS, STATE_TEXTS, TO_DO
from napari_ssl.gui.queue_panel import QueuePanel
from napari_ssl.study.queue_rows import QueueRow

EF = [title for title, *_ in COLUMNS].index("EF")


def rows(n):
    states = list(ReviewState)
    return [
        QueueRow(
            case_id=f"case{i:05d}",
            subject_id=f"s{i:05d}",
            split=Split.TRAIN if i % 4 else Split.TEST,
            state=states[i % len(states)],
            mean_confidence=(i * 7919 % n) / n,
            lv_ef=None if i % 3 else 40.0 + i % 20,
            proposal_id=i + 1 if i % 5 else None,
            model_id="m1",
        )
        for i in range(n)
    ]


@pytest.fixture
def panel(qapp):
    panel = QueuePanel()
    panel.resize(320, 600)
    panel.show()
    yield panel
    panel.close()


def test_ten_thousand_cases_are_shown_filtered_and_sorted(panel):
    many = rows(10_000)
    panel.set_rows(many)
    assert len(panel.model.rows) == 10_000
    panel.search.setText("case00")
    panel.order.setCurrentIndex(2)
    panel._sort_by(EF)
    assert len(panel.model.rows) == 1000


def test_least_confident_come_first_and_unknown_last(panel):
    panel.set_rows(rows(50))
    confidences = [r.mean_confidence for r in panel.model.rows]
    assert confidences == sorted(confidences)


def test_a_heading_sorts_by_its_column_both_ways_with_unknown_values_last(panel):
    panel.set_rows(rows(50))
    panel._sort_by(EF)
    known = [r.lv_ef for r in panel.model.rows if r.lv_ef is not None]
    assert known == sorted(known)
    panel._sort_by(EF)
    assert [r.lv_ef for r in panel.model.rows[: len(known)]] == sorted(known, reverse=True)
    assert panel.model.rows[-1].lv_ef is None
    panel.order.setCurrentIndex(4)
    assert [r.case_id for r in panel.model.rows] == sorted(r.case_id for r in panel.model.rows)


def test_filters_narrow_the_list_and_counts_say_so(panel):
    panel.set_rows(rows(40))
    panel.show_split("test")
    assert {r.split for r in panel.model.rows} == {Split.TEST}
    assert "10 of 40 cases shown" in panel.counts.text()
    panel.state.setCurrentIndex(panel.state.findText("To do"))
    assert all(r.state in TO_DO for r in panel.model.rows)
    panel.search.setText("nothing like this")
    assert panel.empty.isVisible()


def test_next_to_do_passes_over_decided_cases_and_cases_without_labels(panel):
    panel.set_rows(rows(40))
    panel.set_current(panel.model.rows[0].case_id)
    following = panel.next_case(to_do_only=True)
    row = next(r for r in panel.model.rows if r.case_id == following)
    assert row.state in TO_DO and row.proposal_id is not None
    assert panel.next_case(1) == panel.model.rows[1].case_id
    assert panel.next_case(-1) is None


def test_a_case_that_the_filter_hides_still_has_a_next_one(panel):
    panel.set_rows(rows(40))
    ids = [r.case_id for r in panel.model.rows]
    panel.set_current(ids[5])
    panel.set_rows([r for r in rows(40) if r.case_id != ids[5]])
    assert panel.next_case(1) == ids[6]


def test_a_click_chooses_and_letters_are_left_to_the_workspace(panel, qtbot):
    panel.set_rows(rows(10))
    place = panel.table.visualRect(panel.model.index(3, 0)).center()
    with qtbot.waitSignal(panel.case_chosen) as chosen:
        QTest.mouseClick(panel.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert chosen.args == [panel.model.rows[3].case_id]
    QTest.keyClick(panel.table, Qt.Key.Key_C)
    assert panel.table.currentIndex().row() == 3


def test_a_decision_shows_before_it_is_stored(panel):
    panel.set_rows(rows(10))
    case_id = panel.model.rows[0].case_id
    panel.set_state(case_id, ReviewState.ACCEPTED)
    assert panel.model.rows[0].state is ReviewState.ACCEPTED
    assert panel.model.index(0, 1).data() == "accepted"


@pytest.mark.parametrize(("background", "text"), [("#e9e6e6", "#3b3a39"), ("#262930", "#f0f1f2")])
def test_flags_and_cases_without_labels_are_read_in_a_light_and_in_a_dark_theme(panel, background, text):
    palette = panel.palette()
    palette.setColor(QPalette.ColorRole.Window, QColor(background))
    palette.setColor(QPalette.ColorRole.WindowText, QColor(text))
    panel.setPalette(palette)
    panel.set_rows([replace(rows(1)[0], proposal_id=1, n_flags=2), replace(rows(1)[0], case_id="b", proposal_id=None)])
    titles = [title for title, *_ in COLUMNS]
    for row, title in ((0, "Rules"), (1, "Case")):
        at = next(i for i, r in enumerate(panel.model.rows) if (r.proposal_id is None) == bool(row))
        ink = panel.model.index(at, titles.index(title)).data(Qt.ItemDataRole.ForegroundRole)
        assert _contrast(ink, QColor(background)) >= 4.5


def test_the_review_goes_on_where_it_was_though_a_saved_case_moves_in_the_order(panel):
    model = panel.model
    many = [replace(r, state=ReviewState.UNREVIEWED, proposal_id=1) for r in rows(6)]
    panel.set_rows(many)
    ids = [r.case_id for r in model.rows]
    model.set_current(ids[2])
    saved = [replace(r, mean_confidence=None) if r.case_id == ids[2] else r for r in many]
    for _ in range(2):  # the queue may be read more than once
        panel.set_rows(saved)
        assert model.rows[-1].case_id == ids[2]
        assert model.neighbour(1) == model.neighbour(1, to_do_only=True) == ids[3]
        assert model.neighbour(-1) == model.neighbour(-1, to_do_only=True) == ids[1]
    model.set_current(ids[4])
    assert (model.neighbour(-1), model.neighbour(1)) == (ids[3], ids[5])


def test_no_state_is_cut(panel):
    panel.set_rows(rows(10))
    width = panel.table.columnWidth(1) - 12 - 12  # the mark, and room at its sides
    assert all(panel.table.fontMetrics().horizontalAdvance(text) <= width for text in STATE_TEXTS.values())


def _contrast(first, second):
    """Contrast after WCAG 2.1."""

    def luminance(colour):
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.getRgbF()[:3]]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)
