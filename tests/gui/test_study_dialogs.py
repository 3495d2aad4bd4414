from __future__ import annotations

import json
import subprocess
import sys

import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.gui import study_dialogs
from napari_ssl.gui.study_dialogs import NewStudyDialog, ask_new_study, ask_open_study
from napari_ssl.study.study import Study


@pytest.fixture
def dialog(qtbot):
    dialog = NewStudyDialog()
    qtbot.addWidget(dialog)
    dialog.show()
    return dialog


def choose(dialog, data):
    dialog.labels.setCurrentIndex(dialog.labels.findData(data))


def test_the_meaning_of_labels_is_never_preset(qtbot, dialog, tmp_path):
    qtbot.keyClicks(dialog.folder, str(tmp_path / "s"))
    assert not dialog.create_button.isEnabled()
    assert "label values" in dialog.reason.text()
    choose(dialog, "acdc")
    assert dialog.create_button.isEnabled()
    assert "right ventricle" in dialog.preview.text()


def test_a_preset_makes_a_study(qtbot, dialog, tmp_path):
    dialog.folder.setText(str(tmp_path / "s"))
    choose(dialog, "ukbb")
    dialog.spacing.setValue(1.8)
    dialog.crop[0].setValue(192)
    qtbot.mouseClick(dialog.create_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dialog.study is not None, timeout=20000)
    with dialog.study as study:
        assert not study.is_on_server
        assert study.label_scheme == PRESETS["ukbb"]
        assert study.preprocessing.pixel_spacing_mm == 1.8
        assert study.preprocessing.crop_yx == (192, 224)


def test_custom_labels_are_checked_while_typing(qtbot, dialog, tmp_path):
    dialog.folder.setText(str(tmp_path / "s"))
    choose(dialog, "")
    assert dialog.custom.isVisible() and "VALUE=NAME" in dialog.reason.text()
    qtbot.keyClicks(dialog.custom, "5=Liver,5=Spleen")
    assert "occurs more than once" in dialog.reason.text() and not dialog.create_button.isEnabled()
    dialog.custom.setText("5=Liver,6=Spleen")
    assert dialog.create_button.isEnabled() and "5 = <b>Liver</b>" in dialog.preview.text()


def test_a_crop_that_is_no_multiple_of_16_is_told(dialog, tmp_path):
    dialog.folder.setText(str(tmp_path / "s"))
    choose(dialog, "acdc")
    dialog.crop[1].setValue(100)
    assert "multiples of 16" in dialog.reason.text()


def test_a_folder_with_a_study_is_refused_in_words_and_the_dialog_stays(qtbot, dialog, tmp_path):
    Study.create(tmp_path / "s", label_scheme=PRESETS["acdc"]).close()
    dialog.folder.setText(str(tmp_path / "s"))
    choose(dialog, "acdc")
    qtbot.mouseClick(dialog.create_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(dialog.banner.text), timeout=20000)
    assert dialog.isVisible() and dialog.study is None and dialog.create_button.isEnabled()
    assert "open that study" in dialog.banner.text


def test_asking_for_a_new_study_and_changing_one_s_mind(qtbot):
    QTimer.singleShot(150, lambda: QApplication.activeModalWidget().reject())
    assert ask_new_study(None) is None


def test_opening_tells_what_is_wrong_and_asks_again(qtbot, tmp_path, monkeypatch):
    Study.create(tmp_path / "good", label_scheme=PRESETS["acdc"]).close()
    (tmp_path / "empty").mkdir()
    answers = iter([str(tmp_path / "empty"), str(tmp_path / "good")])
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: next(answers))
    told = []

    def close_message():
        box = QApplication.activeModalWidget()
        assert isinstance(box, QMessageBox)
        told.append(box.text())
        box.accept()

    QTimer.singleShot(150, close_message)
    with ask_open_study(None) as study:
        assert study.folder == tmp_path / "good"
    assert "empty" in told[0]


def test_opening_can_be_cancelled(monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: "")
    assert ask_open_study(None) is None


def test_a_study_that_cannot_be_written_opens_for_reading(tmp_path, monkeypatch):
    Study.create(tmp_path / "s", label_scheme=PRESETS["acdc"]).close()
    opened = Study.open

    def refuse_writing(folder, *, read_only=False):
        if not read_only:
            raise study_dialogs.StudyReadOnlyError(f"{folder}: cannot be written")
        return opened(folder, read_only=True)

    monkeypatch.setattr(Study, "open", refuse_writing)
    with study_dialogs.open_study(tmp_path / "s") as study:
        assert study.read_only


def test_dialogs_and_panels_do_not_import_torch():
    code = (
        "import sys, json;"
        "import napari_ssl.gui.study_dialogs, napari_ssl.gui.training_panel, napari_ssl.gui.models_panel;"
        "print(json.dumps('torch' in sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(out) is False
