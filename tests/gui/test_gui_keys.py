import json

import pytest
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLineEdit, QVBoxLayout, QWidget

from napari_ssl.gui.cheat_sheet import CheatSheet
from napari_ssl.gui.keys import ACTIONS, KeyFilter, KeyTable

NONE, CTRL, SHIFT = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
)


@pytest.fixture
def table(qapp, home):
    return KeyTable()


def test_no_key_does_two_things(table):
    keys = [k for a in ACTIONS for k in table.keys(a.id)]
    assert len(keys) == len(set(keys))
    assert all(table.action_of(k) == a.id for a in ACTIONS for k in table.keys(a.id))


def test_the_keys_of_the_design_are_the_defaults(table):
    expected = {
        "A": "accept", "R": "reject", "Ctrl+Return": "save", "U": "flag", "N": "next_case", "Shift+N": "previous_case",
        "Ctrl+Backspace": "take_back", "Left": "previous_frame", "Up": "previous_slice", "D": "go_ed",
        "Alt+S": "set_es", "Shift+P": "play", "H": "overlays", "I": "confidence", "?": "cheat_sheet",
        "Ctrl+Z": "undo", "Ctrl+U": "copy_up",
    }  # fmt: skip
    assert {k: table.action_of(k) for k in expected} == expected


def test_a_file_rebinds_and_its_mistakes_are_told(table):
    table.path.parent.mkdir(parents=True)
    table.path.write_text(json.dumps({"accept": "Space", "defer": ["A"], "no such": ["B"], "flag": ["N"]}))
    table.load()
    assert table.action_of("Space") == "accept" and table.action_of("A") == "defer"
    assert table.action_of("U") == "flag"
    assert len(table.problems) == 2 and "no such" in table.problems[0] and "taken" in table.problems[1]


def test_changes_are_kept_in_the_settings_folder(table, home):
    table.set_keys("accept", ("Ctrl+K",))
    table.save()
    assert home in table.path.parents
    assert KeyTable().action_of("Ctrl+K") == "accept"
    table.reset()
    table.save()
    assert KeyTable().action_of("A") == "accept"


@pytest.mark.parametrize("key", ["N", "3", "no key at all"])
def test_keys_that_are_taken_or_unfit_are_refused(table, key):
    with pytest.raises(ValueError):
        table.set_keys("accept", (key,))
    assert table.action_of("A") == "accept"


@pytest.fixture
def watched(qapp, table):
    calls, digits, cancelled = [], [], []
    window = QWidget()
    field = QLineEdit()
    QVBoxLayout(window).addWidget(field)
    key_filter = KeyFilter(
        table,
        {a.id: lambda name=a.id: calls.append(name) for a in ACTIONS},
        lambda d: (digits.append(d), d < 5)[1],
        lambda: (cancelled.append(1), len(cancelled) == 1)[1],
        window,
    )
    key_filter.install(window)
    window.show()
    window.activateWindow()
    window.setFocus()
    yield window, field, calls, digits, key_filter
    window.close()


def test_keys_run_their_actions(watched):
    window, _, calls, digits, _ = watched
    for key, modifiers in (
        (Qt.Key.Key_A, NONE), (Qt.Key.Key_N, SHIFT), (Qt.Key.Key_Return, CTRL), (Qt.Key.Key_Enter, CTRL),
        (Qt.Key.Key_Z, CTRL | SHIFT), (Qt.Key.Key_4, NONE), (Qt.Key.Key_Semicolon, NONE),
    ):  # fmt: skip
        QTest.keyClick(window, key, modifiers)
    assert calls == ["accept", "previous_case", "save", "save", "redo"]
    assert digits == [4]


def test_the_question_mark_opens_the_cheat_sheet_on_any_layout(watched):
    window, _, calls, _, _ = watched
    QTest.sendKeyEvent(QTest.KeyAction.Press, window, Qt.Key.Key_Question, "?", SHIFT)
    assert calls == ["cheat_sheet"]


def test_escape_is_taken_only_when_there_is_something_to_call_off_and_digits_always(watched):
    window, _, calls, digits, key_filter = watched
    press = lambda key: QKeyEvent(QEvent.Type.KeyPress, key, NONE)  # noqa: E731
    assert key_filter.eventFilter(window, press(Qt.Key.Key_Escape))
    assert not key_filter.eventFilter(window, press(Qt.Key.Key_Escape))
    assert key_filter.eventFilter(window, press(Qt.Key.Key_7))
    assert (digits, calls) == ([7], [])


def test_text_fields_keep_their_keys(watched):
    window, field, calls, _, _ = watched
    field.setFocus()
    QTest.qWait(20)
    QTest.keyClicks(field, "an")
    QTest.keyClick(field, Qt.Key.Key_Backspace, CTRL)
    QTest.keyClick(window, Qt.Key.Key_A)
    assert calls == []


def test_removed_filter_claims_nothing(watched):
    window, _, calls, _, key_filter = watched
    key_filter.remove()
    QTest.keyClick(window, Qt.Key.Key_A)
    assert calls == []


def test_the_cheat_sheet_lists_every_action_and_changes_keys(table):
    sheet = CheatSheet(table)
    texts = [sheet.list.item(r, 0).text().strip() for r in range(sheet.list.rowCount())]
    assert all(a.text in texts for a in ACTIONS)
    sheet.list.selectRow(texts.index("Next case"))
    sheet.edit.setKeySequence("Ctrl+K")
    sheet.change_button.click()
    assert KeyTable().action_of("Ctrl+K") == "next_case"
    sheet.list.selectRow(texts.index("Next case"))
    sheet.edit.setKeySequence("A")
    sheet.change_button.click()
    assert "taken" in sheet.message.text()
