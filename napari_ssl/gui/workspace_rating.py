"""Workspace: curves are rated. The layout turns, keys mean other things, cases come at random and one after another."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QTabWidget, QWidget

from napari_ssl import __version__
from napari_ssl.core.rating import Rating, standing_ratings
from napari_ssl.gui import compat
from napari_ssl.gui.background import in_words, sentence
from napari_ssl.gui.keys import ACTIONS, WHILE_RATING
from napari_ssl.gui.rating_session import RatingSession, why_none
from napari_ssl.gui.workspace_cases import CaseActions
from napari_ssl.study.journal import EditJournal

if TYPE_CHECKING:
    from napari_ssl.gui.keys import KeyTable
    from napari_ssl.gui.loaded_case import LoadedCase
    from napari_ssl.gui.rating_panel import RatingPanel

__all__ = ["TOO_SOON_S", "RatingActions"]

TOO_SOON_S = 0.4
"""A key within this time after a case came up was meant for the case before."""

_RATED = "You have rated"
_SEED = 0
"""One order for all readers: the first hundred of each are the same cases, from which agreement is measured."""


class RatingActions(CaseActions):
    """What the reader does to rate curves."""

    rating: RatingPanel
    tabs: QTabWidget
    reader: str
    _keys: KeyTable
    _docks: tuple
    _rating_session: RatingSession | None = None
    _case_before: str | None = None

    @property
    def is_rating(self) -> bool:
        """Whether curves are being rated."""
        return self._rating_session is not None

    # -- entering and leaving ------------------------------------------------------------------------------------

    def toggle_rating(self) -> None:
        """Begin to rate, or go back to the review."""
        if self.is_rating:
            self.leave_rating()
            self.tabs.setCurrentWidget(self.review)
        else:
            self.begin_rating(self.rating.goal.value())

    def begin_rating(self, goal: int) -> None:
        """Draw cases and show the first one; `goal` counts the ratings made before."""
        if self.reviewer is None or self.rating.counts.property("busy"):
            return
        self.tabs.setCurrentWidget(self.rating)
        if self.study.read_only:
            return
        if self._case_is_open():
            self.reviewer.session.strokes.compact()  # strokes that were all undone keep no case out
        study, reader = self.study, self.reader
        self.rating.show_start("Drawing cases …")
        self.rating.counts.setProperty("busy", True)

        def draw() -> tuple[list[str], int, set[str]]:
            n_rated = sum(not r.is_adjudication for r in standing_ratings(study.ratings(reader=reader)))
            edited = EditJournal.cases_with_edits(study.folder, reader)
            eligible = study.rating_queue(1_000_000, _SEED, reader)
            return [c for c in eligible if c not in edited], n_rated, edited

        def drawn(found: tuple[list[str], int, set[str]]) -> None:
            self.rating.counts.setProperty("busy", False)
            self._begin(*found, goal)

        self.reviewer.saver.run(draw, drawn, self._cannot_draw)

    def _cannot_draw(self, error: Exception) -> None:
        self.rating.counts.setProperty("busy", False)
        self.rating.show_start("", obstacle=f"The cases to rate cannot be drawn. {in_words(error)}")

    def _begin(self, eligible: list[str], n_rated: int, edited: set[str], goal: int) -> None:
        goal = goal if goal > n_rated else n_rated + goal
        if not eligible:
            reason = why_none(self.queue.model.all_rows, n_rated, edited)
            self.rating.show_start(_count_text(n_rated, 0), obstacle=reason)
            return
        self._case_before = self.reviewer.session.case_id
        self._rating_session = RatingSession(eligible[: goal - n_rated], n_rated, goal)
        self.reviewer.looks_only = True
        self.rating.show_rating()
        self._arrange_rating(True)
        self.tabs.setCurrentWidget(self.rating)
        self._rate_next()

    def leave_rating(self, text: str = "") -> None:
        """Go back to the review; what was rated is in the study."""
        if not self.is_rating:
            return
        session, self._rating_session = self._rating_session, None
        self.navigator.stop()
        self.reviewer.looks_only = False
        self._arrange_rating(False)
        done = text or f"{session.progress_text()}."
        self.rating.show_start(done)
        self.reviewer.refresh_rows(self.quality_changed)  # after the ratings that are on their way
        if self._case_before is not None:
            self.open_case(self._case_before)
        else:
            self.reviewer.leave_case()

    def _forget_rating(self) -> None:
        """Leave the rating because the study is left."""
        if self.is_rating:
            self._rating_session = self._case_before = None
            self._arrange_rating(False)

    def _arrange_rating(self, rating: bool) -> None:
        """Curves beside the canvas and no queue while rating: its scores would lead the reader."""
        queue_dock, curve_dock = self._docks
        window = compat.main_window(self.viewer)
        queue_dock.setVisible(not rating)
        area = Qt.DockWidgetArea.LeftDockWidgetArea if rating else Qt.DockWidgetArea.BottomDockWidgetArea
        window.addDockWidget(area, curve_dock)
        curve_dock.show()
        self.curves.set_upright(rating)
        self.findings.setVisible(not rating or self.rating.findings.isChecked())
        self.arrange()

    def _tab_changed(self, _index: int) -> None:
        shown = self.tabs.currentWidget()
        if self.is_rating and shown is not self.rating:
            self.leave_rating()
        if self.reviewer is None:
            return
        if shown is self.rating:
            self.count_ratings()
        else:
            self.refresh_tab(shown)

    def count_ratings(self) -> None:
        """Say how many curves the reader has rated before; what is told already stays."""
        study, reader, counts = self.study, self.reader, self.rating.counts

        def told(ratings: list[Rating]) -> None:
            n = sum(not r.is_adjudication for r in standing_ratings(ratings))
            if n and not self.is_rating and (not counts.text() or counts.text().startswith(_RATED)):
                counts.setText(f"{_RATED} {n} curve{'s' if n > 1 else ''}.")

        self.reviewer.saver.run(lambda: study.ratings(reader=reader), told, lambda _error: None)

    def refresh_tab(self, tab: QWidget) -> None:
        """A tab came up: what other processes did since must be on show."""

    def _guarded(self, actions: dict[str, Callable[[], object]]) -> dict[str, Callable[[], object]]:
        """Let no key decide about a case or change its labels while curves are rated."""

        def guarded(name: str, run: Callable[[], object]) -> Callable[[], object]:
            def act() -> object:
                return run() if name in WHILE_RATING or not self.is_rating else self._refuse_action(name)

            return act

        return {name: guarded(name, run) for name, run in actions.items()}

    def _refuse_action(self, name: str) -> None:
        text = next(a.text for a in ACTIONS if a.id == name)
        self.rating.banner.show_message(
            f"“{text}” is for the review. {self._keys.shown_key('rate')} leaves the rating."
        )

    # -- one case after another ----------------------------------------------------------------------------------

    def _following(self) -> str | None:
        return self._rating_session.following if self.is_rating else super()._following()

    def _rate_next(self) -> None:
        session = self._rating_session
        self._show_rating_progress()
        if session.current is None:
            n = len(session.left)
            left = f" {n} could not be shown." if n else ""
            more = "" if session.n_done < session.goal else " Begin again to rate more."
            self.leave_rating(f"Done: {session.progress_text()}.{left}{more}")
        else:
            self.rating.set_ratable(False)
            self.open_case(session.current)

    def _show_rating_progress(self) -> None:
        session = self._rating_session
        self.rating.show_progress(session.progress_text(), session.n_done, session.n_wanted)

    def _opened(self, loaded: LoadedCase) -> None:
        super()._opened(loaded)
        if not self.is_rating or loaded.case.id != self._rating_session.current:
            return
        row = self.queue.model.row_by_id(loaded.case.id)
        shown = None if loaded.segmentation is None else loaded.segmentation.id
        if loaded.n_recovered or row is None or row.proposal_id is None:
            self._leave_out(loaded.case.id, f"{loaded.case.id}: left out, it holds unsaved strokes or no proposal.")
        elif shown != row.proposal_id:
            self.reviewer.open_case(loaded.case.id, segmentation_id=row.proposal_id)
        else:
            self.rating.set_ratable(True)
            self.toggle_play()

    def _unreadable(self, case_id: str, text: str) -> None:
        if self.is_rating:
            self._leave_out(case_id, text)
        else:
            super()._unreadable(case_id, text)

    def _leave_out(self, case_id: str, text: str) -> None:
        self._rating_session.unreadable(case_id)
        self._rate_next()
        self.rating.banner.show_message(text, kind="warning")

    def go_to_case(self, step: int, *, to_do_only: bool = False) -> None:
        """Show another case; while rating, put the present one at the end."""
        if not self.is_rating:
            super().go_to_case(step, to_do_only=to_do_only)
        elif self._rating_session.current is not None:
            self._rating_session.passed_over(self._rating_session.current)
            self._rate_next()

    # -- rating --------------------------------------------------------------------------------------------------

    def choose_digit(self, digit: int) -> bool:
        """Rate while rating, else choose the reason of a rejection; returns whether the digit meant something."""
        if not self.is_rating:
            return self.review.reasons.choose(digit)
        if digit > 4 or self.reviewer.session.seconds < TOO_SOON_S:
            return False
        return self.rate(digit)

    def rate(self, score: int) -> bool:
        """Record a score for the curves on show and go to the next case; returns whether a case was there to rate."""
        loaded = self.reviewer.session.loaded if self.is_rating else None
        if loaded is None or loaded.segmentation is None or loaded.case.id != self._rating_session.current:
            return False
        rating = Rating(
            case_id=loaded.case.id,
            segmentation_id=loaded.segmentation.id,
            reader=self.reader,
            score=score,
            seconds=round(self.reviewer.session.seconds, 1),
            rated_at=datetime.now(UTC),
            app_version=__version__,
        )
        self.rating.banner.clear()
        self._record(rating)
        self._rating_session.rated(rating.case_id, rating.seconds)
        self._rate_next()
        return True

    def _record(self, rating: Rating) -> None:
        study = self.study

        def work() -> Any:
            study.add_rating(rating)
            return study.scores([rating.segmentation_id]).get(rating.segmentation_id)

        def done(score: Any) -> None:
            self.rating.reveal(
                rating.case_id,
                rating.score,
                None if score is None else score.probability_good,
                is_flagged=score is not None and score.is_flagged,
            )

        def failed(error: Exception) -> None:
            self.rating.banner.show_message(
                f"{rating.case_id}: the rating could not be saved. {sentence(in_words(error))}",
                kind="error",
                actions=(("Try again", lambda: self._record(rating)),),
            )

        self.reviewer.saver.run(work, done, failed)

    def take_back(self) -> None:
        """Take the last decision back; while rating, the last rating."""
        if not self.is_rating:
            super().take_back()
            return
        study, reader = self.study, self.reader

        def work() -> Rating | None:
            own = [r for r in standing_ratings(study.ratings(reader=reader)) if not r.is_adjudication]
            last = max(own, key=lambda r: r.id, default=None)
            return None if last is None else study.take_back_rating(last.id, reader)

        def done(rating: Rating | None) -> None:
            if rating is None:
                self.rating.banner.show_message("There is no rating of yours to take back.")
                return
            if self.is_rating:
                self._rating_session.taken_back(rating.case_id)
                self._rate_next()
                self.rating.show_taken_back(rating.case_id)

        self.reviewer.saver.run(
            work, done, lambda error: self.rating.banner.show_message(in_words(error), kind="error")
        )

    # -- files ---------------------------------------------------------------------------------------------------

    def import_ratings(self) -> None:
        """Let the reader choose a table of ratings to add."""
        path, _ = QFileDialog.getOpenFileName(self, "Import ratings", "", "Tables (*.csv)")
        if path and self.reviewer is not None:
            study = self.study
            self._file_work(lambda: study.import_ratings_csv(path), lambda found: f"{len(found)} ratings imported.")

    def export_ratings(self) -> None:
        """Let the reader choose where to write all ratings."""
        path, _ = QFileDialog.getSaveFileName(self, "Export ratings", "ratings.csv", "Tables (*.csv)")
        if path and self.reviewer is not None:
            study, target = self.study, Path(path)
            target = target if target.suffix else target.with_suffix(".csv")
            self._file_work(lambda: study.export_ratings_csv(target), lambda _written: f"Ratings written to {target}.")

    def _file_work(self, work: Callable[[], Any], told: Callable[[Any], str]) -> None:
        banner = self.rating.banner

        def done(result: Any) -> None:
            banner.show_message(told(result))
            self.quality_changed()

        self.reviewer.saver.run(work, done, lambda error: banner.show_message(in_words(error), kind="error"))

    def quality_changed(self) -> None:
        """Ratings changed: whoever shows counts of them reads them again."""


def _count_text(n_rated: int, n_left: int) -> str:
    return f"{_RATED} {n_rated} curves; {n_left} more can be rated."
