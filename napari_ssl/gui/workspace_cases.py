"""Workspace: cases are opened, looked through and decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QDialog

from napari_ssl.core.decision import ReviewState, Verdict
from napari_ssl.gui import compat
from napari_ssl.gui.background import in_words
from napari_ssl.gui.curve_quantity import quantities
from napari_ssl.gui.journal_banner import ways_on
from napari_ssl.gui.pressures import PressureDialog, aortic_rows, has_aortic_area
from napari_ssl.gui.quality_text import quality_text
from napari_ssl.gui.workspace_editing import EditingActions

if TYPE_CHECKING:
    from napari_ssl.gui.banner import Banner
    from napari_ssl.gui.findings import FindingList
    from napari_ssl.gui.loaded_case import LoadedCase
    from napari_ssl.gui.queue_panel import QueuePanel
    from napari_ssl.gui.start_page import StartPage

__all__ = ["CaseActions"]

_STATE_OF = {
    Verdict.ACCEPT: ReviewState.ACCEPTED,
    Verdict.CORRECT: ReviewState.CORRECTED,
    Verdict.REJECT: ReviewState.REJECTED,
    Verdict.DEFER: ReviewState.DEFERRED,
}


class CaseActions(EditingActions):
    """What the reader does with cases."""

    reader: str
    banner: Banner
    queue: QueuePanel
    findings: FindingList
    start_page: StartPage
    _unread: str | None = None

    def open_case(self, case_id: str) -> None:
        """Show a case."""
        self.banner.clear()
        self.reviewer.open_case(case_id)

    def _open_from_queue(self, case_id: str) -> None:
        self.open_case(case_id)
        compat.canvas_widget(self.viewer).setFocus()

    def go_to_case(self, step: int, *, to_do_only: bool = False) -> None:
        """Show the next or previous case of the queue."""
        if self.reviewer is None:
            return
        case_id = self.queue.next_case(step, to_do_only=to_do_only)
        if case_id is not None:
            self.open_case(case_id)
        elif to_do_only:
            self.banner.show_message(
                "All cases of this list are decided. Change the filter, or train the next model on them.",
                actions=(("Open Training", self._show_training),),
            )
        else:
            self.banner.show_message("That is the end of the list.")

    def _opening(self, case_id: str) -> None:
        self.navigator.stop()
        self._unread = None
        self.queue.set_current(case_id)
        self.review.show_nothing("Reading …")
        self.review.title.setText(case_id)
        self.findings.show_reading()

    def _opened(self, loaded: LoadedCase) -> None:
        self.start_page.hide()
        self._connect_layer()
        self.review.show_case(loaded, self.reviewer.session.comment)
        self.review.set_enabled(True, writable=not self.study.read_only)
        self.review.show_flags(self.reviewer.session.flags)
        self._show_overlay_boxes()
        self._show_curves(loaded)
        self.findings.show_checking() if loaded.rule_flags is None else self.findings.show_flags(loaded.rule_flags)
        self._show_edits()
        self._moved(*self.navigator.place)
        following = self._following()
        if following is not None and following != loaded.case.id:
            self.reviewer.loader.prefetch(following)

    def _following(self) -> str | None:
        """Return the case that comes next, to read it ahead."""
        return self.queue.next_case(to_do_only=True) or self.queue.next_case()

    def _unreadable(self, case_id: str, text: str) -> None:
        self.review.show_nothing("This case cannot be shown.")
        self.curves.clear("No case is open.")
        self.start_page.show_page(case_id, "This case cannot be shown; choose another one in the queue.")
        again = lambda: self.open_case(case_id)  # noqa: E731
        more = ways_on(
            self.study,
            case_id,
            self.reader,
            reopen=again,
            tell=lambda said: self.banner.show_message(said, kind="info"),
        )
        self.banner.show_message(text, kind="error", actions=(("Try again", again), *more))
        row = self.queue.model.row_by_id(case_id)
        if row is not None and row.proposal_id is not None and not self.study.read_only:
            self._unread = case_id
            self.review.title.setText(case_id)
            self.review.details.setText("This case cannot be shown. Its labels can be rejected.")
            self.review.reject_button.setEnabled(True)

    def _show_curves(self, loaded: LoadedCase) -> None:
        scheme = self.study.label_scheme
        shown_as = quantities(scheme, loaded.case, mass=self.reviewer.looks_only)
        ghost = None if self.reviewer.looks_only else loaded.ghost
        aortic = bool(loaded.curves) and has_aortic_area(scheme, loaded.case)
        more = (lambda curves: aortic_rows(curves, scheme, loaded.case, loaded.pressures)) if aortic else None
        self.review.pressures_button.setVisible(aortic)
        self.curves.set_curves(loaded.curves, ghost, scheme=scheme, quantities=shown_as, more=more)
        self._show_quality(loaded)
        self.curves.set_frame(self.navigator.place[0])

    def ask_pressures(self) -> None:
        """Ask for the blood pressures of the case on screen and keep them."""
        if not self._case_is_open() or self.study.read_only:
            return
        loaded, study = self.reviewer.session.loaded, self.study
        dialog = PressureDialog(loaded.case.id, loaded.pressures, self)
        if dialog.exec() != QDialog.DialogCode.Accepted:
            return
        given = dialog.pressures

        def done(_none: object) -> None:
            loaded.pressures = given
            self.reviewer.loader.forget(loaded.case.id)
            if self._case_is_open() and self.reviewer.session.loaded is loaded:
                self.curves.refresh_numbers()

        self.reviewer.saver.run(
            lambda: study.set_pressures(loaded.case.id, *(given or (None, None))),
            done,
            lambda error: self.banner.show_message(in_words(error), kind="error"),
        )

    def _show_quality(self, loaded: LoadedCase) -> None:
        """Show the QC score and what drives it, but not to a reader who is to rate the curves."""
        if self.reviewer.looks_only or self.reviewer.session.is_edited:
            self.curves.show_quality("", {})
            return
        asked = self.review.reasons_of_score.isChecked() and loaded.score is not None and loaded.score.is_flagged
        shaded = asked and any(a.any() for a in loaded.attribution.values())
        text = quality_text(loaded.score, loaded.committee, is_shaded=shaded)
        self.curves.show_quality(text, loaded.attribution if shaded else {})

    def _edited(self, volumes: dict) -> None:
        super()._edited(volumes)
        if self._case_is_open():
            self._show_quality(self.reviewer.session.loaded)  # the score is of the labels as they were

    def _show_rule_flags(self, flags: tuple) -> None:
        self.findings.show_flags(flags)

    def _go_to_place(self, frame: int, slice_: int) -> None:
        """Show a frame and slice; −1 keeps the present one."""
        self.navigator.stop()
        self.navigator.go(None if frame < 0 else frame, None if slice_ < 0 else slice_)

    def _phases_dragged(self, ed: int, es: int) -> None:
        if self.reviewer is not None and not self.reviewer.looks_only:
            self.reviewer.set_phases(ed, es)

    def _moved(self, frame: int, slice_: int) -> None:
        if not self._case_is_open():
            return  # `_opened` follows
        self.curves.set_frame(frame)
        loaded = self.reviewer.session.loaded
        labelled = frame in loaded.labelled_frames
        self.review.show_position(frame, loaded.case.n_frames, slice_, loaded.case.n_slices, labelled)
        flagged = (frame, slice_) in self.reviewer.session.flags
        self.review.flag_button.setText("Remove flag" if flagged else "Flag this slice")

    def accept(self, *, unseen: bool = False) -> None:
        """Accept, saving edits, and go to the next case to do; `unseen`: also what nobody has looked at."""
        again = None if unseen else lambda: self.accept(unseen=True)
        if self._case_is_open() and self.reviewer.decide(Verdict.ACCEPT, again=again):
            self.go_to_case(1, to_do_only=True)

    def save(self, *, unseen: bool = False) -> None:
        """Save the correction, which accepts it, and stay; `unseen`: also what nobody has looked at."""
        if self._case_is_open():
            again = None if unseen else lambda: self.save(unseen=True)
            self.reviewer.decide(Verdict.CORRECT, stay=True, again=again)

    def reject(self, reason: str) -> None:
        """Reject for a reason and go to the next case to do."""
        if self._case_is_open():
            decided = self.reviewer.decide(Verdict.REJECT, reason=reason)
        else:
            decided = self._unread is not None
            if decided:
                self.reviewer.reject_unread(self._unread, reason)
        if decided:
            self.go_to_case(1, to_do_only=True)

    def defer(self) -> None:
        """Decide later and go to the next case to do."""
        if self._case_is_open() and self.reviewer.decide(Verdict.DEFER):
            self.go_to_case(1, to_do_only=True)

    def take_back(self) -> None:
        """Take the last decision back."""
        if self.reviewer is not None:
            self.reviewer.take_back()

    def _decided(self, case_id: str, verdict: Verdict) -> None:
        self.queue.set_state(case_id, _STATE_OF[verdict])
        if self.reviewer.session.case_id == case_id:
            self.reviewer.session.loaded.state = _STATE_OF[verdict]
            self.review.show_state(_STATE_OF[verdict])

    def toggle_flag(self) -> None:
        """Flag frame and slice on show."""
        if self._case_is_open():
            self.reviewer.session.toggle_flag()
            self.review.show_flags(self.reviewer.session.flags)
            self._moved(*self.navigator.place)

    def _clear_flags(self) -> None:
        if self._case_is_open():
            self.reviewer.session.flags.clear()
            self.review.show_flags(())
            self._moved(*self.navigator.place)

    def _set_comment(self, text: str) -> None:
        if self._case_is_open():
            self.reviewer.session.comment = text

    def _go_to_phase(self, which: str) -> None:
        if self._case_is_open():
            curves = self.reviewer.session.loaded.curves.values()
            frame = next((f for c in curves if (f := getattr(c, which)) is not None), None)
            self.navigator.go(frame=frame)

    def _set_phase(self, *, ed: bool) -> None:
        if self._case_is_open():
            frame = self.navigator.place[0]
            self.reviewer.set_phases(frame if ed else None, None if ed else frame)
