"""The tab where curves are rated: the scale, how far one is, the score after the rating, import and export."""

from __future__ import annotations

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_ssl.core.rating import GOOD_FROM, NOT_READABLE, SCALE
from napari_ssl.gui.banner import Banner
from napari_ssl.gui.keys import KeyTable
from napari_ssl.gui.rating_session import GOAL
from napari_ssl.gui.theme import heading, muted_label, set_margins, wrapped_label

__all__ = ["RatingPanel"]

_MEANINGS = {
    1: ("A slice or a part of the cycle is plainly wrong; no number can be used", "#8C3B1E"),
    2: ("You would correct it before you use EDV, ESV or EF", "#7A5A12"),
    3: ("Blemishes that hardly change EDV, ESV and EF", "#1F5C8C"),
    4: ("As you would have drawn it", "#1B6E53"),
    NOT_READABLE: ("The image itself cannot be judged; left out of training", "#4A4F57"),
}
"""Score → what it means, and the colour of its button."""

_REVEAL_MS = 6000
_WHAT = (
    "Look at the volume curves beside the beating segmentation and say, with one key, whether a clinician could use "
    "them. The cases are drawn at random from those that no model has learned from. Your ratings teach the "
    "classifier that ranks proposals and picks those that may enter a training."
)


class RatingPanel(QWidget):
    """Shows what it is given and emits what the reader does."""

    start_clicked = Signal(int)
    leave_clicked = Signal()
    rated = Signal(int)
    skip_clicked = Signal()
    take_back_clicked = Signal()
    play_clicked = Signal()
    import_clicked = Signal()
    export_clicked = Signal()
    reader_clicked = Signal()
    findings_toggled = Signal(bool)

    def __init__(self, keys: KeyTable, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._keys = keys
        self.banner = Banner(self)
        self.start_button = QPushButton("Start rating")
        self.goal = QSpinBox()
        self.counts = wrapped_label()
        self.progress = heading("")
        self.bar = QProgressBar()
        self.last = wrapped_label()
        self.buttons: dict[int, QPushButton] = {}
        self.take_back_button = QPushButton("Take back")
        self.skip_button = QPushButton("Skip")
        self.play_button = QPushButton("Play / stop")
        self.leave_button = QPushButton("Leave rating")
        self.findings = QCheckBox("Show the findings of the rules")
        self.import_button = QPushButton("Import CSV …")
        self.export_button = QPushButton("Export CSV …")
        self.reader_button = QPushButton()
        self.reader_button.setAccessibleName("Reader; changes the name that ratings are recorded under")
        self.reader_button.setFlat(True)
        self._reveal = QTimer(self)
        self._reveal.setSingleShot(True)
        self._reveal.setInterval(_REVEAL_MS)
        self._reveal.timeout.connect(self.last.clear)
        self._pages = QStackedWidget()
        self._pages.addWidget(self._start_page())
        self._pages.addWidget(self._rating_page())
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.banner)
        column.addWidget(self._pages, 1)
        column.addLayout(self._foot())
        self._connect()
        self.set_study_open(False)
        self.refresh_keys()

    def _start_page(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        set_margins(column, spacing=8)
        column.addWidget(heading("Rate curves"))
        column.addWidget(muted_label(_WHAT))
        form = QFormLayout()
        self.goal.setRange(1, 100000)
        self.goal.setValue(GOAL)
        self.goal.setToolTip("Ratings that you want to reach, with those you have made before")
        form.addRow("Ratings to reach", self.goal)
        column.addLayout(form)
        self.start_button.setMinimumHeight(34)
        column.addWidget(self.start_button)
        column.addWidget(self.counts)
        column.addStretch(1)
        return page

    def _rating_page(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        set_margins(column, spacing=6)
        column.addWidget(self.progress)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        column.addWidget(self.bar)
        column.addWidget(muted_label("Could a clinician use these curves?"))
        for score, (meaning, colour) in _MEANINGS.items():
            button = QPushButton(f"{score}   {SCALE[score]}")
            button.setToolTip(f"{meaning}  [{score}]")
            button.setMinimumHeight(38 if score else 30)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.setStyleSheet(
                f"QPushButton {{ background: {colour}; color: white; font-weight: bold; text-align: left;"
                " padding: 4px 10px; } QPushButton:disabled { background: rgba(128, 128, 128, 60); color: #8A8F95; }"
            )
            button.clicked.connect(lambda _checked=False, score=score: self.rated.emit(score))
            self.buttons[score] = button
            column.addWidget(button)
        self.last.setMinimumHeight(3 * self.last.fontMetrics().height() + 4)
        self.last.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.last)
        for pair in ((self.take_back_button, self.skip_button), (self.play_button, self.leave_button)):
            row = QHBoxLayout()
            for button in pair:
                button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
                row.addWidget(button, 1)
            column.addLayout(row)
        self.findings.setChecked(True)
        self.findings.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.findings.setToolTip("Take this off to rate without being led by the rules; the score is hidden anyway")
        column.addWidget(self.findings)
        column.addStretch(1)
        return page

    def _foot(self) -> QVBoxLayout:
        rows = QVBoxLayout()
        set_margins(rows)
        files = QHBoxLayout()
        for button in (self.import_button, self.export_button):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            files.addWidget(button, 1)
        self.import_button.setToolTip("Read ratings that were made elsewhere or by another reader")
        self.export_button.setToolTip("Write all ratings of all readers, with scores and seconds")
        rows.addLayout(files)
        self.reader_button.setToolTip("Ratings are recorded under this name; click to change it")
        self.reader_button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        rows.addWidget(self.reader_button)
        return rows

    def _connect(self) -> None:
        self.start_button.clicked.connect(lambda: self.start_clicked.emit(self.goal.value()))
        for button, signal in (
            (self.leave_button, self.leave_clicked),
            (self.skip_button, self.skip_clicked),
            (self.take_back_button, self.take_back_clicked),
            (self.play_button, self.play_clicked),
            (self.import_button, self.import_clicked),
            (self.export_button, self.export_clicked),
            (self.reader_button, self.reader_clicked),
        ):
            button.clicked.connect(lambda _checked=False, signal=signal: signal.emit())
        self.findings.toggled.connect(self.findings_toggled)

    # -- what is shown -------------------------------------------------------------------------------------------

    def refresh_keys(self) -> None:
        """Write the present keys on the buttons."""
        for button, caption, action in (
            (self.start_button, "Start rating", "rate"),
            (self.leave_button, "Leave", "rate"),
            (self.skip_button, "Skip", "next_case"),
            (self.play_button, "Play / stop", "play"),
            (self.take_back_button, "Take back", "take_back"),
        ):
            key = self._keys.shown_key(action)
            short = len(key) <= 7
            button.setText(f"{caption}   {key}" if key and short else caption)
            button.setToolTip(f"[{key}]" if key else "")

    def set_study_open(self, is_open: bool, *, writable: bool = True) -> None:
        """Allow what a study allows."""
        self.start_button.setEnabled(is_open and writable)
        self.import_button.setEnabled(is_open and writable)
        self.export_button.setEnabled(is_open)
        if not is_open:
            self.counts.setText("Open a study first.")
        elif not writable:
            self.counts.setText("The study is open for reading only; ratings cannot be recorded.")

    @property
    def is_rating(self) -> bool:
        """Whether the scale is on show."""
        return self._pages.currentIndex() == 1

    def show_start(self, counts: str, *, obstacle: str = "") -> None:
        """Show the page to start from; `obstacle` says why there is nothing to rate."""
        self._pages.setCurrentIndex(0)
        self.counts.setText(counts)
        self.banner.clear()
        if obstacle:
            self.banner.show_message(obstacle, kind="warning")

    def show_rating(self) -> None:
        """Show the scale."""
        self.banner.clear()
        self.last.clear()
        self._pages.setCurrentIndex(1)

    def show_progress(self, text: str, done: int, wanted: int) -> None:
        """Show how far one is."""
        self.progress.setText(text)
        self.bar.setRange(0, max(1, wanted))
        self.bar.setValue(min(done, wanted))

    def set_ratable(self, ratable: bool) -> None:
        """Let the present case be rated or not."""
        for button in self.buttons.values():
            button.setEnabled(ratable)

    def reveal(self, case_id: str, score: int, probability_good: float | None, *, is_flagged: bool = False) -> None:
        """Show the rating just given and what the classifier thinks, for a few seconds."""
        text = f"{case_id}: you said <b>{score} {SCALE[score].lower()}</b>"
        if probability_good is None:
            text += "; no QC score yet."
        else:
            agrees = (score >= GOOD_FROM) != is_flagged
            verdict = "" if score == 0 else " You agree." if agrees else " <b>You disagree.</b>"
            text += f"; QC score P(good) <b>{probability_good:.2f}</b>{' (flagged)' if is_flagged else ''}.{verdict}"
        self.last.setText(text)
        self._reveal.start()

    def show_taken_back(self, case_id: str) -> None:
        """Say that the last rating was taken back."""
        self.last.setText(f"{case_id}: the rating was taken back. Rate it again.")
        self._reveal.start()

    def show_reader(self, reader: str) -> None:
        """Show the name that ratings are recorded under."""
        self.reader_button.setText(f"Reader: {reader}")
