from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from panel_fakes import write_image
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.gui.import_dialog import ImportDialog
from napari_ssl.gui.import_drop import ImportDrop
from napari_ssl.study.study import Study

sys.path.append(str(Path(__file__).parents[1] / "io"))
from dicom_files import cine, save


@pytest.fixture
def study(tmp_path):
    with Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"]) as study:
        yield study


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        write_image(folder / f"{name}.nii.gz", rng.integers(0, 99, (2, 3, 16, 20)).astype(np.int16))
    write_image(folder / "a_gt.nii.gz", np.full((2, 3, 16, 20), 2, np.uint8))
    return folder


@pytest.fixture
def dialog(qtbot, study):
    dialog = ImportDialog(None, study)
    qtbot.addWidget(dialog)
    dialog.show()
    yield dialog
    dialog._close_when_done = True
    dialog.done(0)
    assert not [t for t in threading.enumerate() if t.name.startswith("napari-ssl")]


def look(qtbot, dialog, *paths):
    dialog.set_paths(paths)
    qtbot.waitUntil(lambda: not dialog._looking.running, timeout=5000)


def test_what_was_found_is_shown_before_anything_is_written(qtbot, dialog, images, study):
    look(qtbot, dialog, images)
    assert dialog.summary.text() == ("3 images of 3 subjects, 1 of them with labels. Nothing has been written yet.")
    row = [dialog.table.item(0, c).text() for c in range(8)]
    assert row == ["a", "a", "2", "3", "16 × 20", "10 × 1.5 × 1.5", row[6], "file"]
    assert "1 = RV" in dialog.labels.note.text()
    assert study.cases() == []


def test_importing_writes_and_reports(qtbot, dialog, images, study):
    look(qtbot, dialog, images)
    dialog.split.setCurrentIndex(dialog.split.findData("train"))
    assert dialog.import_button.text() == "Import 3 images"
    qtbot.mouseClick(dialog.import_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dialog.report is not None, timeout=5000)
    assert dialog.summary.text() == "3 imported."
    assert [c.id for c in study.cases(split="train")] == ["a", "b", "c"]
    assert dialog.close_button.text() == "Close" and not dialog.import_button.isEnabled()


def test_a_file_that_cannot_be_read_is_marked_and_left_out(qtbot, dialog, images):
    (images / "d.nii.gz").write_bytes(b"nothing")
    look(qtbot, dialog, images)
    assert "1 cannot be read" in dialog.summary.text()
    assert "d.nii.gz" in dialog.details.toPlainText() and dialog.details.isVisible()
    assert dialog.import_button.text() == "Import 3 images"


def test_labels_that_do_not_fit_fail_alone_and_are_told(qtbot, dialog, images, study):
    write_image(images / "b_gt.nii.gz", np.full((2, 3, 16, 20), 9, np.uint8))
    look(qtbot, dialog, images)
    qtbot.mouseClick(dialog.import_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dialog.report is not None, timeout=5000)
    assert dialog.summary.text() == "2 imported; 1 failed."
    assert "label value 9" in dialog.details.toPlainText()
    assert dialog.banner.kind == "warning"


def test_an_empty_choice_says_what_is_wrong(qtbot, dialog, tmp_path):
    (tmp_path / "nothing").mkdir()
    look(qtbot, dialog, tmp_path / "nothing")
    assert "choose another folder" in dialog.banner.text
    assert not dialog.import_button.isEnabled()


def test_files_are_chosen_too(qtbot, dialog, images):
    look(qtbot, dialog, images / "b.nii.gz", images / "c.nii.gz")
    assert dialog.path.text() == f"2 files in {images}"
    assert dialog.import_button.text() == "Import 2 images"


def test_a_typed_path_is_looked_at(qtbot, dialog, images):
    dialog.path.setText(str(images))
    qtbot.keyClick(dialog.path, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: dialog.table.rowCount() == 3, timeout=5000)
    assert dialog.isVisible()


