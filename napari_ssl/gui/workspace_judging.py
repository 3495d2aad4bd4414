"""Workspace: judging in detail and reading: places, history, subjects, reasons, models on a case, the tour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QFileDialog, QWidget

from napari_ssl.core.reasons import default_reject_reasons
from napari_ssl.core.subject import Subject
from napari_ssl.gui import compat
from napari_ssl.gui.background import in_words
from napari_ssl.gui.history_dialog import HistoryDialog
from napari_ssl.gui.history_rows import HistoryRow, history_rows
from napari_ssl.gui.model_view import load_comparison
from napari_ssl.gui.pages import open_page, write_provenance
from napari_ssl.gui.place_desk import PlaceDesk
from napari_ssl.gui.reasons_dialog import ReasonsDialog
from napari_ssl.gui.subject_dialog import SubjectDialog, subject_text
from napari_ssl.gui.tour import Tour, was_seen
from napari_ssl.gui.tour_steps import workspace_steps
from napari_ssl.gui.workspace_study import StudyActions
from napari_ssl.study.reasons import change_reject_reasons
from napari_ssl.study.subject_tables import import_subjects

if TYPE_CHECKING:
    from napari_ssl.gui.loaded_case import LoadedCase
    from napari_ssl.study.study import Study

__all__ = ["JudgingActions"]


class JudgingActions(StudyActions):
    """What the reader does besides deciding about whole cases."""

    place_desk: PlaceDesk
    tour: Tour
    _subjects: dict[str, Subject]
    _compared: tuple[str, str, str] | None = None

    def _wire_judging(self) -> None:
        self._subjects = {}
        self.place_desk = PlaceDesk(self.review.places, self)
        self.tour = Tour(self)
        self.review.places.place_chosen.connect(self._go_to_place)
        self.navigator.moved.connect(self.place_desk.moved)
        self.review.history_clicked.connect(self.show_history)
        self.review.subject_clicked.connect(self.ask_subject)
        self.review.reasons.change_clicked.connect(self.ask_reasons)
        self.review.tour_clicked.connect(self.start_tour)
        self.models.case_chosen.connect(self.show_compared)
        self.models.left_out_chosen.connect(self._open_from_queue)

    def _judging_actions(self) -> dict[str, Any]:
        tabs = (self.review, self.rating, self.training, self.models, self.quality)
        return {
            **{name: lambda name=name: self._judge_place(name) for name in self.review.places.buttons},
            "history": self.show_history,
            "subject": self.ask_subject,
            "tour": self.start_tour,
            "next_panel": self.focus_next_panel,
            **{f"tab_{i}": lambda panel=panel: self._show_tab(panel) for i, panel in enumerate(tabs, start=1)},
        }

    def _judge_place(self, action: str) -> None:
        if self._case_is_open():
            self.review.places.act(action)

    # -- studies and cases ---------------------------------------------------------------------------------------

    def set_study(self, study: Study | None) -> None:
        """Review another study; what is known of its subjects is read along."""
        self._compared = None
        super().set_study(study)
        self._subjects = {}
        self.place_desk.set_reviewer(self.reviewer)
        if self.reviewer is not None:
            self._read_subjects()

    def _read_subjects(self) -> None:
        study = self.study

        def done(found: list[Subject]) -> None:
            self._subjects = {s.id: s for s in found}
            if self._case_is_open():
                self._show_subject(self.reviewer.session.loaded)

        self.reviewer.saver.run(study.subjects, done, self._tell_error)

    def _tell_error(self, error: Exception) -> None:
        self.banner.show_message(in_words(error), kind="error")

    def _show_subject(self, loaded: LoadedCase) -> None:
        subject = self._subjects.get(loaded.case.subject_id)
        self.curves.set_subject(subject)
        self.review.show_subject(subject_text(subject))

    def _show_curves(self, loaded: LoadedCase) -> None:
        self._show_subject(loaded)
        super()._show_curves(loaded)

    def _opening(self, case_id: str) -> None:
        if self._compared is not None and self._compared[0] == case_id and not self.is_rating:
            self._compared = None
            self.reviewer.looks_only = False
        super()._opening(case_id)

    def open_case(self, case_id: str) -> None:
        """Show a case; a comparison of models ends."""
        self._end_comparison()
        super().open_case(case_id)

    def _end_comparison(self) -> None:
        if self._compared is not None:
            self._compared = None
            self.reviewer.looks_only = self.is_rating

    # -- subjects and reasons ------------------------------------------------------------------------------------

    def ask_subject(self) -> None:
        """Ask for sex, height and weight of the subject of the case on screen."""
        if not self._case_is_open() or self.study.read_only:
            return
        study, loaded = self.study, self.reviewer.session.loaded
        name = loaded.case.subject_id
        dialog = SubjectDialog(self._subjects.get(name) or study.subject(name), self)
        dialog.table_wanted.connect(self.ask_subject_table, Qt.ConnectionType.QueuedConnection)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            values = dialog.values
            self.reviewer.saver.run(
                lambda: study.set_subject(name, **values), lambda _subject: self._read_subjects(), self._tell_error
            )
        dialog.deleteLater()

    def ask_subject_table(self) -> None:
        """Let the reader choose a table of subjects to take over."""
        path, _ = QFileDialog.getOpenFileName(self, "Subjects", "", "Tables (*.csv *.tsv *.txt)")
        if path and self.reviewer is not None:
            study = self.study

            def done(found: Any) -> None:
                left = f" {len(found.unknown)} names are not in the study." if found.unknown else ""
                self.banner.show_message(f"{len(found.subjects)} subjects were taken over.{left}")
                self._read_subjects()

            self.reviewer.saver.run(lambda: import_subjects(study, path), done, self._tell_error)

    def ask_reasons(self) -> None:
        """Let the reader change the study's reasons for rejections."""
        study = self.study
        if study is None or study.read_only:
            return
        dialog = ReasonsDialog(
            study.reject_reasons,
            default_reject_reasons(study.label_scheme),
            lambda reasons: change_reject_reasons(study, reasons),
            self,
        )
        dialog.exec()
        dialog.deleteLater()
        self.review.reasons.offer(study.reject_reasons)
        self.review.places.set_reasons(study.reject_reasons)

    # -- history -------------------------------------------------------------------------------------------------

    def _history(self, case_id: str) -> list[HistoryRow]:
        """Read what happened to a case; what a blind read must not know of stays away."""
        study, reader = self.study, self.reader
        versions, places = study.segmentations(case_id), study.place_verdicts(case_id, standing=False)
        view = study.reader_view(case_id, reader)
        if view.is_blind:
            versions = [v for v in versions if v.id == view.task.segmentation_id]
            places = []
        return history_rows(versions, study.visible_decisions(case_id, reader), places, reader)

    def show_history(self) -> None:
        """Show what happened to the case on screen, and let any own decision be taken back."""
        if not self._case_is_open() or self.is_rating:
            return
        case_id = self.reviewer.session.case_id
        self.reviewer.saver.run(
            lambda: self._history(case_id), lambda rows: self._show_history(case_id, rows), self._tell_error
        )

    def _show_history(self, case_id: str, rows: list[HistoryRow]) -> None:
        dialog = HistoryDialog(case_id, rows, self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.take_back_wanted.connect(lambda d, p: self._take_back_from(dialog, case_id, d, p))
        dialog.labels_wanted.connect(lambda number: self._show_version(case_id, number))
        dialog.page_wanted.connect(lambda: self._open_case_page(case_id))
        self._history_dialog = dialog
        dialog.open()

    def _take_back_from(self, dialog: HistoryDialog, case_id: str, decision_id: int, place_id: int) -> None:
        study, reader = self.study, self.reader

        def work() -> list[HistoryRow]:
            if decision_id >= 0:
                study.take_back(decision_id, reader=reader)
            else:
                study.take_back_place_verdict(place_id, reader)
            return self._history(case_id)

        def done(rows: list[HistoryRow]) -> None:
            dialog.show_rows(rows)
            self.reviewer.loader.forget(case_id)
            self.reviewer.refresh_rows()
            if self.reviewer.session.case_id == case_id and not self.reviewer.session.is_edited:
                self.open_case(case_id)

        self.reviewer.saver.run(work, done, lambda error: dialog.tell(in_words(error)))

    def _show_version(self, case_id: str, segmentation_id: int) -> None:
        """Show an earlier version of the labels; nothing is decided by looking."""
        self._end_comparison()
        self.banner.clear()
        self.reviewer.open_case(case_id, segmentation_id=segmentation_id)

    def _open_case_page(self, case_id: str) -> None:
        study, reader = self.study, self.reader
        self.reviewer.saver.run(
            lambda: write_provenance(study, case_id=case_id, reader=reader),
            lambda path: open_page(path) or self.banner.show_message(f"The page is in {path}."),
            self._tell_error,
        )

    # -- two models on a case ------------------------------------------------------------------------------------

    def show_compared(self, case_id: str, old_id: str, new_id: str) -> None:
        """Show a case as two models label it: the new one's labels, the old one's contour, the expert's contour."""
        if self.reviewer is None or self.is_rating:
            return
        study, reader = self.study, self.reader
        self.reviewer.saver.run(
            lambda: load_comparison(study, case_id, reader, old_id, new_id),
            lambda loaded: self._show_comparison(loaded, old_id, new_id),
            self._tell_error,
        )

    def _show_comparison(self, loaded: LoadedCase, old_id: str, new_id: str) -> None:
        reviewer = self.reviewer
        if reviewer is None or self.is_rating:
            return
        reviewer.looks_only = True
        reviewer.show_to_look(loaded)
        self._compared = (loaded.case.id, old_id, new_id)
        self.review.set_enabled(False)
        for name in ("Previous model", "Reference"):
            if reviewer.canvas.has(name) and not reviewer.canvas.is_shown(name):
                self.toggle_overlay(name)
        self.banner.show_message(
            f"{loaded.case.id}, to look at: labels of {new_id}, yellow contour {old_id}, white contour the expert.",
            actions=(("Back to the review", self._back_to_review),),
        )

    def _back_to_review(self) -> None:
        case_id = self.queue.next_case(to_do_only=True) or self.queue.next_case()
        if case_id is not None:
            self.open_case(case_id)
        self.tabs.setCurrentWidget(self.review)

    def ask_why_rejected(self) -> None:
        """Ask for the reason where it can be read, whatever page is in front; a second time takes the question away."""
        if self.tabs.currentWidget() is not self.review:
            self.review.hide_reasons()
            self.tabs.setCurrentWidget(self.review)
        self.review.show_reasons()

    # -- getting about without a mouse ---------------------------------------------------------------------------

    def _show_tab(self, panel: QWidget) -> None:
        self.tabs.setCurrentWidget(panel)
        first = panel.nextInFocusChain()
        while first is not panel and not (panel.isAncestorOf(first) and _takes_tab(first)):
            first = first.nextInFocusChain()
        (first if first is not panel else panel).setFocus(Qt.FocusReason.TabFocusReason)

    def focus_next_panel(self) -> None:
        """Give the focus to the next part of the window: queue, image, curves, panel."""
        canvas = compat.canvas_widget(self.viewer)
        page = self.start_page if self.start_page.isVisible() else canvas
        parts = (self.queue, page, self.curves, self.tabs)
        now = self.window().focusWidget()
        at = next((i for i, part in enumerate(parts) if now is part or (now and part.isAncestorOf(now))), -1)
        part = parts[(at + 1) % len(parts)]
        if part is self.tabs:
            self._show_tab(self.tabs.currentWidget())
        elif part in (canvas, self.curves):
            part.setFocus(Qt.FocusReason.TabFocusReason)
        else:
            _focus_first(part)

    def start_tour(self) -> None:
        """Show the tour from its first step."""
        self.tour.start(compat.main_window(self.viewer), workspace_steps(self))

    def _sample_ready(self, study: Study) -> None:
        super()._sample_ready(study)
        if not was_seen():
            self.start_tour()


def _takes_tab(widget: QWidget) -> bool:
    return bool(widget.focusPolicy() & Qt.FocusPolicy.TabFocus) and widget.isEnabled() and widget.isVisible()


def _focus_first(part: QWidget) -> None:
    """Give the focus to the first widget inside that takes it."""
    fields = [w for w in part.findChildren(QWidget) if _takes_tab(w)]
    (fields[0] if fields else part).setFocus(Qt.FocusReason.TabFocusReason)
