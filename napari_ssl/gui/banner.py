"""A message above the canvas that stays until it is answered; never a modal window."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QToolButton, QWidget

__all__ = ["Banner"]

_HUES = {
    "info": ("#1F4E79", "#56B4E9"),
    "warning": ("#5A4300", "#E69F00"),
    "error": ("#6B2408", "#FF8A5C"),
}


class Banner(QFrame):
    """Shows one message at a time, with buttons for what can be done about it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("napariSslWorkspaceBanner")
        self.kind = "info"
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._buttons: list[QPushButton] = []
        self._close = QToolButton()
        self._close.setText("✕")
        self._close.setAccessibleName("Dismiss this message")
        self._close.setToolTip("Dismiss")
        self._close.clicked.connect(self.clear)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(10, 5, 5, 5)
        self._row.setSpacing(6)
        self._row.addWidget(self.label, 1)
        self._row.addWidget(self._close)
        self.hide()

    @property
    def text(self) -> str:
        """The message on show, empty when there is none."""
        return self.label.text()

    @property
    def buttons(self) -> tuple[QPushButton, ...]:
        """Buttons of the message on show."""
        return tuple(self._buttons)

    def show_message(
        self, text: str, *, kind: str = "info", actions: Sequence[tuple[str, Callable[[], object]]] = ()
    ) -> None:
        """Show `text`; each action is a button that runs it and takes the message away."""
        self._drop_buttons()
        self.kind = kind
        self.label.setText(text)
        fill, edge = _HUES[kind]
        self.setStyleSheet(
            f"#napariSslWorkspaceBanner {{ background: {fill}; border-left: 4px solid {edge}; }}"
            "#napariSslWorkspaceBanner QLabel { color: #FFFFFF; background: transparent; }"
        )
        for caption, run in actions:
            button = QPushButton(caption)
            button.clicked.connect(lambda _checked=False, run=run: self._answer(run))
            self._row.insertWidget(self._row.count() - 1, button)
            self._buttons.append(button)
        self.show()

    def clear(self) -> None:
        """Take the message away."""
        self.label.clear()
        self._drop_buttons()
        self.hide()

    def _answer(self, run: Callable[[], object]) -> None:
        self.clear()
        run()

    def _drop_buttons(self) -> None:
        for button in self._buttons:
            self._row.removeWidget(button)
            button.hide()
            button.deleteLater()
        self._buttons = []
