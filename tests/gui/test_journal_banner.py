"""A damaged journal is told where the case is looked at, with what to do."""

from __future__ import annotations

import pytest
from gui_driver import READER, wait
from qtpy.QtCore import Qt

from napari_ssl.study.journal import EditJournal


def _journal(study, case_id="case0"):
    return EditJournal(study.folder, case_id, "", READER).path


def _paint_and_leave(window, n):
    for _ in range(n):
        window.stroke()
        window.press(Qt.Key.Key_Right)
    wait(lambda: window.session.strokes.n == n)
    window.widget.open_case("case1")
    window.wait_for("case1")


def test_strokes_behind_a_damaged_one_are_told_with_the_file_that_keeps_them(window, review_study):
    _paint_and_leave(window, 3)
    path = _journal(review_study)
    content = bytearray(path.read_bytes())
    second = content.index(b"\n") + 1
    second += 8 + int.from_bytes(content[second : second + 4], "little")
    content[second + 12] ^= 1
    path.write_bytes(content)
    window.widget.open_case("case0")
    window.wait_for("case0")
    text = window.widget.banner.text
    kept = next(path.parent.glob("*.damaged-*"))
    assert "1 unsaved stroke could be read" in text and str(kept) in text and "paint again" in text
    assert window.widget.banner.kind == "error" and kept.read_bytes() == bytes(content)
    assert window.session.strokes.n == 1


@pytest.mark.parametrize("damage", ["first line", "past"])
def test_a_journal_that_cannot_be_read_is_put_away_by_a_click(window, review_study, damage):
    _paint_and_leave(window, 2)
    path = _journal(review_study)
    if damage == "first line":
        path.write_bytes(b"no journal" + path.read_bytes())
    else:
        window.widget.open_case("case0")
        window.wait_for("case0")
        window.widget.save()
        window.wait_saved()
        window.widget.open_case("case1")
        window.wait_for("case1")
        content = bytearray(path.read_bytes())
        content[content.index(b"\n") + 13] ^= 1
        path.write_bytes(content)
    before = path.read_bytes()
    window.widget.open_case("case0")
    wait(lambda: window.widget.banner.buttons)
    captions = {b.text(): b for b in window.widget.banner.buttons}
    assert str(path) in window.widget.banner.text and "Try again" in captions
    captions["Go on without these strokes"].click()
    window.wait_for("case0")
    assert [p.read_bytes() for p in path.parent.glob("*.damaged-*")] == [before]
    assert not window.session.is_edited and not path.exists()
