"""The page of a running or finished training: progress, plots, log, and the buttons that control it."""

from __future__ import annotations

from qtpy.QtCore import QSize, Signal
from qtpy.QtWidgets import QHBoxLayout, QPlainTextEdit, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_ssl.core.job import Event, Job, JobState
from napari_ssl.gui.banner import Banner
from napari_ssl.gui.run_progress import RunProgress, duration_text
from napari_ssl.gui.theme import Fold, heading, muted_label, set_margins, wrapped_label
from napari_ssl.gui.training_plots import TrainingPlots

__all__ = ["TrainingRun"]

_TITLES = {
    JobState.QUEUED: "Waiting to start",
    JobState.RUNNING: "Training",
    JobState.PAUSED: "Paused; a checkpoint is kept",
    JobState.PARKED: "Waiting for your review",
    JobState.INTERRUPTED: "Interrupted",
    JobState.DONE: "Training finished",
    JobState.FAILED: "Training failed",
    JobState.CANCELLED: "Stopped; the last checkpoint is kept",
}
_RESUME = {
    JobState.PAUSED: "Resume",
    JobState.PARKED: "Go on with my decisions",
    JobState.FAILED: "Try again from the checkpoint",
    JobState.CANCELLED: "Go on from the checkpoint",
}
_LOG_LINES = 3000


class _Log(QPlainTextEdit):
    """Read-only lines that follow the end unless the user has scrolled up."""

    def __init__(self) -> None:
        super().__init__()
        self.setReadOnly(True)
        self.setTabChangesFocus(True)
        self.setAccessibleName("Log of the training")
        self.setMaximumBlockCount(_LOG_LINES)
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.setMinimumHeight(140)
        self._shown = 0

    def show_lines(self, lines: list[str]) -> None:
        """Append the lines that are not on show yet; start anew when there are fewer."""
        if len(lines) < self._shown:
            self.clear()
            self._shown = 0
        if len(lines) > self._shown:
            self.appendPlainText("\n".join(lines[self._shown :]))
            self._shown = len(lines)

    def sizeHint(self) -> QSize:
        return QSize(300, 160)


