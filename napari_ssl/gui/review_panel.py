"""The review tab: what is shown, tools to correct it, flags, comment, and the decision."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_ssl.core.decision import ReviewState
from napari_ssl.gui.keys import ACTIONS, KeyTable
from napari_ssl.gui.loaded_case import LoadedCase
from napari_ssl.gui.overlay_panel import ViewOptions
from napari_ssl.gui.place_panel import PlacePanel
from napari_ssl.gui.queue_model import STATE_COLOURS, STATE_TEXTS
from napari_ssl.gui.reject_reasons import RejectReasons
from napari_ssl.gui.theme import Fold, heading, muted_label, set_margins, state_icon, wrapped_label
from napari_ssl.gui.tool_row import ToolRow

__all__ = ["OVERLAYS", "ReviewPanel"]

OVERLAYS = ("Uncertainty", "Reference", "Previous model")
"""Names of the layers that can be shown besides the labels."""


class ReviewPanel(QWidget):
    """Knows nothing of the study: it shows what it is given and emits what the reader does."""

    accept_clicked = Signal()
    save_clicked = Signal()
    defer_clicked = Signal()
    take_back_clicked = Signal()
    flag_clicked = Signal()
    flags_cleared = Signal()
    revert_clicked = Signal()
    contour_toggled = Signal(bool)
    overlay_toggled = Signal(str)
    all_overlays_toggled = Signal()
    napari_panels_toggled = Signal(bool)
    reasons_toggled = Signal(bool)
    pressures_clicked = Signal()
    comment_changed = Signal(str)
    reader_changed = Signal(str)
    keys_clicked = Signal()
    tour_clicked = Signal()
    history_clicked = Signal()
    subject_clicked = Signal()

    def __init__(self, keys: KeyTable, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._keys = keys
        self.tools = ToolRow()
        self.view_options = ViewOptions()
        self.places = PlacePanel(keys)
        self._build_labels()
        self._build_view()
        self._build_decisions()
        self._lay_out()
        self.refresh_keys()
        self.show_nothing("Choose a case in the queue.")

    def _build_labels(self) -> None:
        self.title = heading("")
        font = self.title.font()
        font.setPointSizeF(font.pointSizeF() * 1.25)
        self.title.setFont(font)
        self.state_mark = QLabel()
        self.state = QLabel()
        self.details = muted_label()
        self.position = QLabel()
        self.pressures_button = QPushButton("Blood pressures …")
        self.pressures_button.setToolTip("With them the aortic area gives the distensibility")
        self.pressures_button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.pressures_button.clicked.connect(self.pressures_clicked)
        self.pressures_button.hide()
        self.subject_button = QPushButton()
        self.subject_button.setFlat(True)
        self.subject_button.setStyleSheet("text-align: left; padding: 2px 5px;")
        self.subject_button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.subject_button.clicked.connect(self.subject_clicked)
        self.show_subject("")
        self.edited = wrapped_label()
        self.flags = wrapped_label()
        self.flag_button = QPushButton("Flag this slice")
        self.flag_button.clicked.connect(self.flag_clicked)
        self.clear_flags = QPushButton("Clear")
        self.clear_flags.clicked.connect(self.flags_cleared)
        self.revert_button = QPushButton("Revert")
        self.revert_button.setToolTip("Throw all unsaved strokes of this case away")
        self.revert_button.clicked.connect(self.revert_clicked)
        self.comment = QPlainTextEdit()
        self.comment.setPlaceholderText("Comment (kept with the decision)")
        self.comment.setTabChangesFocus(True)
        self.comment.setAccessibleName("Comment, kept with the decision")
        self.comment.setFixedHeight(52)
        self.comment.setStyleSheet("QPlainTextEdit { border: 1px solid #5A626C; border-radius: 3px; padding: 2px; }")
        self.comment.textChanged.connect(lambda: self.comment_changed.emit(self.comment.toPlainText()))

    def _build_view(self) -> None:
        self.contour = QCheckBox("Contour")
        self.contour.toggled.connect(self.contour_toggled)
        self.overlays: dict[str, QCheckBox] = {}
        for name in OVERLAYS:
            box = QCheckBox(name)
            box.clicked.connect(lambda _checked=False, name=name: self.overlay_toggled.emit(name))
            self.overlays[name] = box
        self.hide_all = QPushButton("Hide overlays")
        self.hide_all.setCheckable(True)
        self.hide_all.clicked.connect(self.all_overlays_toggled)
        self.napari_panels = QCheckBox("napari's panels")
        self.napari_panels.setToolTip("Show napari's own layer list and layer controls")
        self.napari_panels.toggled.connect(self.napari_panels_toggled)
        self.reasons_of_score = QCheckBox("QC reasons")
        self.reasons_of_score.setChecked(True)
        self.reasons_of_score.setToolTip("Shade the frames and structures that drive the QC score on the curves")
        self.reasons_of_score.toggled.connect(self.reasons_toggled)
        for widget in (
            self.contour,
            *self.overlays.values(),
            self.hide_all,
            self.napari_panels,
            self.reasons_of_score,
        ):
            widget.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def _build_decisions(self) -> None:
        self.reject_button = self._decision("Reject", "#8C3B1E", self.show_reasons)
        self.defer_button = self._decision("Defer", "", self.defer_clicked)
        self.save_button = self._decision("Save", "#1F5C8C", self.save_clicked)
        self.accept_button = self._decision("Accept", "#1B6E53", self.accept_clicked)
        self.take_back_button = QPushButton("Take last back")
        self.take_back_button.clicked.connect(self.take_back_clicked)
        self.reader_button = QPushButton()
        self.reader_button.setAccessibleName("Reader; changes the name that decisions are recorded under")
        self.reader_button.setFlat(True)
        self.reader_button.setToolTip("Decisions are recorded under this name; click to change it")
        self.reader_button.clicked.connect(self.ask_reader)
        self.history_button = QPushButton("History")
        self.history_button.clicked.connect(self.history_clicked)
        self.keys_button = QPushButton("Keys  ?")
        self.keys_button.clicked.connect(self.keys_clicked)
        self.tour_button = QPushButton("Tour")
        self.tour_button.clicked.connect(self.tour_clicked)
        quiet = (self.take_back_button, self.reader_button, self.keys_button, self.flag_button, self.hide_all)
        for button in (*quiet, self.history_button, self.tour_button, self.clear_flags, self.revert_button):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the focus on the image
        self.reasons = RejectReasons()

    @staticmethod
    def _decision(caption: str, colour: str, run) -> QPushButton:
        button = QPushButton(caption)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setMinimumHeight(34)
        if colour:
            button.setStyleSheet(
                f"QPushButton {{ background: {colour}; color: white; font-weight: bold; }}"
                "QPushButton:disabled { background: rgba(128, 128, 128, 60); color: #8A8F95; }"
            )
        button.clicked.connect(run)
        return button

    def _lay_out(self) -> None:
        page = QWidget()
        column = QVBoxLayout(page)
        set_margins(column)
        column.setSpacing(7)
        top = QHBoxLayout()
        top.addWidget(self.title, 1)
        top.addWidget(self.state_mark)
        top.addWidget(self.state)
        column.addLayout(top)
        column.addWidget(self.details)
        column.addWidget(self.position)
        column.addWidget(self.places.grid)
        column.addWidget(self.subject_button)
        column.addWidget(self.pressures_button)
        column.addWidget(heading("Correct"))
        column.addWidget(self.tools)
        edit = QHBoxLayout()
        edit.addWidget(self.edited, 1)
        edit.addWidget(self.revert_button)
        column.addLayout(edit)
        column.addWidget(heading("Show"))
        view = QGridLayout()
        view.setSpacing(4)
        boxes = (self.contour, *self.overlays.values(), self.reasons_of_score, self.napari_panels, self.hide_all)
        for i, box in enumerate(boxes):
            view.addWidget(box, i // 2, i % 2)
        column.addLayout(view)
        column.addWidget(self.view_options)
        column.addWidget(heading("Note"))
        flag = QHBoxLayout()
        flag.addWidget(self.flags, 1)
        flag.addWidget(self.flag_button)
        flag.addWidget(self.clear_flags)
        column.addLayout(flag)
        column.addWidget(self.comment)
        folded = Fold("Frames and slices")
        folded.addWidget(self.places)
        column.addWidget(folded)
        column.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(page)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area, 1)
        outer.addLayout(self._decision_rows())

    def _decision_rows(self) -> QVBoxLayout:
        rows = QVBoxLayout()
        set_margins(rows)
        rows.addWidget(self.reasons)
        decide = QHBoxLayout()
        decide.setSpacing(4)
        for button in (self.reject_button, self.defer_button, self.save_button, self.accept_button):
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            decide.addWidget(button, 1)
        rows.addLayout(decide)
        foot = QHBoxLayout()
        foot.addWidget(self.take_back_button)
        foot.addWidget(self.history_button)
        foot.addStretch(1)
        foot.addWidget(self.tour_button)
        foot.addWidget(self.keys_button)
        rows.addLayout(foot)
        rows.addWidget(self.reader_button)
        return rows

    # -- what is shown -------------------------------------------------------------------------------------------

    def refresh_keys(self) -> None:
        """Write the present keys on the buttons."""
        captions = {
            self.reject_button: ("Reject", "reject", "The labels are not fit for use; give the reason"),
            self.defer_button: ("Defer", "defer", "Decide later"),
            self.save_button: ("Save", "save", "Save the correction and stay on the case"),
            self.accept_button: ("Accept", "accept", "Labels are right, or right now: saves edits and goes on"),
        }
        for button, (caption, action, tip) in captions.items():
            key = self._keys.shown_key(action)
            button.setText(f"{caption}  {key}" if len(key) == 1 else caption)
            button.setToolTip(f"{tip}  [{key}]")
        tips = {self.take_back_button: "take_back", self.flag_button: "flag", self.hide_all: "overlays"}
        tips |= {self.history_button: "history", self.tour_button: "tour", self.keys_button: "cheat_sheet"}
        tips |= {self.contour: "contour", self.overlays["Uncertainty"]: "confidence"}
        for widget, action in tips.items():
            widget.setToolTip(f"[{self._keys.shown_key(action)}]")
        more = {"kind": "confidence_kind", "difference": "difference", "level": "level", "side_views": "side_views"}
        self.view_options.set_hints({what: self._keys.shown_key(action) for what, action in more.items()})
        modes = {"pan_zoom": "move", "paint": "brush", "erase": "eraser"}
        self.tools.set_hints({m: self._keys.shown_key(modes.get(m, m)) for m in ("pan_zoom", "paint", "erase", "fill")})
        self.tools.set_hints({m: self._keys.shown_key(m) for m in ("polygon", "pick")})
        self.places.refresh_keys()
        self.tools.set_command_hints({a.id: self._keys.shown_key(a.id) for a in ACTIONS})

    def show_nothing(self, message: str) -> None:
        """Show that no case is open and why."""
        self.title.setText("No case")
        self.state.clear()
        self.state_mark.clear()
        self.details.setText(message)
        self.position.clear()
        self.show_edits(0, is_edited=False)
        self.show_flags(())
        self.reasons.hide()
        self.set_enabled(False)

    def set_enabled(self, enabled: bool, *, writable: bool = True) -> None:
        """Allow decisions; a read-only study can be looked at only."""
        for button in (self.reject_button, self.defer_button, self.save_button, self.accept_button, self.flag_button):
            button.setEnabled(enabled and writable)
        self.comment.setEnabled(enabled and writable)
        self.tools.setEnabled(enabled and writable)
        self.take_back_button.setEnabled(writable)

    def set_study_open(self, is_open: bool) -> None:
        """Without a study there is no decision to take back and no history to read."""
        self.take_back_button.setEnabled(is_open)
        self.history_button.setEnabled(is_open)

    def show_case(self, loaded: LoadedCase, comment: str) -> None:
        """Show what is known of a case."""
        case, segmentation = loaded.case, loaded.segmentation
        self.title.setText(case.id)
        self.title.setToolTip(case.image_path)
        parts = [f"subject {case.subject_id}" if case.subject_id != case.id else "", case.split.value, case.group or ""]
        origin = "no labels yet: paint them, or predict the case"
        if segmentation is not None:
            maker = segmentation.reader or segmentation.model_id
            origin = f"{segmentation.source.value}{f' by {maker}' if maker else ''}, version {segmentation.version}"
        self.details.setText(" · ".join([*(p for p in parts if p), origin]))
        self.show_state(loaded.state)
        self.comment.blockSignals(True)
        self.comment.setPlainText(comment)
        self.comment.blockSignals(False)
        self.reasons.hide()

    def show_state(self, state: ReviewState) -> None:
        """Show where the review of the case stands."""
        filled = state is not ReviewState.UNREVIEWED
        self.state_mark.setPixmap(state_icon(STATE_COLOURS[state], filled=filled).pixmap(12, 12))
        self.state.setText(STATE_TEXTS[state])

    def show_position(self, frame: int, n_frames: int, slice_: int, n_slices: int, labelled: bool) -> None:
        """Show frame and slice, counted from 0 as the sliders and the curves do."""
        note = "" if labelled else "  ·  no labels on this frame"
        self.position.setText(f"Frame {frame} of 0–{n_frames - 1}  ·  slice {slice_} of 0–{n_slices - 1}{note}")

    def show_edits(self, n_strokes: int, *, is_edited: bool, saving: bool = False) -> None:
        """Show whether there are unsaved strokes."""
        text = "Saving …" if saving else f"Unsaved strokes: {n_strokes}" if is_edited else "No unsaved strokes"
        self.edited.setText(text)
        self.revert_button.setEnabled(is_edited)

    def show_flags(self, flags: Iterable[tuple[int, int]]) -> None:
        """List flagged frames and slices."""
        flags = sorted(flags)
        texts = [f"frame {f}, slice {z}" for f, z in flags]
        shown = "; ".join(texts[:4]) + (f" and {len(texts) - 4} more" if len(texts) > 4 else "")
        self.flags.setText(shown or "No flags")
        self.clear_flags.setEnabled(bool(flags))

    def show_subject(self, text: str) -> None:
        """Show what is known of the subject's body; a click asks for it."""
        self.subject_button.setText(text or "Sex, height and weight …")
        self.subject_button.setToolTip(f"For normal ranges and volumes per m² [{self._keys.shown_key('subject')}]")

    def show_reader(self, reader: str) -> None:
        """Show the name that decisions are recorded under."""
        self.reader_button.setText(f"Reader: {reader}")

    # -- rejecting -----------------------------------------------------------------------------------------------

    def show_reasons(self) -> None:
        """Ask for the reason; a second time takes the question away."""
        self.reasons.setVisible(not self.reasons.isVisible() and self.reject_button.isEnabled())

    def hide_reasons(self) -> bool:
        """Take the question for a reason away; returns whether it was asked."""
        asked = not self.reasons.isHidden()
        self.reasons.hide()
        return asked

    def ask_reader(self) -> None:
        """Ask for the name that decisions and ratings are recorded under."""
        now = self.reader_button.text().removeprefix("Reader: ")
        name, good = QInputDialog.getText(self, "Reader", "Your name; decisions are recorded under it:", text=now)
        if good and name.strip() and name.strip() != now:
            self.reader_changed.emit(name.strip())
