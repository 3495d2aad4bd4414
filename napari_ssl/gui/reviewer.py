"""The review of one study: decisions are stored in threads, the queue is kept up to date. Panels only listen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

from qtpy.QtCore import QObject, QTimer, Signal

from napari_ssl.core.decision import Decision, Verdict
from napari_ssl.errors import DecisionError, NapariSslError
from napari_ssl.gui.background import in_words, sentence
from napari_ssl.gui.canvas import CaseCanvas
from napari_ssl.gui.case_desk import CaseDesk
from napari_ssl.gui.edit_marks import marks_in_words
from napari_ssl.gui.loaded_case import measure_curves
from napari_ssl.gui.loader import WorkQueue
from napari_ssl.gui.navigation import Navigator
from napari_ssl.gui.rule_check import find_flags
from napari_ssl.gui.session import Saved, SaveOrder, last_standing
from napari_ssl.measures.curves import indices
from napari_ssl.review.audit_draw import draw_ahead
from napari_ssl.study.queue_rows import QueueRow
from napari_ssl.study.study import Study

__all__ = ["FIRST_PAGE", "Reviewer"]

_POLL_MS = 5000
FIRST_PAGE = 200
"""Rows of the queue that are shown before all are read."""


class Reviewer(CaseDesk):
    """Adds to the case desk what is stored in the study: decisions, phases, the queue.

    Signals
    -------
    rows_read : list of QueueRow
    first_rows_read : list of QueueRow
        The least confident cases of a large study, while all rows are being read for the first time.
    curves_measured : LoadedCase
        ED or ES was moved.
    saving_changed : none
        A save began or ended.
    decided : str, Verdict
        A case and what was decided, before it is stored.
    """

    rows_read = Signal(object)
    first_rows_read = Signal(object)
    curves_measured = Signal(object)
    saving_changed = Signal()
    decided = Signal(str, object)

    def __init__(
        self, canvas: CaseCanvas, study: Study, reader: str, navigator: Navigator, parent: QObject | None = None
    ) -> None:
        super().__init__(canvas, study, reader, navigator, parent)
        self.saver = WorkQueue(parent=self)
        self._stamp: tuple = ()
        self._knows_rows = False
        self._unsaved: dict[str, str] = {}
        self._poll = QTimer(self)
        self._poll.timeout.connect(self._look_for_changes)
        self._poll.start(_POLL_MS)

    def close(self) -> tuple[str, ...]:
        """Leave the case, wait for saves and stop all threads; returns what could not be saved, in words."""
        self._poll.stop()
        unwritten = super().close()
        self.saver.close()
        return (*unwritten, *self._unsaved.values())

    @property
    def is_saving(self) -> bool:
        """Whether a decision is on its way into the study."""
        return bool(self._saving)

    def decide(
        self, verdict: Verdict, *, reason: str = "", stay: bool = False, again: Callable[[], object] | None = None
    ) -> bool:
        """Record a decision in the background; returns whether there was something to decide.

        With `again`, labels that nobody has looked at are not accepted at once: a message asks, and `again` is called
        when the reader accepts them all the same.
        """
        if self.study.read_only:
            self.message.emit(
                "The study is open for reading only; decisions cannot be recorded. Ask for write permission on "
                f"{self.study.folder}, or copy the study.",
                "warning",
                (),
            )
            return False
        if again is not None and self._asks_to_look(again):
            return False
        try:
            order = self.session.order(verdict, reason=reason, stay=stay)
        except DecisionError as error:
            self.message.emit(in_words(error), "warning", ())
            return False
        if not self.session.has_decided(order):
            self.session.reset_clock()
            self.save(order)
        return True

    def _asks_to_look(self, again: Callable[[], object]) -> bool:
        """Ask before labels that nobody has looked at are accepted; returns whether there are any."""
        marks = self.session.unverified
        if marks:
            self.message.emit(
                f"{self.session.case_id}: nobody has looked at {marks_in_words(marks)} that were copied, propagated or "
                "interpolated. Accepted, they teach the next model like all others.",
                "warning",
                (("Look at them", self.next_unverified), ("Accept all the same", again)),
            )
        return bool(marks)

    def save(self, order: SaveOrder) -> None:
        """Store a decision in a thread; when that fails it is offered again."""
        case_id = order.loaded.case.id
        self._saving.add(case_id)
        self.decided.emit(case_id, order.verdict)
        self.saving_changed.emit()
        self.saver.run(
            lambda: self._store(order),
            lambda saved: self._saved(order, saved),
            lambda error: self._failed_to_save(order, error),
        )

    def reject_unread(self, case_id: str, reason: str) -> None:
        """Reject the labels of a case whose image cannot be shown, in a thread."""

        def work() -> Decision:
            labels = self.study.current(case_id, self.reader)
            if labels is None:
                raise DecisionError(f"case {case_id}: there are no labels to decide about")
            return self.study.record(
                Decision(
                    case_id=case_id,
                    verdict=Verdict.REJECT,
                    reader=self.reader,
                    decided_at=datetime.now(UTC),
                    seconds=0.0,
                    segmentation_id=labels.id,
                    label_hash=labels.label_hash,
                    model_id=labels.model_id,
                    reason=reason,
                )
            )

        self.decided.emit(case_id, Verdict.REJECT)
        self.saver.run(
            work, lambda _decision: self.refresh_rows(), lambda error: self.message.emit(in_words(error), "error", ())
        )

    def _store(self, order: SaveOrder) -> Saved:
        case_id = order.loaded.case.id
        try:
            saved = order.run(self.study)
        except (NapariSslError, OSError) as error:
            kept = " Your strokes are kept." if order.labels is not None else ""
            text = f"{case_id}: the decision could not be saved. {sentence(in_words(error))}{kept}"
            self._unsaved[case_id] = text
            raise
        if order.labels is not None:
            curves = measure_curves(order.loaded.case, order.labels, self.study, order.frames)
            document = {
                "curves_ml": {name: curve.volume_ml for name, curve in curves.items()},
                "indices": asdict(indices(curves, self.study.label_scheme)),
                "unverified": [list(place) for place in order.unverified],
                "flags": [f.to_dict() for f in find_flags(order.loaded, order.labels, self.study)],
            }
            self.study.set_measures(saved.segmentation.id, document)
        return saved

    def _saved(self, order: SaveOrder, saved: Saved) -> None:
        case_id = order.loaded.case.id
        self._saving.discard(case_id)
        self._known_strokes.discard(case_id)
        self.loader.forget(case_id)
        self.session.saved(order, saved)
        self.saving_changed.emit()
        self.refresh_rows()
        self._go_on(case_id)

    def _failed_to_save(self, order: SaveOrder, error: Exception) -> None:
        case_id = order.loaded.case.id
        self._saving.discard(case_id)
        self.saving_changed.emit()
        self.refresh_rows()
        self.message.emit(
            self._unsaved.pop(case_id, f"{case_id}: the decision could not be saved. {in_words(error)}"),
            "error",
            (("Try again", lambda: self.save(order)), ("Open the case", lambda: self.open_case(case_id))),
        )
        self.refresh_rows()
        self._go_on(case_id)

    def _go_on(self, case_id: str) -> None:
        """Load the case that waited for its own save."""
        if self._wanted is not None and self._wanted[0] == case_id:
            self.loader.request(case_id, segmentation_id=self._wanted[1])

    def take_back(self) -> None:
        """Take this reader's last decision back and open that case again."""

        def work():
            last = last_standing(self.study.decisions(reader=self.reader))
            if last is not None:
                self.study.take_back(last.id, reader=self.reader)
            return last

        def done(last) -> None:
            if last is None:
                self.message.emit("There is no decision of yours to take back.", "info", ())
                return
            self.loader.forget(last.case_id)
            self.refresh_rows()
            self.open_case(last.case_id)
            text, actions = f"{last.case_id}: the decision “{last.verdict.value}” was taken back.", ()
            if last.verdict is Verdict.CORRECT:
                text += " The labels are the proposal's again; those that you painted are kept."
                show = lambda: self.open_case(last.case_id, segmentation_id=last.segmentation_id)  # noqa: E731
                actions = (("Show what I painted", show),)
            self.message.emit(text, "info", actions)

        self.saver.run(work, done, lambda error: self.message.emit(in_words(error), "error", ()))

    def set_phases(self, ed_frame: int | None, es_frame: int | None) -> None:
        """Store ED and ES of the case and measure the indices anew; None keeps what the curves use."""
        loaded = self.session.loaded
        if loaded is None:
            return
        known = next(iter(loaded.curves.values()), None)
        ed = known.ed_frame if ed_frame is None and known else ed_frame
        es = known.es_frame if es_frame is None and known else es_frame

        def work():
            case = self.study.set_phases(loaded.case.id, ed, es)
            return case, measure_curves(case, loaded.labels, self.study, loaded.labelled_frames)

        def done(result) -> None:
            loaded.case, loaded.curves = result
            self.loader.forget(loaded.case.id)
            if self.session.loaded is loaded:
                self.curves_measured.emit(loaded)

        self.saver.run(work, done, lambda error: self.message.emit(in_words(error), "error", ()))

    def refresh_rows(self, then: Callable[[], object] | None = None) -> None:
        """Read the queue's rows in a thread.

        Rows that come while a decision is being stored do not know it: they are dropped, the storing asks for new ones.
        """

        def done(rows) -> None:
            self._knows_rows = True
            if not self._saving:
                self.rows_read.emit(rows)
            if then is not None:
                then()

        def work() -> list[QueueRow]:
            rows = self.study.queue_rows(self.reader)
            draw_ahead(row.case_id for row in rows)
            return rows

        if not self._knows_rows:
            self.saver.run(self._first_rows, self._take_first_rows, lambda _error: None)  # that all fail is told below
        self.saver.run(
            work,
            done,
            lambda error: self.message.emit(f"The queue cannot be read. {in_words(error)}", "error", ()),
        )

    def _first_rows(self) -> list[QueueRow]:
        return self.study.first_queue_rows(self.reader, FIRST_PAGE)

    def _take_first_rows(self, rows: list[QueueRow]) -> None:
        """Pass on the page of a study so large that all its rows take seconds; a small one's come at once."""
        if not self._knows_rows and len(rows) == FIRST_PAGE:
            self.first_rows_read.emit(rows)

    def _look_for_changes(self) -> None:
        """Notice what other processes did: imports, predictions, other readers."""
        if self.study.is_on_server:  # whose answer may take a while
            self.saver.run(self.study.change_stamp, self._compare_stamp, lambda _error: None)
        else:
            self._compare_stamp(self.study.change_stamp())
        self.remember_view()

    def _compare_stamp(self, stamp: tuple[object, ...]) -> None:
        if self._stamp and stamp != self._stamp and self.saver.n_running == 0:
            self.refresh_rows()
        self._stamp = stamp
