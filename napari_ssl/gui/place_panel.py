"""Verdicts on single frames and slices: the map, a reason, a comment and the buttons."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_ssl.core.decision import PlaceJudgement, PlaceVerdict
from napari_ssl.gui.keys import KeyTable
from napari_ssl.gui.place_grid import WHOLE_FRAME, Place, PlaceGrid, place_text
from napari_ssl.gui.theme import muted_label

__all__ = ["PlacePanel"]

_NO_REASON = "No reason"


class PlacePanel(QWidget):
    """Knows nothing of the study: it shows verdicts and emits what the reader says.

    `judged` carries frame, slice (−1: the whole frame) and ``"wrong"``, ``"good"`` or ``""`` for "take it back". Saying
    what stands already takes it back.
    """

    judged = Signal(int, int, str)
    place_chosen = Signal(int, int)

    def __init__(self, keys: KeyTable, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._keys = keys
        self.grid = PlaceGrid()
        self.told = muted_label()
        self.reason = QComboBox()
        self.reason.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.reason.setMinimumContentsLength(5)  # the list itself is as wide as its longest reason
        self.reason.setAccessibleName("Reason of a wrong frame or slice")
        self.reason.setToolTip("Kept with the next “wrong”")
        self.comment = QLineEdit()
        self.comment.setPlaceholderText("Comment on this place")
        self.comment.setAccessibleName("Comment on a frame or slice")
        self.buttons: dict[str, QPushButton] = {}
        self._lay_out()
        self.grid.place_chosen.connect(self.place_chosen)
        self.grid.judged.connect(self.say)
        self.set_reasons(())
        self.refresh_keys()
        self.set_enabled(False)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.told)
        rows = QGridLayout()
        rows.setSpacing(4)
        for index, (action, caption) in enumerate(
            (
                ("wrong_slice", "Slice wrong"),
                ("wrong_frame", "Frame wrong"),
                ("good_slice", "Slice good"),
                ("good_frame", "Frame good"),
            )
        ):
            button = QPushButton(caption)
            button.clicked.connect(lambda _checked=False, action=action: self.act(action))
            self.buttons[action] = button
            rows.addWidget(button, index // 2, index % 2)
        rows.addWidget(self.reason, 2, 0)
        rows.addWidget(self.comment, 2, 1)
        for i in range(2):
            rows.setColumnStretch(i, 1)
        column.addLayout(rows)

    def refresh_keys(self) -> None:
        """Write the present keys on the buttons."""
        captions = {"wrong_slice": "Slice wrong", "wrong_frame": "Frame wrong"}
        captions |= {"good_slice": "Slice good", "good_frame": "Frame good"}
        for action, button in self.buttons.items():
            key = self._keys.shown_key(action)
            button.setText(f"{captions[action]}  {key}" if key else captions[action])
            button.setToolTip("About the place on screen; saying it again takes it back")

    def set_reasons(self, reasons: Sequence[str]) -> None:
        """Offer the study's reasons."""
        self.reason.clear()
        self.reason.addItem(_NO_REASON, "")
        for reason in reasons:
            self.reason.addItem(reason, reason)

    def set_enabled(self, enabled: bool) -> None:
        """Allow verdicts."""
        for widget in (*self.buttons.values(), self.reason, self.comment, self.grid):
            widget.setEnabled(enabled)

    # -- what is shown -------------------------------------------------------------------------------------------

    def show_case(self, n_frames: int, n_slices: int) -> None:
        """Begin with a case."""
        self.grid.set_shape(n_frames, n_slices)
        self.told.setText("")
        self.comment.clear()

    def show_verdicts(self, verdicts: Sequence[PlaceVerdict]) -> None:
        """Show what the reader has said of the labels on screen."""
        self.grid.set_verdicts({(v.frame, v.slice): v.verdict for v in verdicts})
        n_wrong = sum(v.verdict is PlaceJudgement.WRONG for v in verdicts)
        frames = {v.frame for v in verdicts if v.verdict is PlaceJudgement.WRONG}
        parts = [f"{n_wrong} wrong"] if n_wrong else []
        parts += [f"{len(verdicts) - n_wrong} good"] if len(verdicts) > n_wrong else []
        text = ", ".join(parts)
        if frames:
            n = len(frames)
            text += f": {n} frame{'s stay' if n > 1 else ' stays'} out of the training, should the case be accepted."
        self.told.setText(text or "Say where labels are wrong: those frames stay out of the training.")

    # -- the reader ----------------------------------------------------------------------------------------------

    def act(self, action: str) -> None:
        """Do what a key or button names, about the place on screen."""
        verdict, scope = action.split("_")
        frame, slice_ = self.grid.frame_and_slice
        self.say(frame, WHOLE_FRAME if scope == "frame" else slice_, verdict)

    def say(self, frame: int, slice_: int, verdict: str) -> None:
        """Hand a verdict on; what stands already is taken back."""
        if not self.grid.isEnabled():
            return
        place: Place = (frame, None if slice_ == WHOLE_FRAME else slice_)
        standing = self.grid.verdict_on(place)
        if standing is not None and standing.value == verdict:
            verdict = ""
        if verdict or standing is not None:
            self.judged.emit(frame, slice_, verdict)

    def take_comment(self) -> tuple[str, str]:
        """Return reason and comment of the next verdict; the comment is used up."""
        reason, comment = str(self.reason.currentData() or ""), self.comment.text().strip()
        self.comment.clear()
        return reason, comment

    def tell(self, text: str) -> None:
        """Say something under the map."""
        self.told.setText(text)

    @staticmethod
    def named(frame: int, slice_: int) -> str:
        """Name a place."""
        return place_text((frame, None if slice_ == WHOLE_FRAME else slice_))
