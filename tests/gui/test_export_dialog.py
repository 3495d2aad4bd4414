from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from gui_cases import beating_disc
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QMessageBox

from napari_ssl.core.export import FORMATS
from napari_ssl.gui.export_dialog import ExportDialog
from napari_ssl.gui.export_run import export_apart
from napari_ssl.io.images import read_labels
from napari_ssl.study import exporting


@pytest.fixture
def dialog(qtbot, review_study):
    dialog = ExportDialog(None, review_study)
    qtbot.addWidget(dialog)
    dialog.show()
    yield dialog
    dialog._close_when_done = True
    dialog.done(0)
    assert not [t for t in threading.enumerate() if t.name.startswith("napari-ssl")]


def choose(dialog, name: str, folder: Path) -> None:
    dialog.format.setCurrentIndex(dialog.format.findData(name))
    dialog.states.setCurrentIndex(1)
    dialog.folder.setText(str(folder))


def run(qtbot, dialog) -> None:
    dialog.export_button.click()
    qtbot.waitUntil(lambda: not dialog._exporting.running, timeout=20000)


def test_each_format_shows_its_own_choices_and_no_others(dialog):
    for name, entry in FORMATS.items():
        dialog.format.setCurrentIndex(dialog.format.findData(name))
        shown = {field for field, widget in dialog._rows.items() if not widget.isHidden()}
        assert shown == set(entry.options) and dialog.about.text() == entry.about
    assert not [label.text() for label in dialog.findChildren(QLabel) if "&" in label.text() and label.buddy() is None]
    assert set(dialog._rows) == {option for entry in FORMATS.values() for option in entry.options}


def test_what_would_be_exported_is_counted_before(qtbot, dialog):
    qtbot.waitUntil(lambda: dialog.summary.text() == "No case: choose all cases with labels.")
    dialog.states.setCurrentIndex(1)
    qtbot.waitUntil(lambda: dialog.summary.text() == "4 cases")
    assert not dialog.export_button.isEnabled()  # no folder yet


def test_labels_are_written_and_the_folder_is_offered(qtbot, dialog, tmp_path):
    choose(dialog, "nifti", tmp_path / "out")
    run(qtbot, dialog)
    assert dialog.summary.text() == "5 files written." and dialog.show_button.isVisible()
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "case1_seg.nii.gz"), beating_disc(1)[1])
    assert dialog.close_button.text() == "Close"
    run(qtbot, dialog)
    assert "exists already" in dialog.banner.text and dialog.summary.text() == "Nothing was written."
    dialog.overwrite.setChecked(True)
    run(qtbot, dialog)
    assert dialog.summary.text() == "5 files written."


@pytest.mark.parametrize(("answer", "value"), [("Yes", 9), ("No", None)])
def test_changed_label_values_are_confirmed_first(qtbot, dialog, tmp_path, monkeypatch, answer, value):
    asked = []
    monkeypatch.setattr(
        QMessageBox, "question", lambda *texts: asked.append(texts[-1]) or getattr(QMessageBox.StandardButton, answer)
    )
    choose(dialog, "nifti", tmp_path / "out")
    dialog.relabel.setText("3=9")
    run(qtbot, dialog)
    assert asked == ["In what is exported, values change: LV: 3 → 9."]
    assert (tmp_path / "out").exists() == (value is not None)
    if value:
        assert read_labels(tmp_path / "out" / "case0_seg.nii.gz").max() == 9


def test_a_field_that_cannot_be_read_is_named(dialog, tmp_path):
    choose(dialog, "nifti", tmp_path / "out")
    dialog.relabel.setText("3 to 9")
    dialog.export_button.click()
    assert "write OLD=NEW" in dialog.banner.text and not dialog._exporting.running


def test_stopping_leaves_nothing_and_closes(qtbot, dialog, tmp_path, monkeypatch):
    writing, go_on = threading.Event(), threading.Event()

    def slow(run_):
        for item in run_.each(run_.items()):
            run_.target.write(item.case.id, "x")
            writing.set()
            go_on.wait(10)

    monkeypatch.setitem(exporting._WRITERS, "nifti", slow)
    choose(dialog, "nifti", tmp_path / "out")
    dialog.export_button.click()
    assert writing.wait(10) and dialog.close_button.text() == "Stop"
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    go_on.set()
    qtbot.waitUntil(lambda: not dialog.isVisible(), timeout=5000)
    assert not (tmp_path / "out").exists()


def test_a_model_is_exported_by_a_process_of_its_own_and_its_errors_are_told(review_study, tmp_path):
    """The window's process loads no torch; the model of these tests has no weights that could be exported."""
    from types import SimpleNamespace

    from napari_ssl.core.export import ExportOptions
    from napari_ssl.errors import StudyError

    quiet = SimpleNamespace(should_stop=lambda: False)
    options = ExportOptions(model_id="model-1")
    with pytest.raises(StudyError, match="model-1"):
        export_apart(review_study, tmp_path / "out", "monai-bundle", options, overwrite=False, run=quiet)
    assert not (tmp_path / "out").exists()
