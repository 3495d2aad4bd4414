"""Every field and button has a name that a screen reader can say, and Tab reaches it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QScrollBar,
    QTabBar,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from napari_ssl.core.case import Split
from napari_ssl.core.subject import Subject
from napari_ssl.gui.cheat_sheet import CheatSheet
from napari_ssl.gui.curve_view import CurveView
from napari_ssl.gui.engine_dialog import EngineDialog
from napari_ssl.gui.export_dialog import ExportDialog
from napari_ssl.gui.findings import FindingList
from napari_ssl.gui.history_dialog import HistoryDialog
from napari_ssl.gui.history_rows import HistoryRow
from napari_ssl.gui.import_dialog import ImportDialog
from napari_ssl.gui.keys import KeyTable
from napari_ssl.gui.models_panel import ModelsPanel
from napari_ssl.gui.place_grid import PlaceGrid
from napari_ssl.gui.pressures import PressureDialog
from napari_ssl.gui.quality_panel import QualityPanel
from napari_ssl.gui.queue_panel import QueuePanel
from napari_ssl.gui.rating_panel import RatingPanel
from napari_ssl.gui.reasons_dialog import ReasonsDialog
from napari_ssl.gui.review_panel import ReviewPanel
from napari_ssl.gui.start_page import StartPage
from napari_ssl.gui.study_dialogs import NewStudyDialog
from napari_ssl.gui.subject_dialog import SubjectDialog
from napari_ssl.gui.team_window import TeamWindow
from napari_ssl.gui.tour import Tour, TourStep
from napari_ssl.gui.training_panel import TrainingPanel
from napari_ssl.jobs.connection import ENGINE_FOLDER_VARIABLE

_FIELDS = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
    PlaceGrid,
    CurveView,
)
_PARTS_OF_QT = (QScrollBar, QHeaderView, QTabBar)


def _is_part_of_another(widget: QWidget) -> bool:
    """Whether Qt itself put the widget into a field, e.g. the line inside a number field, or a table's corner."""
    if isinstance(widget, _PARTS_OF_QT) or widget.objectName().startswith("qt_"):
        return True
    parent = widget.parentWidget()
    inside = (QAbstractSpinBox, QComboBox, QAbstractItemView, QTabBar, QHeaderView, QLineEdit)
    while parent is not None:
        if isinstance(parent, inside) or type(parent).__name__ == "QComboBoxPrivateContainer":
            return True
        parent = parent.parentWidget()
    return False


def fields(root: QWidget) -> list[QWidget]:
    """Return what a person can operate."""
    found = [w for w in (root, *root.findChildren(QWidget)) if isinstance(w, _FIELDS)]
    return [w for w in found if not _is_part_of_another(w)]


def spoken(widget: QWidget, root: QWidget) -> str:
    """Return what a screen reader says: the accessible name, a button's text, or the label whose buddy it is."""
    if widget.accessibleName().strip():
        return widget.accessibleName()
    if isinstance(widget, QAbstractButton) and any(c.isalnum() for c in widget.text()):
        return widget.text()
    labels = root.findChildren(QLabel)
    return next((label.text() for label in labels if label.buddy() is widget and label.text().strip()), "")


def problems(root: QWidget) -> list[str]:
    """Return what is wrong with the fields of a panel."""
    found = []
    for widget in fields(root):
        where = f"{type(widget).__name__} {widget.objectName() or getattr(widget, 'text', lambda: '')()!r}"
        if not spoken(widget, root):
            found.append(f"{where}: has no name for a screen reader")
        if not widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
            found.append(f"{where} ({spoken(widget, root)}): Tab does not reach it")
    return found


def _start_page(holder: QWidget) -> QWidget:
    page = StartPage(holder)
    page.show_page("Title", "Text", (("Do it", lambda: None),))
    return page


def _review(_holder: QWidget) -> QWidget:
    panel = ReviewPanel(KeyTable())
    panel.reasons.offer(("LV wrong", "Other"))
    return panel


def _history(_holder: QWidget) -> QWidget:
    row = HistoryRow(
        at=datetime.now(UTC), who="Ada", what="accepted", version="version 1", model="m1", seconds=3.0, remark="",
        segmentation_id=1, decision_id=1,
    )  # fmt: skip
    return HistoryDialog("p0", [row])


