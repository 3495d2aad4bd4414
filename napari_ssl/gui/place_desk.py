"""Verdicts on frames and slices of the case on the desk: read, stored and taken back in threads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_ssl.core.decision import PlaceJudgement, PlaceVerdict
from napari_ssl.gui.background import in_words
from napari_ssl.gui.place_grid import WHOLE_FRAME
from napari_ssl.gui.place_panel import PlacePanel

if TYPE_CHECKING:
    from napari_ssl.gui.loaded_case import LoadedCase
    from napari_ssl.gui.reviewer import Reviewer

__all__ = ["PlaceDesk"]


class PlaceDesk(QObject):
    """Ties the panel to the reviewer of the study that is open."""

    def __init__(self, panel: PlacePanel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.panel = panel
        self._reviewer: Reviewer | None = None
        self._standing: dict[tuple[int, int | None], PlaceVerdict] = {}
        self._since = 0.0
        panel.judged.connect(self._judge)

    def set_reviewer(self, reviewer: Reviewer | None) -> None:
        """Follow the reviewer of another study."""
        self._reviewer = reviewer
        self._standing = {}
        self.panel.show_case(0, 0)
        self.panel.set_enabled(False)
        if reviewer is not None:
            self.panel.set_reasons(reviewer.study.reject_reasons)
            reviewer.opened.connect(self._opened)
            reviewer.saving_changed.connect(self._saved)
            reviewer.opening.connect(lambda _case_id: self.panel.set_enabled(False))

    def moved(self, frame: int, slice_: int) -> None:
        """Note the place on screen; from now on the time for it counts."""
        self.panel.grid.set_place(frame, slice_)
        if self._reviewer is not None:
            self._since = self._reviewer.session.seconds

    def _opened(self, loaded: LoadedCase) -> None:
        reviewer = self._reviewer
        self._standing = {}
        self.panel.show_case(loaded.case.n_frames, loaded.case.n_slices)
        self.panel.grid.set_place(*reviewer.navigator.place)
        self._since = 0.0
        may = loaded.segmentation is not None and not reviewer.study.read_only and not reviewer.looks_only
        self.panel.set_enabled(may)
        if loaded.segmentation is not None:
            self._read(loaded)

    def _saved(self) -> None:
        """Labels that were corrected are another version: what was said of the one before is not said of it."""
        loaded = self._reviewer.session.loaded if self._reviewer is not None else None
        if loaded is not None and loaded.segmentation is not None and not self._reviewer.is_saving:
            self._read(loaded)

    def _read(self, loaded: LoadedCase) -> None:
        reviewer = self._reviewer
        study, case_id, reader = reviewer.study, loaded.case.id, reviewer.reader

        def done(found: list[PlaceVerdict]) -> None:
            if self._is_on_screen(loaded):
                shown = [v for v in found if v.segmentation_id == loaded.segmentation.id]
                self._standing = {(v.frame, v.slice): v for v in shown}
                self.panel.show_verdicts(shown)

        def work() -> list[PlaceVerdict]:
            found, view = study.place_verdicts(case_id, reader=reader), study.reader_view(case_id, reader)
            if view.is_blind:  # what was said in an earlier read would lead this one
                found = [v for v in found if v.judged_at >= view.task.created_at]
            return found

        reviewer.saver.run(work, done, self._failed)

    def _is_on_screen(self, loaded: LoadedCase) -> bool:
        return self._reviewer is not None and self._reviewer.session.loaded is loaded

    def _judge(self, frame: int, slice_: int, verdict: str) -> None:
        reviewer = self._reviewer
        loaded = reviewer.session.loaded if reviewer is not None else None
        if loaded is None or loaded.segmentation is None or reviewer.looks_only:
            return
        if reviewer.session.is_edited:
            self.panel.tell("The verdict would be about labels without your strokes: save or revert them first.")
            return
        place = (frame, None if slice_ == WHOLE_FRAME else slice_)
        study, reader, standing = reviewer.study, reviewer.reader, self._standing.get(place)
        if not verdict:
            work = (lambda: study.take_back_place_verdict(standing.id, reader)) if standing else None
        else:
            order = self._order(loaded, place, PlaceJudgement(verdict))
            work = lambda: study.add_place_verdict(order)  # noqa: E731
        if work is not None:
            reviewer.saver.run(work, lambda _stored: self._is_on_screen(loaded) and self._read(loaded), self._failed)

    def _order(self, loaded: LoadedCase, place: tuple[int, int | None], verdict: PlaceJudgement) -> PlaceVerdict:
        reviewer = self._reviewer
        reason, comment = self.panel.take_comment()
        seconds = max(0.0, reviewer.session.seconds - self._since)
        self._since = reviewer.session.seconds
        return PlaceVerdict(
            case_id=loaded.case.id,
            segmentation_id=loaded.segmentation.id,
            label_hash=loaded.segmentation.label_hash,
            reader=reviewer.reader,
            frame=place[0],
            slice=place[1],
            verdict=verdict,
            reason=reason if verdict is PlaceJudgement.WRONG else "",
            comment=comment,
            seconds=round(seconds, 1),
            judged_at=datetime.now(UTC),
        )

    def _failed(self, error: Exception) -> None:
        if self._reviewer is not None:
            self._reviewer.message.emit(f"The verdict could not be stored. {in_words(error)}", "error", ())
