"""A short job that a panel has started, e.g. a prediction: one bar, one sentence, stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_ssl.core.job import Event, EventKind, Job, JobKind, JobState
from napari_ssl.gui.bridge import JobBridge
from napari_ssl.gui.left_out_cases import LeftOutCases
from napari_ssl.gui.run_progress import progress_text
from napari_ssl.gui.theme import muted_label

__all__ = ["LabellingRun"]

_ALIVE = (JobState.QUEUED, JobState.RUNNING, JobState.INTERRUPTED)
"""The job goes on without being asked."""


class LabellingRun(QWidget):
    """Submits such a job, or finds one that runs already, and follows it; hidden while there is none.

    Cases that it leaves out are listed in `left_out`, which its owner places, and stay there until the next job.

    Parameters
    ----------
    kinds : tuple of str
        Kinds of job that belong to the panel, the one to follow first: a cohort before its batches.

    Signals
    -------
    over : Job, str
        The job and what to tell about its end.
    batch_kept
        More proposals are in the study, the job goes on.
    """

    busy_changed = Signal()
    over = Signal(object, str)
    refused = Signal(str)
    noticed = Signal(str)
    batch_kept = Signal()

    def __init__(self, kinds: tuple[str, ...] = ("cohort", "predict", "evaluate")) -> None:
        super().__init__()
        self._kinds = kinds
        self._bridge: JobBridge | None = None
        self._job: Job | None = None
        self._submitting = False
        self._looked = False
        self._asked_to_stop = False
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.text = muted_label()
        self.left_out = LeftOutCases()
        self.stop_button = QPushButton("Stop")
        self.stop_button.clicked.connect(self._stop)
        row = QHBoxLayout()
        row.addWidget(self.bar, 1)
        row.addWidget(self.stop_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(self.text)
        self.hide()

    @property
    def busy(self) -> bool:
        """Whether such a job is on its way or running."""
        return self._submitting or (self._job is not None and self._job.state in _ALIVE)

    @property
    def job(self) -> Job | None:
        """The job on show, or the last one."""
        return self._job

    def set_bridge(self, bridge: JobBridge | None) -> None:
        """Work with another study's jobs; the bridge before is closed."""
        if self._bridge is not None:
            self._bridge.close()
            self._bridge.deleteLater()
        self._bridge, self._job, self._submitting, self._looked = bridge, None, False, False
        self.left_out.clear()
        if bridge is not None:
            bridge.jobs_changed.connect(self._take_jobs)
            bridge.events_arrived.connect(self._take_events)
            bridge.submitted.connect(self._attach)
            bridge.refused.connect(self._refuse)
        self._refresh()

    def submit(self, what: str, make_spec: Callable[[], Any]) -> None:
        """Hand an order over; `what` names it in the sentence on show."""
        self._submitting, self._job = True, None
        self.bar.setValue(0)
        self.text.setText(f"{what} is being handed over…")
        self._refresh()
        self._bridge.submit(make_spec)

    def go_on(self, job: Job) -> None:
        """Let a job that was stopped, or failed, go on where it was."""
        self._attach(job)
        self._submitting = True  # until the job is seen to be alive again
        self._bridge.resume(job.id)
        self._refresh()

    def _attach(self, job: Job) -> None:
        if self._bridge is None:  # word of a study that was closed meanwhile; its jobs go on
            return
        self._submitting, self._job, self._asked_to_stop = False, job, False
        self.left_out.clear()
        self.text.setText("Waits for the engine…")
        self._bridge.watch(job.id)
        self._refresh()

    def _stop(self) -> None:
        if self._job is not None:
            # A second click does not wait for the case that is being worked on.
            self._bridge.cancel(self._job.id, force=self._asked_to_stop)
            self._asked_to_stop = True
            self.text.setText("Stopping…")
            self._refresh()

    def _take_jobs(self, jobs: list[Job]) -> None:
        mine = [j for j in jobs if j.kind.value in self._kinds]
        if not self._looked:
            self._looked = True
            alive = [j for j in mine if j.state in _ALIVE]
            if alive and not self.busy:
                self._attach(min(reversed(alive), key=lambda job: self._kinds.index(job.kind.value)))
        for job in mine:
            if self._job is not None and job.id == self._job.id:
                # A job that goes on may fail again before anybody has seen it alive.
                was_alive = self._job.state in _ALIVE or (self._submitting and job.updated_at != self._job.updated_at)
                self._job = job
                self._submitting = self._submitting and job.state not in _ALIVE and not was_alive
                if job.state is JobState.INTERRUPTED:
                    self.text.setText("The process was killed or lost; it resumes by itself.")
                elif not job.state.is_over and job.message.startswith("Waits") and not self._asked_to_stop:
                    self.text.setText(job.message)
                if job.state not in _ALIVE and was_alive:
                    self.over.emit(job, _end_text(job))
        self._refresh()

    def _take_events(self, job_id: str, events: list[Event]) -> None:
        if self._job is None or self._job.id != job_id:
            return
        left_out: dict[str, str] = {}
        progress = [event.data for event in events if event.kind is EventKind.PROGRESS]
        if progress:  # of a night's labelling there are thousands
            self.bar.setValue(round(1000 * float(progress[-1].get("fraction") or 0.0)))
            if not self._asked_to_stop:
                self.text.setText(progress_text(progress[-1]))
        if any("n_in_study" in event.data for event in events if event.kind is EventKind.CHECKPOINT):
            self.batch_kept.emit()
        for event in events:
            if event.kind is EventKind.NOTICE and "left_out" in event.data:
                left_out[str(event.data["case_id"])] = str(event.data["left_out"])
            elif event.kind is EventKind.NOTICE:
                self.noticed.emit(str(event.data.get("message", "")))
        if left_out:
            self.left_out.add(left_out)

    def _refuse(self, action: str, text: str) -> None:
        if action in ("submit", "resume"):
            self._submitting = False
        self._asked_to_stop = self._asked_to_stop and action != "cancel"
        self._refresh()
        self.refused.emit(text)

    def _refresh(self) -> None:
        self.stop_button.setText("Force" if self._asked_to_stop else "Stop")
        self.stop_button.setEnabled(self._job is not None)
        self.setVisible(self.busy)
        self.busy_changed.emit()


_ENDS = {
    "cohort": ("Relabelling", "The new proposals are in the queue."),
    "predict": ("Relabelling", "The new proposals are in the queue."),
    "evaluate": ("The measurement", "The measurement is finished."),
    "qc-train": ("Training the classifier", "The classifier is ready; it can score the proposals now."),
    "qc-score": ("Scoring", "The scores are in the queue."),
}
"""What the job is called, and what is told when it is done."""


def _end_text(job: Job) -> str:
    what, done = _ENDS[job.kind.value]
    if job.state is JobState.FAILED:
        return f"{what} failed. {job.message}".strip()
    if job.state is JobState.CANCELLED:
        labels = job.kind in (JobKind.COHORT, JobKind.PREDICT)
        kept = "what was finished before is kept for the next time" if labels else "it can go on"
        return f"{what} was stopped; {kept}."
    if job.state is JobState.PAUSED:
        return f"{what} is paused. {job.message}".strip()
    return done
