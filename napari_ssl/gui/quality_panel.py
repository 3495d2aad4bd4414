"""The quality tab: ratings, the classifier of curves with its figures, train it and score proposals with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from napari_ssl.core.job import Job, JobState
from napari_ssl.gui.background import BackgroundTask
from napari_ssl.gui.banner import Banner
from napari_ssl.gui.bridge import JobBridge
from napari_ssl.gui.labelling_run import LabellingRun
from napari_ssl.gui.quality_facts import QualityFacts, agreement_text, classifier_text, ratings_text, read_quality
from napari_ssl.gui.roc_plot import RocPlot
from napari_ssl.gui.theme import heading, muted_label, set_margins, wrapped_label
from napari_ssl.study.study import Study

__all__ = ["QualityPanel"]


class QualityPanel(QWidget):
    """Counts, figures and the two jobs of quality control.

    `job_finished` carries the id of a job that ended while the panel followed it; `rate_clicked` asks for the rating,
    `alarm_raised` carries what the drift monitor says when that is new; empty when all is well again.
    """

    job_finished = Signal(str)
    rate_clicked = Signal()
    alarm_raised = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._study: Study | None = None
        self._facts: QualityFacts | None = None
        self._reading = BackgroundTask(self)
        self._alarm_told = ""
        self.banner = Banner(self)
        self.alarm = Banner(self)
        self.ratings = wrapped_label()
        self.agreement = wrapped_label()
        self.rate_button = QPushButton("Rate curves")
        self.classifier = wrapped_label(selectable=True)
        self.plot = RocPlot()
        self.scores = wrapped_label()
        self.train_button = QPushButton("Train QC classifier")
        self.score_button = QPushButton("Score proposals")
        self.train_button.setToolTip("Learn from ratings, decisions and, while these are few, simulated faults")
        self.score_button.setToolTip("Let the classifier judge the newest proposal of every case, and say why")
        self.curve_box = QCheckBox("Measure how many ratings are enough (slow)")
        self.reason = muted_label()
        self.jobs = LabellingRun(("qc-train", "qc-score"))
        self._build()
        self._reading.done.connect(self._show)
        self._reading.failed.connect(lambda text: self.banner.show_message(text, kind="error"))
        self.rate_button.clicked.connect(self.rate_clicked)
        self.curve_box.setChecked(True)
        self.curve_box.setToolTip(
            "Trains with fewer ratings, too, to see how many are enough; takes several times longer"
        )
        self.train_button.clicked.connect(self.train)
        self.score_button.clicked.connect(self.score)
        self.jobs.busy_changed.connect(self._refresh_buttons)
        self.jobs.over.connect(self._job_over)
        self.jobs.refused.connect(lambda text: self.banner.show_message(text, kind="error"))
        self.jobs.noticed.connect(lambda text: self.banner.show_message(text))
        self._show(None)

    def _build(self) -> None:
        page = QWidget()
        column = QVBoxLayout(page)
        set_margins(column, spacing=6)
        column.addWidget(heading("Ratings"))
        column.addWidget(self.ratings)
        column.addWidget(self.agreement)
        column.addWidget(self.rate_button)
        column.addWidget(heading("Classifier of curves"))
        column.addWidget(self.classifier)
        column.addWidget(self.plot)
        buttons = QHBoxLayout()
        buttons.addWidget(self.train_button, 1)
        buttons.addWidget(self.score_button, 1)
        column.addLayout(buttons)
        column.addWidget(self.curve_box)
        column.addWidget(self.reason)
        column.addWidget(self.jobs)
        column.addWidget(self.banner)  # under the buttons, which stay where they are when it comes and goes
        column.addWidget(heading("Proposals"))
        column.addWidget(self.scores)
        column.addStretch(1)
        area = QScrollArea()
        area.setWidget(page)
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(self.alarm)
        outer.addWidget(area, 1)

    # -- study ---------------------------------------------------------------------------------------------------

    def set_study(self, study: Study | None, *, make_bridge: Any = JobBridge) -> None:
        """Show another study."""
        self.close_panel()
        self._study = study
        self.banner.clear()
        self.alarm.clear()
        self._alarm_told = ""
        self._show(None)
        if study is not None:
            if not study.read_only:
                self.jobs.set_bridge(make_bridge(Path(study.folder), self))
            self.refresh()

    def close_panel(self) -> None:
        """End the panel's threads; jobs go on in the background."""
        self._reading.close()
        self.jobs.set_bridge(None)

    def refresh(self) -> None:
        """Read ratings, classifier and scores again."""
        study = self._study
        if study is not None:
            self._reading.start(lambda _run: read_quality(study))

    def _show(self, facts: QualityFacts | None) -> None:
        self._facts = facts
        metrics = None if facts is None or facts.card is None else facts.card.get("metrics", {}).get("all")
        self.plot.setVisible(bool(metrics))
        if metrics:
            self.plot.show_metrics(metrics)
        if facts is None:
            self.ratings.setText("Open a study first." if self._study is None else "Reading …")
            for label in (self.agreement, self.classifier, self.scores):
                label.clear()
        else:
            self.ratings.setText(ratings_text(facts))
            self.agreement.setText(agreement_text(facts))
            self.classifier.setText(classifier_text(facts))
            self.scores.setText(_scores_text(facts))
            if facts.alarm != self._alarm_told:
                self._alarm_told = facts.alarm
                self.alarm_raised.emit(facts.alarm)
            self.alarm.setVisible(bool(facts.alarm))
            if facts.alarm and self.alarm.text != facts.alarm:
                self.alarm.show_message(facts.alarm, kind="error")
        self.agreement.setVisible(bool(self.agreement.text()))
        self._refresh_buttons()

    # -- jobs ----------------------------------------------------------------------------------------------------

    def why_not(self) -> tuple[str, str]:
        """Return why the classifier cannot be trained, and why nothing can be scored; empty when it can."""
        facts = self._facts
        if self._study is None or facts is None:
            return "Open a study first.", "Open a study first."
        if self._study.read_only:
            reason = "The study is open for reading only."
            return reason, reason
        if facts.obstacle:
            return facts.obstacle, facts.obstacle
        if self.jobs.busy:
            return "A job of quality control runs already.", "A job of quality control runs already."
        if facts.classifier is None:
            return "", "There is no classifier to score with: train one first."
        if not facts.n_proposals:
            return "", "There are no proposals to score: let a model label cases first (tab Models)."
        return "", facts.problem

    def _refresh_buttons(self) -> None:
        no_training, no_scoring = self.why_not()
        self.train_button.setEnabled(not no_training)
        self.curve_box.setEnabled(not no_training)
        self.score_button.setEnabled(not no_scoring)
        self.rate_button.setEnabled(self._study is not None and not self._study.read_only)
        text = no_training or no_scoring if self._facts is not None and not self.jobs.busy else ""
        self.reason.setText(text)
        self.reason.setVisible(bool(text))

    def train(self) -> None:
        """Train a classifier from all that the study holds, as a background job."""

        overrides = {"learning_curve": self.curve_box.isChecked()}

        def order(study: Study) -> Any:
            from napari_ssl.rounds.quality import qc_training_spec

            return qc_training_spec(study, overrides=overrides)

        self._submit("The training of the classifier", order)

    def score(self) -> None:
        """Score the newest proposal of every case, as a background job."""

        def order(study: Study) -> Any:
            from napari_ssl.rounds.quality import qc_scoring_spec

            return qc_scoring_spec(study)

        self._submit("The scoring", order)

    def _submit(self, what: str, order: Callable[[Study], Any]) -> None:
        study = self._study
        self.banner.clear()
        self.jobs.submit(what, lambda: order(study))

    def _go_on(self, job: Job) -> None:
        self.banner.clear()
        self.jobs.go_on(job)

    def _job_over(self, job: Job, text: str) -> None:
        failed = job.state is JobState.FAILED
        scores = job.kind.value == "qc-train" and job.state is JobState.DONE and bool(self._facts.n_proposals)
        actions = (("Score proposals", self.score),) if scores else ()
        if job.state in (JobState.CANCELLED, JobState.FAILED, JobState.PAUSED):
            actions = (("Go on where it was", lambda: self._go_on(job)),)
        self.banner.show_message(text, kind="error" if failed else "info", actions=actions)
        self.refresh()
        self.job_finished.emit(job.id)


def _scores_text(facts: QualityFacts) -> str:
    if not facts.n_proposals:
        return "No proposals yet."
    if facts.classifier is None:
        return f"{facts.n_proposals} proposals, none scored."
    text = f"{facts.n_scored} of {facts.n_proposals} proposals scored"
    return f"{text}, {facts.n_flagged} flagged. Sort the queue by P(good)." if facts.n_scored else f"{text}."
