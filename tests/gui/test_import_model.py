from __future__ import annotations

import json
import sys
import threading

import pytest
from qtpy.QtCore import Qt

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import CheckpointError
from napari_ssl.gui import import_model
from napari_ssl.gui.import_model import ImportModelButton, ImportModelDialog
from napari_ssl.study.study import Study


@pytest.fixture
def study(tmp_path):
    with Study.create(tmp_path / "study", label_scheme=PRESETS["ukbb"]) as study:
        yield study


@pytest.fixture
def dialog(qtbot, study):
    dialog = ImportModelDialog(None, study)
    qtbot.addWidget(dialog)
    dialog.show()
    yield dialog
    dialog.done(0)


def test_a_model_becomes_a_candidate_and_what_to_know_is_told(qtbot, dialog, tmp_path, monkeypatch):
    asked = []

    def command(study, source, labels, name, run):
        asked.append((study, source, labels, name))
        return {"id": "imported-heart", "notes": ["one thing", "another"]}

    monkeypatch.setattr(import_model, "run_import", command)
    assert not dialog.import_button.isEnabled()
    dialog.path.setText(str(tmp_path / "heart"))
    dialog.labels.setText("1=LV,2=Myo,3=RV")
    qtbot.mouseClick(dialog.import_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dialog.model_id is not None, timeout=5000)
    assert asked == [(dialog._study.folder, tmp_path / "heart", "1=LV,2=Myo,3=RV", "")]
    assert dialog.summary.text() == "imported-heart is a candidate now. Take note: one thing; another."
    assert dialog.close_button.text() == "Close" and not dialog.import_button.isEnabled()


def test_what_is_wrong_is_shown_and_can_be_put_right(qtbot, dialog, monkeypatch):
    def command(*_):
        raise CheckpointError("network 'os.system' is not allowed")

    monkeypatch.setattr(import_model, "run_import", command)
    dialog.path.setText("somewhere")
    qtbot.mouseClick(dialog.import_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(dialog.banner.text), timeout=5000)
    assert "is not allowed" in dialog.banner.text and dialog.import_button.isEnabled()


class Run:
    """What a background run offers."""

    def __init__(self) -> None:
        self.stopped = threading.Event()

    def should_stop(self) -> bool:
        return self.stopped.is_set()


def fake_python(tmp_path, monkeypatch, text):
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\nimport json, sys, time\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setattr(import_model.sys, "executable", str(program))


def test_the_command_gets_what_was_said(tmp_path, monkeypatch):
    fake_python(tmp_path, monkeypatch, "print(json.dumps({'id': 'x', 'notes': sys.argv[1:]}))")
    document = import_model.run_import(tmp_path / "s", tmp_path / "b", "study", "heart", Run())
    paths = [str(tmp_path / "s"), str(tmp_path / "b")]
    options = ["--labels", "study", "--name", "heart", "--json"]
    assert document["notes"] == ["-m", "napari_ssl", "models", "import", *paths, *options]
    assert json.dumps(document)


def test_the_commands_last_line_is_the_error(tmp_path, monkeypatch):
    fake_python(tmp_path, monkeypatch, "sys.stderr.write('loading\\nnapari-ssl: b: no card\\n'); sys.exit(1)")
    with pytest.raises(CheckpointError, match=r"^b: no card$"):
        import_model.run_import(tmp_path, tmp_path, "", "", Run())


def test_stopping_ends_the_command(tmp_path, monkeypatch):
    fake_python(tmp_path, monkeypatch, "time.sleep(60)")
    run = Run()
    run.stopped.set()
    with pytest.raises(CheckpointError, match="without a word"):
        import_model.run_import(tmp_path, tmp_path, "", "", run)


def test_the_button_needs_a_study_that_can_be_written(qtbot, study):
    button = ImportModelButton()
    qtbot.addWidget(button)
    assert not button.isEnabled()
    button.set_study(study)
    assert button.isEnabled()
