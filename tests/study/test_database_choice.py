"""A new study on a PostgreSQL server is made in the window; the address is tried before and never holds a password."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import StudyError
from napari_ssl.gui.study_dialogs import NewStudyDialog
from napari_ssl.study.database_test import try_server
from napari_ssl.study.study import Study


@pytest.fixture
def dialog(qtbot, tmp_path):
    dialog = NewStudyDialog()
    qtbot.addWidget(dialog)
    dialog.show()
    dialog.folder.setText(str(tmp_path / "served"))
    dialog.labels.setCurrentIndex(dialog.labels.findData("acdc"))
    dialog.database.kind.setCurrentIndex(1)
    yield dialog
    dialog.done(0)


def test_a_server_needs_an_address_and_no_password(qtbot, dialog):
    choice = dialog.database
    assert "address of the database" in dialog.reason.text() and not dialog.create_button.isEnabled()
    qtbot.keyClicks(choice.address, "postgresql://ada:secret@heart/studies")
    assert "holds a password" in dialog.reason.text() and "pgpass" in dialog.reason.text()
    assert "secret" not in dialog.reason.text()
    assert not choice.test_button.isEnabled() and not dialog.create_button.isEnabled()
    choice.address.setText("mysql://heart/studies")
    assert "SQLite or PostgreSQL" in dialog.reason.text()
    choice.kind.setCurrentIndex(0)
    assert choice.url is None and dialog.create_button.isEnabled() and not choice.address.isVisible()


def test_a_server_that_is_not_there_is_told_and_nothing_is_made(qtbot, dialog, tmp_path):
    pytest.importorskip("psycopg", reason="pip install 'napari-ssl[postgres]'")
    choice = dialog.database
    choice.address.setText(f"postgresql://ada@/studies?host={tmp_path}")
    qtbot.mouseClick(choice.test_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "cannot be reached" in choice.told.text(), timeout=20000)
    assert choice.test_button.isEnabled()
    qtbot.mouseClick(dialog.create_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "cannot be reached" in dialog.banner.text, timeout=20000)
    assert dialog.isVisible() and dialog.study is None and not (tmp_path / "served" / "study.toml").exists()


def test_a_study_is_made_on_the_server_that_was_tried(qtbot, dialog, tmp_path, postgresql):
    choice = dialog.database
    choice.address.setText(postgresql.url)
    qtbot.mouseClick(choice.test_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "a study can be made there" in choice.told.text(), timeout=20000)
    assert "PostgreSQL" in choice.told.text()
    qtbot.mouseClick(dialog.create_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dialog.study is not None, timeout=30000)
    with dialog.study as study:
        assert study.is_on_server
    with Study.open(tmp_path / "served") as again:
        assert again.is_on_server and again.label_scheme == PRESETS["acdc"]


def test_trying_a_server_leaves_nothing_there(postgresql):
    before = _schemas(postgresql.url)
    assert "a study can be made there" in try_server(postgresql.url)
    assert _schemas(postgresql.url) == before
    with pytest.raises(StudyError, match="does not exist"):
        try_server(postgresql.url.replace("/postgres?", "/no_such?"))


def _schemas(url: str) -> list[str]:
    import psycopg

    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT nspname FROM pg_namespace ORDER BY 1")]