class TrainingRun(QWidget):
    """Shows one job. The requests are signals; `stop_requested` says whether to force."""

    stop_requested = Signal(bool)
    pause_requested = Signal()
    resume_requested = Signal()
    back_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.progress = RunProgress()
        self._job: Job | None = None
        self._hues: dict[str, str] = {}
        self._asked = ""
        self._lost_told = 0
        self._notices_told = 0
        self.title = heading("")
        self.subtitle = muted_label()
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.step = wrapped_label()
        self.banner = Banner(self)
        self.pause_button = QPushButton("Pause")
        self.stop_button = QPushButton("Stop")
        self.force_button = QPushButton("Force")
        self.resume_button = QPushButton("Resume")
        self.back_button = QPushButton("New training")
        self.plots = TrainingPlots()
        self.log = _Log()
        self._build()
        self.pause_button.setToolTip("Write a checkpoint, end the process and free its memory; resume any time")
        self.stop_button.setToolTip("Write a checkpoint and end the training")
        self.force_button.setToolTip("End the process at once; the last checkpoint is kept")
        self.pause_button.clicked.connect(self._pause)
        self.stop_button.clicked.connect(lambda: self._stop(False))
        self.force_button.clicked.connect(lambda: self._stop(True))
        self.resume_button.clicked.connect(self._resume)
        self.back_button.clicked.connect(self.back_requested)

    def _build(self) -> None:
        column = QVBoxLayout(self)
        set_margins(column)
        column.addWidget(self.title)
        column.addWidget(self.subtitle)
        column.addWidget(self.bar)
        column.addWidget(self.step)
        buttons = QHBoxLayout()
        for button in (
            self.pause_button,
            self.stop_button,
            self.force_button,
            self.resume_button,
            self.back_button,
        ):
            buttons.addWidget(button)
        column.addLayout(buttons)
        column.addWidget(self.banner)
        column.addWidget(self.plots)
        folded = Fold("Log")
        folded.addWidget(self.log)
        self.log_fold = folded
        column.addWidget(folded)
        column.addStretch(1)

    # -- what is shown -------------------------------------------------------------------------------------------

    @property
    def job(self) -> Job | None:
        """The job on show."""
        return self._job

    def show_waiting(self, text: str) -> None:
        """Show that an order is on its way to the engine."""
        self.attach(None, {})
        self.title.setText(text)
        self.bar.setRange(0, 0)
        self._show_buttons()

    def attach(self, job: Job | None, hues: dict[str, str]) -> None:
        """Begin anew with a job; its events follow through `add_events`."""
        self.progress = RunProgress()
        self._job, self._hues = job, hues
        self._asked, self._lost_told, self._notices_told = "", 0, 0
        self.banner.clear()
        self.log.show_lines([])
        self.subtitle.setText("" if job is None else f"Job {job.id}")
        self.bar.setRange(0, 1000)
        self.bar.setValue(0)
        self.step.setText("")
        self.plots.show_progress(self.progress, hues)
        self._refresh()

    def add_events(self, events: list[Event]) -> None:
        """Take in what the job has told."""
        for event in events:
            self.progress.add(event)
        self.plots.show_progress(self.progress, self._hues)
        self.log.show_lines(self.progress.log)
        self._tell()
        self._refresh()

    def update_job(self, job: Job) -> None:
        """Take over the job's present state."""
        if self._job is not None and job.state is not self._job.state:
            self._asked = ""
        self._job = job
        self._tell_state()
        self._refresh()

    def show_refusal(self, text: str) -> None:
        """Say that a request was refused."""
        self._asked = ""
        self.banner.show_message(text, kind="error")
        self._refresh()

    def _tell(self) -> None:
        if self.progress.lost_processes > self._lost_told:
            self._lost_told = self.progress.lost_processes
            self.banner.show_message(
                "The training process was killed or lost. It was started again by itself and goes on from its last "
                f"checkpoint (attempt {self.progress.attempt}). Nothing in the study is affected.",
                kind="warning",
            )
        elif len(self.progress.notices) > self._notices_told:
            kind = "warning" if self.progress.interrupted else "info"
            notice = self.progress.notices[-1]
            self.banner.show_message(notice[:1].upper() + notice[1:], kind=kind)
        self._notices_told = len(self.progress.notices)

    def _tell_state(self) -> None:
        state = self._job.state
        if state is JobState.INTERRUPTED:
            self.banner.show_message(
                "The training process was killed or lost. The study is intact and the last checkpoint is kept; the "
                "training resumes by itself.",
                kind="warning",
            )
        elif state is JobState.FAILED:
            self.banner.show_message(self.progress.failure or self._job.message or "The training failed.", kind="error")
        elif state is JobState.PARKED:
            n = len(self.progress.parked_cases)
            self.banner.show_message(
                f"The training waits for your decisions about {n or 'its'} pseudo-labels: they are in the queue. "
                "Decide about as many as you like, then go on.",
                kind="info",
            )

    def _refresh(self) -> None:
        job, told = self._job, self.progress
        if job is None:
            return
        self.title.setText(self._asked or _TITLES[job.state])
        self.bar.setValue(round(1000 * (1.0 if job.state is JobState.DONE else max(told.fraction, job.progress))))
        parts = [told.step] if told.step and not job.state.is_over else []
        if job.state is JobState.QUEUED and not told.step:
            parts = ["The engine starts by itself; other jobs of yours go first."]
        if told.seconds_left is not None and job.state is JobState.RUNNING:
            parts.append(f"about {duration_text(told.seconds_left)} left")
        if job.state is JobState.DONE:
            parts = [self._result_text()]
        self.step.setText(" · ".join(parts))
        self._show_buttons()

    def _result_text(self) -> str:
        model_id = (self.progress.result or {}).get("model_id")
        named = f"Model {model_id}" if model_id else "The model"
        return f"{named} is ready: under Models it is compared, promoted, and relabels the remaining cases."

    def _show_buttons(self) -> None:
        state = self._job.state if self._job else None
        alive = state in (JobState.QUEUED, JobState.RUNNING, JobState.INTERRUPTED)  # the last resumes by itself
        stopping = self._asked.startswith("Stopping")
        self.stop_button.setVisible(alive)
        self.stop_button.setEnabled(not stopping)
        self.stop_button.setText("Stopping…" if stopping else "Stop")
        self.force_button.setVisible(alive and bool(self._asked))
        self.pause_button.setVisible(alive)
        self.pause_button.setEnabled(not self._asked)
        self.resume_button.setVisible(state in _RESUME)
        self.resume_button.setText(_RESUME.get(state, "Resume"))
        self.resume_button.setEnabled(not self._asked)
        self.back_button.setVisible(
            state is not None and (state.is_over or state in (JobState.PAUSED, JobState.PARKED))
        )

    # -- requests ------------------------------------------------------------------------------------------------

    def _stop(self, force: bool) -> None:
        self._asked = "Stopping at once…" if force else "Stopping… (writing a checkpoint)"
        self._refresh()
        self.stop_requested.emit(force)

    def _pause(self) -> None:
        self._asked = "Pausing… (writing a checkpoint)"
        self._refresh()
        self.pause_requested.emit()

    def _resume(self) -> None:
        self._asked = "Resuming…"
        self._refresh()
        self.resume_requested.emit()
