"""Where a new study keeps its database: in its folder, or on a PostgreSQL server that several readers share."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_ssl.errors import NapariSslError
from napari_ssl.gui.background import BackgroundTask, in_words
from napari_ssl.gui.theme import wrapped_label
from napari_ssl.study.database_address import PASSWORD_PLACES, DatabaseAddress
from napari_ssl.study.database_test import try_server

__all__ = ["DatabaseChoice"]

_FOLDER, _SERVER = "folder", "server"
_HINT = f"Passwords are not written here: the server's are read from {PASSWORD_PLACES}."


class DatabaseChoice(QWidget):
    """A choice, and for a server its address with a button that tries it in a thread.

    `changed` follows every change of what is chosen.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._task = BackgroundTask(self)
        self._task.done.connect(self._tell)
        self._task.failed.connect(self._tell)
        self.kind = QComboBox()
        self.kind.addItem("In the study's folder (SQLite), for one computer", _FOLDER)
        self.kind.addItem("On a PostgreSQL server, for readers at several computers", _SERVER)
        self.kind.setAccessibleName("Database")
        self.address = QLineEdit()
        self.address.setPlaceholderText("postgresql://user@host/database")
        self.address.setAccessibleName("Address of the database, without a password")
        self.test_button = QPushButton("Test")
        self.test_button.setAutoDefault(False)
        self.test_button.setToolTip("Connect to the server; nothing is changed there")
        self.told = wrapped_label(_HINT, selectable=True)
        self.told.setAccessibleName("What the server says")
        self._server = QWidget()
        line = QHBoxLayout()
        line.addWidget(self.address, 1)
        line.addWidget(self.test_button)
        server = QVBoxLayout(self._server)
        server.setContentsMargins(0, 0, 0, 0)
        server.addLayout(line)
        server.addWidget(self.told)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.kind)
        column.addWidget(self._server)
        self.kind.currentIndexChanged.connect(self._changed)
        self.address.textChanged.connect(self._changed)
        self.test_button.clicked.connect(self.test)
        self._changed()

    @property
    def url(self) -> str | None:
        """The server's address; None for a database in the folder."""
        return self.address.text().strip() if self.kind.currentData() == _SERVER else None

    def why_not(self) -> str:
        """Return why no study can be made with what is chosen, empty when one can."""
        if self.url is None:
            return ""
        if not self.url:
            return "Write the address of the database, postgresql://user@host/database."
        try:
            DatabaseAddress.new(self.url, "trial")
        except NapariSslError as error:
            return in_words(error)
        return ""

    def _changed(self) -> None:
        self._server.setVisible(self.kind.currentData() == _SERVER)
        self.test_button.setEnabled(bool(self.url) and not self.why_not() and not self._task.running)
        self.told.setText(_HINT)
        self.changed.emit()

    def test(self) -> None:
        """Try the server in a thread and tell what it says."""
        url = self.url
        self.told.setText("Connecting …")
        self.test_button.setEnabled(False)
        self._task.start(lambda _run: (url, try_server(url)))

    def _tell(self, outcome: object) -> None:
        url, text = outcome if isinstance(outcome, tuple) else (self.url, str(outcome))
        if url == self.url:  # the answer is about another address when it was changed meanwhile
            self.told.setText(text)
        self.test_button.setEnabled(bool(self.url) and not self.why_not())

    def close_task(self) -> None:
        """Wait for no answer any more."""
        self._task.close()
