"""A small map of a case, frames to the right and slices downwards, that shows where labels are good or wrong.

The line on top stands for whole frames. The cell of the frame and slice on screen has a frame of its own. Wrong places
bear a cross and good ones a tick, so that colour is not all that tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_ssl.core.decision import PlaceJudgement
from napari_ssl.gui.theme import colours_of, is_theme_change

__all__ = ["WHOLE_FRAME", "Place", "PlaceGrid", "place_text"]

Place = tuple[int, int | None]
"""Frame and slice, counted from 0; None is the whole frame."""

WHOLE_FRAME = -1
_ROW_PX, _LEAST_ROW_PX, _GAP_PX, _MOST_HEIGHT = 11, 5, 4, 150


def place_text(place: Place) -> str:
    """Name a place as people say it."""
    frame, slice_ = place
    return f"frame {frame}" if slice_ is None else f"frame {frame}, slice {slice_}"


class PlaceGrid(QWidget):
    """Shows verdicts and takes them.

    A click goes to a place (`place_chosen`, −1 for "keep the slice"), a double click says that it is wrong
    (`judged`). With the focus: arrows move, O and Y say wrong and good, Delete takes back; the workspace's own keys do
    the same from everywhere.
    """

    place_chosen = Signal(int, int)
    judged = Signal(int, int, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shape = (0, 0)
        self._place = (0, 0)
        self._on_frame_row = False
        self._verdicts: dict[Place, PlaceJudgement] = {}
        self.setAccessibleName("Verdicts on frames and slices")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    # -- what is shown -------------------------------------------------------------------------------------------

    def set_shape(self, n_frames: int, n_slices: int) -> None:
        """Tell how many frames and slices there are; no verdicts then."""
        self._shape = (n_frames, n_slices)
        self._verdicts = {}
        self._on_frame_row = False
        self.updateGeometry()
        self.update()

    def set_verdicts(self, verdicts: Mapping[Place, PlaceJudgement]) -> None:
        """Show these verdicts."""
        self._verdicts = dict(verdicts)
        self._describe()
        self.update()

    def set_place(self, frame: int, slice_: int) -> None:
        """Mark the place on screen; emits nothing."""
        if (frame, slice_) != self._place:
            self._place = (frame, slice_)
            self._describe()
            self.update()

    @property
    def frame_and_slice(self) -> tuple[int, int]:
        """What is on screen, whichever line the mark is in."""
        return self._place

    @property
    def place(self) -> Place:
        """The marked cell; the whole frame when the mark is in the line on top."""
        return (self._place[0], None if self._on_frame_row else self._place[1])

    def verdict_on(self, place: Place) -> PlaceJudgement | None:
        """Return what was said of a place."""
        return self._verdicts.get(place)

    def _describe(self) -> None:
        said = self._verdicts.get(self.place)
        self.setAccessibleDescription(f"{place_text(self.place)}: {said.value if said else 'not judged'}")

    # -- geometry ------------------------------------------------------------------------------------------------

    @property
    def _row_px(self) -> int:
        rows = self._shape[1] + 1
        return max(_LEAST_ROW_PX, min(_ROW_PX, (_MOST_HEIGHT - _GAP_PX) // max(1, rows)))

    def sizeHint(self) -> QSize:
        return QSize(300, self._row_px * (self._shape[1] + 1) + _GAP_PX + 2)

    def minimumSizeHint(self) -> QSize:
        return QSize(120, self.sizeHint().height())

    def cell(self, frame: int, slice_: int | None) -> QRectF:
        """Return where a cell is painted."""
        width = (self.width() - 2) / max(1, self._shape[0])
        top = 1.0 if slice_ is None else 1.0 + self._row_px * (slice_ + 1) + _GAP_PX
        return QRectF(1.0 + frame * width, top, width, self._row_px)

    def place_at(self, point: QPointF) -> Place | None:
        """Return the place under a point."""
        n_frames, n_slices = self._shape
        if not n_frames:
            return None
        frame = int((point.x() - 1) * n_frames / max(1, self.width() - 2))
        if not 0 <= frame < n_frames:
            return None
        if point.y() < 1 + self._row_px:
            return frame, None
        slice_ = int((point.y() - 1 - self._row_px - _GAP_PX) // self._row_px)
        return (frame, slice_) if 0 <= slice_ < n_slices else None

    # -- painting ------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        colours = colours_of(self)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        hues = {PlaceJudgement.GOOD: QColor(colours.good), PlaceJudgement.WRONG: QColor(colours.bad)}
        empty = QColor(colours.grid)
        for frame in range(self._shape[0]):
            for slice_ in (None, *range(self._shape[1])):
                box = self.cell(frame, slice_).adjusted(0.5, 0.5, -0.5, -0.5)
                verdict = self._verdicts.get((frame, slice_))
                painter.fillRect(box, hues.get(verdict, empty))
                if verdict is not None:
                    self._mark(painter, box, verdict, QColor(colours.background))
        pen = QPen(QColor(colours.text))
        pen.setWidthF(1.6)
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if self._shape[0]:
            painter.drawRect(self.cell(*self.place))
        if self.hasFocus():
            pen.setStyle(Qt.PenStyle.DotLine)
            pen.setColor(QColor(colours.accent))
            painter.setPen(pen)
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    @staticmethod
    def _mark(painter: QPainter, box: QRectF, verdict: PlaceJudgement, colour: QColor) -> None:
        size = min(box.width(), box.height()) - 2.5
        if size < 2:
            return
        pen = QPen(colour)
        pen.setWidthF(1.3)
        painter.setPen(pen)
        c, h = box.center(), size / 2
        if verdict is PlaceJudgement.WRONG:
            painter.drawLine(c + QPointF(-h, -h), c + QPointF(h, h))
            painter.drawLine(c + QPointF(-h, h), c + QPointF(h, -h))
        else:
            painter.drawLine(c + QPointF(-h, 0), c + QPointF(-h / 3, h))
            painter.drawLine(c + QPointF(-h / 3, h), c + QPointF(h, -h))

    # -- the reader ----------------------------------------------------------------------------------------------

    def _choose(self, place: Place) -> None:
        self._on_frame_row = place[1] is None
        self._place = (place[0], self._place[1] if place[1] is None else place[1])
        self._describe()
        self.update()
        self.place_chosen.emit(place[0], WHOLE_FRAME if place[1] is None else place[1])

    def mousePressEvent(self, event: QMouseEvent) -> None:
        place = self.place_at(event.position())
        if place is not None and event.button() == Qt.MouseButton.LeftButton:
            self._choose(place)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        place = self.place_at(event.position())
        if place is not None:
            if place != self.place:
                self._choose(place)
            self._judge(PlaceJudgement.WRONG.value)

    def _judge(self, verdict: str) -> None:
        frame, slice_ = self.place
        self.judged.emit(frame, WHOLE_FRAME if slice_ is None else slice_, verdict)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {
            Qt.Key.Key_Left: (-1, 0),
            Qt.Key.Key_Right: (1, 0),
            Qt.Key.Key_Up: (0, -1),
            Qt.Key.Key_Down: (0, 1),
        }
        said = {Qt.Key.Key_O: PlaceJudgement.WRONG.value, Qt.Key.Key_Y: PlaceJudgement.GOOD.value}
        said |= {Qt.Key.Key_Delete: "", Qt.Key.Key_Backspace: ""}
        if event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier or not self._shape[0]:
            super().keyPressEvent(event)
        elif event.key() in steps:
            self._step(*steps[event.key()])
        elif event.key() in said:
            self._judge(said[event.key()])
        else:
            super().keyPressEvent(event)

    def _step(self, frames: int, slices: int) -> None:
        frame = min(max(0, self._place[0] + frames), self._shape[0] - 1)
        row = (-1 if self._on_frame_row else self._place[1]) + slices
        row = min(max(-1, row), self._shape[1] - 1)
        self._choose((frame, None if row < 0 else row))

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip:
            place = self.place_at(QPointF(event.pos()))
            if place is not None:
                said = self._verdicts.get(place)
                text = f"{place_text(place).capitalize()}: {said.value if said else 'not judged'}"
                QToolTip.showText(event.globalPos(), f"{text}. Click goes there, double click: wrong", self)
                return True
        return super().event(event)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if is_theme_change(event):
            self.update()