def test_stopping_ends_after_the_present_image(qtbot, dialog, images, study, monkeypatch):
    look(qtbot, dialog, images)
    entered, held = threading.Event(), threading.Event()
    add = study._add_case

    def slow(item, split, should_stop):
        entered.set()
        held.wait(3)
        return add(item, split, should_stop)

    monkeypatch.setattr(study, "_add_case", slow)
    qtbot.mouseClick(dialog.import_button, Qt.MouseButton.LeftButton)
    assert dialog.close_button.text() == "Stop"
    qtbot.waitUntil(entered.is_set, timeout=3000)
    qtbot.mouseClick(dialog.close_button, Qt.MouseButton.LeftButton)
    assert dialog.isVisible() and "Stopping" in dialog.summary.text()
    held.set()
    qtbot.waitUntil(lambda: not dialog.isVisible(), timeout=5000)
    assert dialog.report.stopped and [c.id for c in study.cases()] == ["a"]


# what label values mean


@pytest.fixture
def ukbb(tmp_path, qtbot):
    """A dialog on a study whose order is not that of ACDC."""
    with Study.create(tmp_path / "ukbb", label_scheme=PRESETS["ukbb"]) as made:
        dialog = ImportDialog(None, made)
        qtbot.addWidget(dialog)
        dialog.show()
        yield dialog
        dialog.done(0)


def acdc_folder(folder):
    (folder / "p1").mkdir(parents=True)
    labels = np.zeros((3, 16, 20), np.uint8)
    labels[:, 2:4, 2:4], labels[:, 5:8, 5:8], labels[:, 10:14, 10:14] = 1, 2, 3
    write_image(folder / "p1" / "p1_frame01.nii.gz", labels.astype(np.int16) * 50)
    write_image(folder / "p1" / "p1_frame01_gt.nii.gz", labels)
    return folder


def test_another_order_of_labels_is_shown_with_counts_and_must_be_confirmed(qtbot, ukbb, tmp_path):
    look(qtbot, ukbb, acdc_folder(tmp_path / "acdc"))
    qtbot.waitUntil(lambda: ukbb.labels.table.item(0, 1).text() != "…", timeout=5000)
    rows = [[ukbb.labels.table.item(r, c).text() for c in range(4)] for r in range(3)]
    assert rows == [["1", "12", "1", "RV"], ["2", "27", "1", "Myo"], ["3", "48", "1", "LV"]]
    boxes = [ukbb.labels.table.cellWidget(r, 4).currentText() for r in range(3)]
    assert boxes == ["RV (3)", "Myo (2)", "LV (1)"]
    assert "ACDC" in ukbb.labels.note.text() and "1=RV" in ukbb.labels.note.text()
    assert not ukbb.import_button.isEnabled() and "labels mean" in ukbb.import_button.toolTip()
    ukbb.labels.confirm.setChecked(True)
    assert ukbb.import_button.isEnabled()
    qtbot.mouseClick(ukbb.import_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: ukbb.report is not None, timeout=5000)
    study = ukbb._study
    labels = study.read_labels(study.segmentations()[0])
    assert [int((labels == v).sum()) for v in (1, 2, 3)] == [48, 27, 12]


def test_a_change_of_a_meaning_takes_the_confirmation_back(qtbot, ukbb, tmp_path):
    look(qtbot, ukbb, acdc_folder(tmp_path / "acdc"))
    qtbot.waitUntil(lambda: not ukbb._counting.running, timeout=5000)
    ukbb.labels.confirm.setChecked(True)
    box = ukbb.labels.table.cellWidget(0, 4)
    box.setCurrentIndex(box.findText("left out"))
    assert not ukbb.import_button.isEnabled()
    ukbb.labels.confirm.setChecked(True)
    assert ukbb.labels.order().pairs == ((1, 0), (2, 2), (3, 1))


def test_labels_of_the_studys_own_order_need_no_word(qtbot, dialog, tmp_path):
    look(qtbot, dialog, acdc_folder(tmp_path / "acdc"))
    assert dialog.labels.isVisible() and not dialog.labels.confirm.isVisible()
    assert dialog.import_button.isEnabled() and dialog.labels.order() is None


# DICOM


