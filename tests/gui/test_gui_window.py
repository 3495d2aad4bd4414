"""Windows of their own: how the workspace begins, recovers and ends."""

import numpy as np
from gui_cases import beating_disc
from gui_driver import CTRL, READER, Driver, wait
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_ssl.gui import compat
from napari_ssl.gui.workspace import WorkspaceWidget, add_workspace
from napari_ssl.study.journal import EditJournal
from napari_ssl.study.study import Study


def test_strokes_of_a_killed_session_are_offered_and_can_be_discarded(make_napari_viewer, review_study):
    _, labels = beating_disc(0)
    base = review_study.proposal("case0").label_hash
    journal = EditJournal(review_study.folder, "case0", base, READER)
    journal.append(2, np.arange(5), labels[2].reshape(-1)[:5], np.full(5, 2))
    viewer = make_napari_viewer(show=True)
    widget = add_workspace(viewer, reader=READER)
    widget.set_study(Study.open(review_study.folder))
    driver = Driver(viewer, widget)
    driver.wait_for("case0")
    assert "1 stroke recovered" in widget.banner.text
    assert [b.text() for b in widget.banner.buttons] == ["Keep", "Discard"]
    assert driver.session.loaded.labels[2].reshape(-1)[:5].tolist() == [2] * 5
    widget.banner.buttons[1].click()
    assert driver.session.loaded.labels[2].reshape(-1)[:5].tolist() == [0] * 5
    assert not EditJournal.cases_with_edits(review_study.folder, READER)
    assert "Undo brings them back" in widget.banner.text
    driver.press(Qt.Key.Key_Z, CTRL)
    assert driver.session.loaded.labels[2].reshape(-1)[:5].tolist() == [2] * 5
    assert EditJournal.cases_with_edits(review_study.folder, READER) == {"case0"}
    widget.close_workspace()


def test_a_read_only_study_can_be_looked_at_only(make_napari_viewer, review_study):
    viewer = make_napari_viewer(show=True)
    widget = add_workspace(viewer, reader=READER)
    widget.set_study(Study.open(review_study.folder, read_only=True))
    driver = Driver(viewer, widget)
    driver.wait_for("case0")
    driver.press(Qt.Key.Key_A)
    assert "reading only" in widget.banner.text
    assert not widget.review.accept_button.isEnabled()
    assert driver.session.case_id == "case0" and review_study.decisions() == []
    widget.close_workspace()


def test_without_a_study_there_are_ways_to_begin(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    widget = add_workspace(viewer, reader=READER)
    texts = [b.text() for b in widget.start_page.buttons]
    assert texts == ["Open study …", "New study …", "Try the sample study"]
    QApplication.processEvents()
    assert widget.start_page.isVisible()
    assert not widget.review.take_back_button.isEnabled() and not widget.review.history_button.isEnabled()
    for key in (Qt.Key.Key_A, Qt.Key.Key_N, Qt.Key.Key_R, Qt.Key.Key_U, Qt.Key.Key_Right, Qt.Key.Key_H):
        QTest.keyClick(compat.canvas_widget(viewer), key)
    widget.close_workspace()


def test_a_study_without_proposals_says_what_to_do(make_napari_viewer, tmp_path, review_study):
    study = Study.create(tmp_path / "empty", label_scheme=review_study.label_scheme)
    viewer = make_napari_viewer(show=True)
    widget = add_workspace(viewer, reader=READER)
    widget.set_study(study)
    wait(lambda: "no images" in widget.start_page.text)
    widget.close_workspace()


def test_closing_the_dock_gives_keys_docks_and_wheel_back(make_napari_viewer, review_study):
    viewer = make_napari_viewer(show=True)
    widget = add_workspace(viewer, reader=READER)
    widget.set_study(Study.open(review_study.folder))
    Driver(viewer, widget).wait_for("case0")
    viewer.window.remove_dock_widget(widget)
    wait(lambda: "Queue" not in viewer.window.dock_widgets)
    assert all(dock.isVisible() for dock in compat.napari_docks(viewer))
    assert not any(layer.visible for layer in viewer.layers)


def test_npe2_opens_the_workspace_in_a_running_viewer(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-ssl", "Review workspace")
    assert isinstance(widget, WorkspaceWidget)
    assert "Queue" in viewer.window.dock_widgets
    widget.close_workspace()
