"""The training panel: set up a training, start it in the background, follow and control it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from napari_ssl.core.job import Event, Job, JobKind, JobState
from napari_ssl.core.quality import curve_kind
from napari_ssl.core.rating import QcClassifier
from napari_ssl.core.training import StartModel, TrainingSpec
from napari_ssl.errors import NapariSslError, SpecError
from napari_ssl.gui.background import BackgroundRun, BackgroundTask
from napari_ssl.gui.banner import Banner
from napari_ssl.gui.bridge import JobBridge
from napari_ssl.gui.engine_button import jobs_button
from napari_ssl.gui.job_needs import TRAINING, job_needs
from napari_ssl.gui.selection_preview import explain, rule_of
from napari_ssl.gui.training_processes import gpus_to_share
from napari_ssl.gui.training_run import TrainingRun
from napari_ssl.gui.training_setup import TrainingOrder, TrainingSetup
from napari_ssl.study.queue_rows import QueueRow
from napari_ssl.study.study import Study

__all__ = ["TrainingPanel"]

_PAUSE_MS = 200
_ALIVE = (JobState.QUEUED, JobState.RUNNING, JobState.INTERRUPTED)


class TrainingPanel(QWidget):
    """Two pages, the form and the run. Opening it on a study whose training runs shows that run at once.

    `job_finished` carries the id of a training that ended (done, failed or cancelled) while the panel followed it.
    """

    job_finished = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._study: Study | None = None
        self._bridge: JobBridge | None = None
        self._counting = BackgroundTask(self)
        self._explaining = BackgroundTask(self)
        self._rows: list[QueueRow] = []
        self._classifier: QcClassifier | None = None
        self._jobs: list[Job] = []
        self._attach_newest = False
        self.setup = TrainingSetup()
        self.run = TrainingRun()
        self.banner = Banner(self)
        self._pages = QStackedWidget()
        for page in (self.setup, self.run):
            self._pages.addWidget(_scrolling(page))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.banner)
        column.addWidget(self._pages, 1)
        column.addWidget(jobs_button(self, lambda: self._study))
        self.setMinimumWidth(300)
        self._counting.done.connect(self._show_counts)
        self._counting.failed.connect(self._counting_failed)
        self._quiet = QTimer(self)
        self._quiet.setSingleShot(True)
        self._quiet.setInterval(_PAUSE_MS)
        self._quiet.timeout.connect(self._explain_selection)
        self._explaining.done.connect(lambda said: self.setup.show_selection(*said))
        self._explaining.failed.connect(lambda text: self.setup.show_selection(text))
        self.setup.changed.connect(self._quiet.start)
        self.setup.start_requested.connect(self._submit)
        self.run.stop_requested.connect(self._stop)
        self.run.pause_requested.connect(self._pause)
        self.run.resume_requested.connect(self._resume)
        self.run.back_requested.connect(self._show_setup)

    # -- study ---------------------------------------------------------------------------------------------------

    def set_study(self, study: Study | None, *, make_bridge: Any = JobBridge) -> None:
        """Show another study; a training of the one before goes on in the background."""
        self.close_panel()
        self._study = study
        self._jobs = []
        self.banner.clear()
        self.run.attach(None, {})
        self._pages.setCurrentIndex(0)
        self.setup.show_counts(None)
        if study is None:
            self.setup.set_obstacle("Open or create a study first.")
            return
        if not study.read_only:
            self._attach_newest = True
            self._bridge = make_bridge(Path(study.folder), self)
            self._bridge.jobs_changed.connect(self._take_jobs)
            self._bridge.events_arrived.connect(self._take_events)
            self._bridge.submitted.connect(self._attach)
            self._bridge.refused.connect(self._refused)
        self.refresh()

    def close_panel(self) -> None:
        """End the panel's threads; jobs go on in the background."""
        self._counting.close()
        self._quiet.stop()
        self._explaining.close()
        if self._bridge is not None:
            self._bridge.close()
            self._bridge.deleteLater()
            self._bridge = None

    def refresh(self) -> None:
        """Count again what would enter a training; call it after decisions and imports."""
        study = self._study
        if study is None:
            return
        if study.read_only:
            self.setup.set_obstacle("The study is open for reading only; training needs write access to its folder.")
        else:
            self._show_obstacle()

        def count(run: BackgroundRun) -> Any:
            from napari_ssl import rounds

            classifier = study.classifier(curve_kind(study.label_scheme)) if _has_curves(study) else None
            found = rounds.count_training_set(study), study.queue_rows(), classifier, _start_of(study)
            return (*found, gpus_to_share())

        self._counting.start(count)

    def _show_counts(self, found: tuple[Any, list[QueueRow], QcClassifier | None, StartModel | None, int]) -> None:
        counts, self._rows, self._classifier, start, n_gpus = found
        self.setup.set_facts(
            dimensions=self._study.preprocessing.dimensions,
            has_classifier=self._classifier is not None,
            preprocessing=self._study.preprocessing,
            start=start,
            n_gpus=n_gpus,
        )
        self.setup.show_counts(counts)

    def _explain_selection(self) -> None:
        """Say in a thread which pseudo-labels would be taken; nothing is said of what chooses none."""
        setup, rows, classifier = self.setup, self._rows, self._classifier
        rule = rule_of(setup.form.values(), setup.order().policy, setup.policy_form.values())
        if rule is None or self._study is None:
            setup.show_selection("")
            return
        point = None if classifier is None else classifier.threshold
        self._explaining.start(lambda _run: explain(rows, rule, point))

    def _counting_failed(self, text: str) -> None:
        self.banner.show_message(f"The cases cannot be counted. {text}", kind="error")

    def _show_obstacle(self) -> None:
        if self._study is not None and self._study.read_only:
            return
        running = any(j.state in _ALIVE for j in self._jobs)
        self.setup.set_obstacle("A training of this study is running already." if running else "")

    # -- start ---------------------------------------------------------------------------------------------------

    def start_training(self) -> None:
        """Start the training that the form describes, or show the form with the reason why not."""
        if self._job_is_alive():
            self._pages.setCurrentIndex(1)
            return
        self._pages.setCurrentIndex(0)
        self.setup.start()

    def _submit(self, order: TrainingOrder) -> None:
        study, needs = self._study, job_needs(TRAINING)

        def make_spec() -> TrainingSpec:
            from napari_ssl import rounds

            return rounds.training_spec(
                study,
                strategy=order.strategy,
                network=order.network,
                preset=order.preset,
                overrides=dict(order.overrides),
                network_overrides=dict(order.network_overrides),
                policy=order.policy,
                policy_parameters=dict(order.policy_parameters),
                device=order.device,
                seed=order.seed,
                processes=order.processes,
                resources=needs,
            )

        self.banner.clear()
        self.run.show_waiting("Handing the training over…")
        self._pages.setCurrentIndex(1)
        self.setup.set_obstacle("A training is being started.")
        self._bridge.submit(make_spec)

    def _attach(self, job: Job) -> None:
        hues = {s.name: s.colour for s in self._study.label_scheme.structures}
        self.run.attach(job, hues)
        self._pages.setCurrentIndex(1)
        self._bridge.watch(job.id)

    # -- what comes back -----------------------------------------------------------------------------------------

    def _take_jobs(self, jobs: list[Job]) -> None:
        trainings = [j for j in jobs if j.kind is JobKind.TRAIN]
        before = {j.id: j.state for j in self._jobs}
        self._jobs = trainings
        if self._attach_newest:
            self._attach_newest = False
            alive = [j for j in trainings if not j.state.is_over]
            if alive and self.run.job is None:
                self._attach(alive[-1])
        shown = self.run.job
        for job in trainings:
            if shown is not None and job.id == shown.id:
                known = before.get(job.id, shown.state)
                just_over = job.state.is_over and job.state is not known  # that it ran again may pass unseen
                self.run.update_job(job)
                if just_over:
                    self._finish(job)
        if not self._counting.running or self.run.job is not None:
            self._show_obstacle()

    def _finish(self, job: Job) -> None:
        self.refresh()
        self.job_finished.emit(job.id)

    def _take_events(self, job_id: str, events: list[Event]) -> None:
        if self.run.job is not None and self.run.job.id == job_id:
            self.run.add_events(events)

    def _refused(self, action: str, text: str) -> None:
        if action == "submit":
            self._show_obstacle()
            self._pages.setCurrentIndex(0)
            self.banner.show_message(f"The training was not started. {text}", kind="error")
        elif action == "watch":
            self.banner.show_message(f"The jobs cannot be followed. {text}", kind="warning")
        else:
            self.run.show_refusal(text)

    # -- control -------------------------------------------------------------------------------------------------

    def _job_is_alive(self) -> bool:
        job = self.run.job
        return job is not None and job.state in _ALIVE

    def _stop(self, force: bool) -> None:
        self._bridge.cancel(self.run.job.id, force=force)

    def _pause(self) -> None:
        self._bridge.pause(self.run.job.id)

    def _resume(self) -> None:
        self._bridge.resume(self.run.job.id)

    def _show_setup(self) -> None:
        self.run.attach(None, {})
        self._bridge.watch(None)
        self._pages.setCurrentIndex(0)
        self.refresh()


def _scrolling(page: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidget(page)
    area.setWidgetResizable(True)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return area


def _start_of(study: Study) -> StartModel | None:
    """Return the promoted model; None where there is none or its files are lost."""
    from napari_ssl.rounds.orders import start_model

    try:
        return None if study.promoted() is None else start_model(study)
    except NapariSslError:
        return None


def _has_curves(study: Study) -> bool:
    """Whether the label scheme has a ventricle or an aorta."""
    try:
        return bool(curve_kind(study.label_scheme))
    except SpecError:
        return False
