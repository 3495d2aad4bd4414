import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_ssl.gui.findings import FindingList
from napari_ssl.measures.flags import Flag, Severity


def flag(rule="jumps", severity=Severity.IMPLAUSIBLE, frames=(4,), slices=(), message="LV volume jumps in frame 4."):
    return Flag(
        rule=rule,
        severity=severity,
        value=16.5,
        limit=12.0,
        unit="%",
        frames=frames,
        slices=slices,
        message=message,
        source="early filling",
    )


GAP = flag("slice-gaps", Severity.IMPOSSIBLE, (5, 6), (2,), "RV has a gap: frames 5–6, slice 2.")


@pytest.fixture
def findings(qtbot):
    widget = FindingList()
    qtbot.addWidget(widget)
    widget.resize(400, 100)
    widget.show()
    places = []
    widget.place_chosen.connect(lambda frame, slice_: places.append((frame, slice_)))
    return widget, places


def test_each_finding_is_a_sentence_with_value_limit_and_source(findings):
    widget, _ = findings
    widget.show_flags([flag(), GAP])
    texts = [widget.list.item(i).text() for i in range(widget.list.count())]
    assert texts == ["● RV has a gap: frames 5–6, slice 2.", "● LV volume jumps in frame 4."]
    tip = widget.list.item(1).toolTip()
    assert "16.5 %" in tip and "limit 12 %" in tip and "early filling" in tip and "jumps" in tip
    assert widget.list.item(0).foreground().color() != widget.list.item(1).foreground().color()


def test_a_click_goes_to_frame_and_slice_and_again_to_the_next_place(findings):
    widget, places = findings
    widget.show_flags([flag(), GAP])
    for _ in range(3):
        where = widget.list.visualItemRect(widget.list.item(0)).center()
        QTest.mouseClick(widget.list.viewport(), Qt.MouseButton.LeftButton, pos=where)
    assert places == [(5, 2), (6, 2), (5, 2)]


def test_keys_go_from_finding_to_finding(findings):
    widget, places = findings
    widget.show_flags([flag(), GAP])
    for step in (1, 1, 1, -1):
        widget.step(step)
    assert places == [(5, 2), (4, -1), (5, 2), (4, -1)]
    widget.list.setCurrentRow(0)
    QTest.keyClick(widget.list, Qt.Key.Key_Return)
    assert places[-1] == (5, 2)


def test_nothing_found_is_said_and_the_same_findings_keep_their_place(findings):
    widget, places = findings
    widget.show_flags([GAP])
    widget.step(1)
    widget.show_flags([GAP])
    widget.step(1)
    assert places == [(5, 2), (5, 2)]
    widget.show_flags([])
    assert widget.summary.text() == "Rules: nothing found." and not widget.list.isVisible()
    widget.step(1)
    assert len(places) == 2