def test_dicom_is_shown_by_pseudonym_before_anything_is_written(qtbot, dialog, tmp_path, study):
    save(tmp_path / "in" / "Surname", cine(SeriesDescription="cine SAX"))
    broken = cine(SeriesInstanceUID="1.2.3.9")
    del broken[0][1].TriggerTime
    save(tmp_path / "in" / "Given", broken)
    look(qtbot, dialog, tmp_path / "in")
    cells = [[dialog.table.item(r, c).text() for c in range(10)] for r in range(2)]
    good, bad = (next(row for row in cells if (row[2] == "2") == wanted) for wanted in (True, False))
    assert good[2:7] == ["2", "3", "4 × 5", "8 × 1.5 × 1.25", "40 ms"]
    assert good[9] == "“cine SAX”" and bad[9] == "cannot be imported"
    assert "no trigger time" in dialog.details.toPlainText()
    shown = dialog.details.toPlainText() + "".join(map(str, cells)) + dialog.summary.text()
    assert "Surname" not in shown and "Given" not in shown and "4711" not in shown
    assert not (study.folder / "images").exists() and not (study.folder / "pseudonym.key").exists()
    qtbot.mouseClick(dialog.import_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dialog.report is not None, timeout=5000)
    assert dialog.summary.text() == "1 imported."
    assert (study.folder / "pseudonym.key").is_file()
    assert study.cases()[0].id == good[1]


def test_series_that_are_not_ticked_stay_out(qtbot, dialog, tmp_path, study):
    save(tmp_path / "in" / "a", cine())
    save(tmp_path / "in" / "b", cine(SeriesInstanceUID="1.2.3.9", SeriesNumber=8))
    look(qtbot, dialog, tmp_path / "in")
    assert dialog.import_button.text() == "Import 2 images"
    dialog.table.item(0, 0).setCheckState(Qt.CheckState.Unchecked)
    assert dialog.import_button.text() == "Import 1 image"
    qtbot.mouseClick(dialog.import_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dialog.report is not None, timeout=5000)
    assert [c.id[-2:] for c in study.cases()] == ["s8"]


def test_the_options_of_dicom_are_looked_at_anew(qtbot, dialog, tmp_path):
    save(tmp_path / "in", cine())
    look(qtbot, dialog, tmp_path / "in")
    assert dialog.table.item(0, 0).text() != "ID-4711"
    dialog.options.keep_identity.setChecked(True)
    qtbot.waitUntil(lambda: dialog.table.rowCount() == 1 and dialog.table.item(0, 0).text() == "ID-4711", timeout=5000)
    dialog.layout_choice.setCurrentIndex(dialog.layout_choice.findData("acdc"))
    assert not dialog.options.keep_identity.isVisible()


# drag and drop


def drop(widget, *paths):
    """Drag files in and let them go: Qt delivers a drop only to what took the drag."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(p)) for p in paths])
    copy, buttons, keys = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(widget, QDragEnterEvent(QPoint(5, 5), copy, data, buttons, keys))
    QApplication.sendEvent(widget, QDropEvent(QPointF(5, 5), copy, data, buttons, keys))


def test_a_folder_dropped_onto_the_dialog_is_looked_at(qtbot, dialog, images):
    drop(dialog, images)
    qtbot.waitUntil(lambda: dialog.table.rowCount() == 3, timeout=5000)


def test_folders_dropped_onto_the_window_start_the_import_and_files_do_not(qtbot, tmp_path, images):
    window, started, open_study = QWidget(), [], [True]
    qtbot.addWidget(window)
    window.show()
    ImportDrop(started.append, lambda: open_study[0], window).install(window)
    drop(window, images / "a.nii.gz")
    drop(window, images)
    save(tmp_path / "in", cine())
    drop(window, tmp_path / "in" / "0000.dcm")
    qtbot.waitUntil(lambda: len(started) == 2, timeout=2000)
    assert started == [[images], [tmp_path / "in" / "0000.dcm"]]
    open_study[0] = False
    drop(window, images)
    qtbot.wait(20)
    assert len(started) == 2