def _tour(holder: QWidget) -> QWidget:
    tour = Tour(holder)
    tour.start(holder, [TourStep(title="The queue", text="Cases wait here.", target=holder)])
    return tour.bubble


_PANELS = {
    "review": _review,
    "rating": lambda _h: RatingPanel(KeyTable()),
    "training": lambda _h: TrainingPanel(),
    "models": lambda _h: ModelsPanel(),
    "quality": lambda _h: QualityPanel(),
    "queue": lambda _h: QueuePanel(),
    "curves": lambda _h: CurveView(),
    "findings": lambda _h: FindingList(),
    "keys": lambda _h: CheatSheet(KeyTable()),
    "new study": lambda _h: NewStudyDialog(),
    "reasons": lambda _h: ReasonsDialog(("a",), ("a",), lambda _r: None),
    "pressures": lambda _h: PressureDialog("p0", (120.0, 80.0)),
    "subject": lambda _h: SubjectDialog(Subject(id="s0", split=Split.TRAIN)),
    "history": _history,
    "start": _start_page,
    "tour": _tour,
}


@pytest.mark.parametrize("name", _PANELS)
def test_every_field_has_a_name_and_is_reached_by_tab(name, qtbot, home):
    holder = QWidget()
    qtbot.addWidget(holder)
    QVBoxLayout(holder)
    panel = _PANELS[name](holder)
    qtbot.addWidget(panel)
    assert fields(panel), "nothing was looked at"
    assert not problems(panel)


class QuietBridge(QObject):
    """A runner's line that says nothing."""

    jobs_changed = Signal(list)
    refused = Signal(str, str)

    def close(self) -> None:
        return


_DIALOGS_OF_A_STUDY = {
    "import": lambda study: ImportDialog(None, study),
    "export": lambda study: ExportDialog(None, study),
    "team": lambda study: TeamWindow(study, "Ada"),
    "jobs and engine": lambda study: EngineDialog(study, make_bridge=lambda _f, _p: QuietBridge()),
}


@pytest.mark.parametrize("name", _DIALOGS_OF_A_STUDY)
def test_dialogs_of_a_study_have_names_and_are_walked_by_tab_to_the_end(
    name, qtbot, review_study, tmp_path, monkeypatch
):
    monkeypatch.setenv(ENGINE_FOLDER_VARIABLE, str(tmp_path / "engine"))
    dialog = _DIALOGS_OF_A_STUDY[name](review_study)
    qtbot.addWidget(dialog)
    dialog.show()
    qtbot.waitExposed(dialog)
    assert len(fields(dialog)) > 3
    assert not problems(dialog)
    reached = _walk(qtbot, dialog)
    wanted = {w for w in fields(dialog) if w.isVisible() and w.isEnabled()}  # what was read meanwhile changed them
    missed = {type(w).__name__ + " " + spoken(w, dialog) for w in wanted if not _was_reached(w, reached)}
    dialog.done(0)
    assert not missed


def _walk(qtbot, dialog: QWidget) -> set[QWidget]:
    """Press Tab until the focus comes round; returns what had it."""
    reached: set[QWidget] = set()
    dialog.activateWindow()
    qtbot.waitUntil(dialog.isActiveWindow, timeout=10000)
    first = dialog.focusWidget() or dialog.nextInFocusChain()
    first.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.waitUntil(first.hasFocus, timeout=10000)
    for _ in range(200):
        now = dialog.focusWidget()
        if now is None or (now in reached and len(reached) > 1 and now is first):
            break
        reached.add(now)
        QTest.keyClick(now, Qt.Key.Key_Tab)
    return reached


def _was_reached(widget: QWidget, reached: set[QWidget]) -> bool:
    """Whether the field, or the line inside it, had the focus."""
    return widget in reached or any(widget.isAncestorOf(w) for w in reached)


def test_a_field_without_name_or_focus_is_found(qtbot):
    holder = QWidget()
    qtbot.addWidget(holder)
    column = QVBoxLayout(holder)
    column.addWidget(QLineEdit())
    mute = QComboBox()
    mute.setAccessibleName("Order")
    mute.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
    column.addWidget(mute)
    assert [text.split(": ")[-1] for text in problems(holder)] == [
        "has no name for a screen reader",
        "Tab does not reach it",
    ]
