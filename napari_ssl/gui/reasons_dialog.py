"""The reasons for rejections of a study, one a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLabel, QPlainTextEdit, QVBoxLayout, QWidget

from napari_ssl.errors import NapariSslError
from napari_ssl.gui.background import in_words
from napari_ssl.gui.theme import muted_label, set_margins, wrapped_label

__all__ = ["ReasonsDialog"]


class ReasonsDialog(QDialog):
    """Edits the list; `store` keeps it and raises NapariSslError where it may not be as it is.

    Parameters
    ----------
    reasons, defaults : sequence of str
        Those of the study, and those that a new study of its label scheme begins with.
    """

    def __init__(
        self,
        reasons: Sequence[str],
        defaults: Sequence[str],
        store: Callable[[Sequence[str]], object],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Reasons for rejections")
        self._defaults, self._store = tuple(defaults), store
        self.text = QPlainTextEdit("\n".join(reasons))
        self.text.setTabChangesFocus(True)
        self.text.setAccessibleName("Reasons, one a line")
        caption = QLabel("&Reasons, one a line; the first nine have a digit:")
        caption.setBuddy(self.text)
        self.problem = wrapped_label()
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel)
        reset = buttons.addButton("Default list", QDialogButtonBox.ButtonRole.ResetRole)
        reset.setAutoDefault(False)
        column = QVBoxLayout(self)
        set_margins(column, margin=12, spacing=8)
        column.addWidget(caption)
        column.addWidget(self.text)
        column.addWidget(
            muted_label(
                "They are the study's, for all its readers. Decisions keep the words that they were given with."
            )
        )
        column.addWidget(self.problem)
        column.addWidget(buttons)
        buttons.accepted.connect(self.save)
        buttons.rejected.connect(self.reject)
        reset.clicked.connect(lambda: self.text.setPlainText("\n".join(self._defaults)))
        self.resize(420, 380)

    def save(self) -> None:
        """Keep the list and close; a list that cannot be used stays, with the reason."""
        try:
            self._store(self.text.toPlainText().splitlines())
        except (NapariSslError, OSError) as error:
            self.problem.setText(in_words(error))
            return
        self.accept()
