"""What lies over the canvas while there is nothing to show: the ways to begin, or why there is no image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_ssl.gui.theme import colours_of, is_theme_change

__all__ = ["StartPage"]

_WIDTH = 440


class StartPage(QWidget):
    """Covers `over` and keeps its size."""

    def __init__(self, over: QWidget) -> None:
        super().__init__(over)
        self.setObjectName("napariSslStart")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground, True)
        self._shades = ("", "")
        self._title = QLabel()
        self._title.setStyleSheet("font-size: 22px; font-weight: bold;")
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setFixedWidth(_WIDTH)
        self._text.setStyleSheet("font-size: 14px;")
        for label in (self._title, self._text):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.progress = QProgressBar()
        self.progress.setMaximumWidth(320)
        self.progress.setRange(0, 0)
        self.progress.hide()
        self.buttons: list[QPushButton] = []
        self._column = QVBoxLayout(self)
        self._column.setSpacing(12)
        self._column.addStretch(2)
        for widget in (self._title, self._text, self.progress):
            self._column.addWidget(widget, 0, Qt.AlignmentFlag.AlignHCenter)
        self._column.addStretch(3)
        over.installEventFilter(self)
        self.hide()

    def show_page(
        self, title: str, text: str, actions: Sequence[tuple[str, Callable[[], object]]] = (), *, busy: bool = False
    ) -> None:
        """Cover the canvas with a sentence and big buttons."""
        for button in self.buttons:
            self._column.removeWidget(button)
            button.hide()
            button.deleteLater()
        self.buttons = []
        self._title.setText(title)
        self._text.setText(text)
        self._text.setFixedHeight(self._text.heightForWidth(_WIDTH))
        self.progress.setVisible(busy)
        for caption, run in actions:
            button = QPushButton(caption)
            button.setMinimumSize(280, 46)
            button.setStyleSheet("font-size: 15px;")
            button.clicked.connect(lambda _checked=False, run=run: run())
            self._column.insertWidget(self._column.count() - 1, button, 0, Qt.AlignmentFlag.AlignHCenter)
            self.buttons.append(button)
        self._recolour()
        self._cover()
        self.show()
        self.raise_()

    @property
    def title(self) -> str:
        """The heading on show."""
        return self._title.text()

    @property
    def text(self) -> str:
        """The sentence on show."""
        return self._text.text()

    def show_progress(self, done: int, total: int) -> None:
        """Show how far a long action is."""
        self.progress.setRange(0, total)
        self.progress.setValue(done)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if is_theme_change(event):
            self._recolour()

    def _recolour(self) -> None:
        colours = colours_of(self.window())
        if self._shades != (colours.background, colours.text):
            self._shades = (colours.background, colours.text)
            self.setStyleSheet(
                f"#napariSslStart {{ background: {colours.background}; }}"
                f"#napariSslStart QLabel {{ color: {colours.text}; }}"
            )

    def _cover(self) -> None:
        self.setGeometry(self.parentWidget().rect())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.Resize, QEvent.Type.Show) and watched is self.parentWidget():
            self._cover()
        return False
