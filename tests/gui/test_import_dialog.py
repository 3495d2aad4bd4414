from __future__ import annotations

import threading

import numpy as np
import pytest
from panel_fakes import write_image
from qtpy.QtCore import Qt

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.gui.import_dialog import ImportDialog
from napari_ssl.study.study import Study


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
    assert "1 = RV" in dialog.scheme_note.text()
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
