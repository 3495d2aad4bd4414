"""The models of a study: compare, promote, discard, roll back, and let the promoted one label the remaining cases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QGridLayout,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_ssl.core.cohort import CohortSpec
from napari_ssl.core.job import Job, JobKind, JobState
from napari_ssl.core.model import Model, ModelState
from napari_ssl.core.training import PredictionSpec
from napari_ssl.gui.background import BackgroundRun, BackgroundTask
from napari_ssl.gui.banner import Banner
from napari_ssl.gui.bridge import JobBridge
from napari_ssl.gui.import_model import ImportModelButton
from napari_ssl.gui.job_needs import LABELLING, job_needs
from napari_ssl.gui.labelling_run import LabellingRun
from napari_ssl.gui.labelling_workers import labelling_workers
from napari_ssl.gui.model_comparison import ModelComparison
from napari_ssl.gui.model_list import ModelList
from napari_ssl.gui.model_rows import provenance
from napari_ssl.gui.pages import open_page, write_provenance
from napari_ssl.gui.second_opinion import SecondOpinion
from napari_ssl.gui.settings import reader_name
from napari_ssl.gui.theme import (
    Confirmation,
    Fold,
    heading,
    set_margins,
    wrapped_label,
)
from napari_ssl.study.study import Study

__all__ = ["ModelsPanel"]


class ModelsPanel(QWidget):
    """List, comparison, provenance and the actions on models.

    `model_promoted` carries the model that proposes labels from now on. `relabel_requested` follows the click on
    "Relabel"; the panel itself submits the labelling, shows how far it is and emits `relabelled` when the labels are
    in the study, `proposals_arrived` when those of further cases are. `job_finished` follows the end of any job of this
    panel, `case_chosen` the wish to see a case under two models, old and new, `left_out_chosen` the wish to see one
    that could not be labelled.
    """

    model_promoted = Signal(str)
    relabel_requested = Signal()
    relabelled = Signal(str)
    proposals_arrived = Signal()
    job_finished = Signal(str)
    case_chosen = Signal(str, str, str)
    left_out_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._study: Study | None = None
        self._models: list[Model] = []
        self._after_yes: Callable[[], None] = lambda: None
        self._loading = BackgroundTask(self)
        self._acting = BackgroundTask(self)
        self._telling = BackgroundTask(self)
        self._paging = BackgroundTask(self)
        self._create_widgets()
        self._build()
        self._connect()
        self._refresh_buttons()

    def _create_widgets(self) -> None:
        self.banner = Banner(self)
        self.empty = wrapped_label("Open a study to see its models.")
        self.table = ModelList()
        self.promote_button = QPushButton("Promote")
        self.discard_button = QPushButton("Discard")
        self.rollback_button = QPushButton("Roll back")
        self.evaluate_button = QPushButton("Measure on test cases")
        self.relabel_button = QPushButton("Relabel the remaining cases")
        self.second_opinion = SecondOpinion()
        self.import_model = ImportModelButton()
        self.import_model.imported.connect(lambda _: self.refresh())
        self.confirmation = Confirmation(self)
        self.jobs = LabellingRun()
        self.comparison = ModelComparison()
        self.provenance = QPlainTextEdit()
        self.provenance.setReadOnly(True)
        self.provenance.setTabChangesFocus(True)
        self.provenance.setAccessibleName("Where the selected model comes from")
        self.provenance.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.provenance.setMinimumHeight(170)
        self.page_button = QPushButton("Open as a page …")
        self.page_button.setToolTip("With every decision behind it and the models before it, in the browser")
        self.promote_button.setToolTip("Let the selected model propose the labels from now on")
        self.discard_button.setToolTip("Put the selected model aside; its files are kept")
        self.rollback_button.setToolTip("Go back to the model that was promoted before")
        self.relabel_button.setToolTip(
            "The promoted model labels every training case without expert labels, acceptance or correction"
        )

    def _build(self) -> None:
        page = QWidget()
        column = QVBoxLayout(page)
        set_margins(column)
        for widget in (self.empty, self.table):
            column.addWidget(widget)
        actions = QGridLayout()
        for index, button in enumerate(
            (self.promote_button, self.discard_button, self.rollback_button, self.evaluate_button)
        ):
            actions.addWidget(button, index // 2, index % 2)
        column.addLayout(actions)
        column.addWidget(self.confirmation)
        column.addWidget(self.relabel_button)
        column.addWidget(self.second_opinion)
        column.addWidget(self.import_model)
        column.addWidget(self.jobs)
        column.addWidget(self.jobs.left_out)
        column.addWidget(heading("Compare"))
        column.addWidget(self.comparison)
        self.provenance_fold = Fold("Where the selected model comes from")
        self.provenance_fold.addWidget(self.provenance)
        self.provenance_fold.addWidget(self.page_button)
        column.addWidget(self.provenance_fold)
        column.addStretch(1)
        area = QScrollArea()
        area.setWidget(page)
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(self.banner)
        outer.addWidget(area, 1)
        self.setMinimumWidth(300)

    def _connect(self) -> None:
        self._loading.done.connect(self._show_models)
        self._loading.failed.connect(self._show_failure)
        self._acting.done.connect(self._acted)
        self._acting.failed.connect(self._action_failed)
        self._telling.done.connect(self.provenance.setPlainText)
        self._telling.failed.connect(self.provenance.setPlainText)
        self._paging.done.connect(lambda path: open_page(path) or self.banner.show_message(f"The page is in {path}."))
        self._paging.failed.connect(self._show_failure)
        self.page_button.clicked.connect(self._open_page)
        self.comparison.case_chosen.connect(self.case_chosen)
        self.table.model_selected.connect(self._selected)
        self.promote_button.clicked.connect(self._ask_promote)
        self.discard_button.clicked.connect(self._ask_discard)
        self.rollback_button.clicked.connect(self._ask_rollback)
        self.confirmation.answered.connect(self._answered)
        self.relabel_button.clicked.connect(self.relabel)
        self.evaluate_button.clicked.connect(self._evaluate)
        self.jobs.busy_changed.connect(self._refresh_buttons)
        self.jobs.left_out.again_requested.connect(self._label)
        self.jobs.left_out.case_chosen.connect(self.left_out_chosen)
        self.jobs.over.connect(self._job_over)
        self.jobs.refused.connect(self._show_failure)
        self.jobs.noticed.connect(self.banner.show_message)
        self.jobs.batch_kept.connect(self.proposals_arrived)

    # -- study ---------------------------------------------------------------------------------------------------

    def set_study(self, study: Study | None, *, make_bridge: Any = JobBridge) -> None:
        """Show another study's models."""
        self.close_panel()
        self._study = study
        self._models = []
        self.banner.clear()
        self.confirmation.hide()
        self.provenance.clear()
        self._show_models([])
        self.import_model.set_study(study)
        if study is None:
            return
        if not study.read_only:
            self.jobs.set_bridge(make_bridge(Path(study.folder), self))
        self.refresh()

    def close_panel(self) -> None:
        """End the panel's threads; jobs go on in the background."""
        for task in (self._loading, self._acting, self._telling, self._paging):
            task.close()
        self.comparison.close_task()
        self.jobs.set_bridge(None)

    def refresh(self) -> None:
        """Read the models again."""
        study = self._study
        if study is not None:
            self._loading.start(lambda run: study.models())

    def _show_failure(self, text: str) -> None:
        self.banner.show_message(text, kind="error")

    # -- list ----------------------------------------------------------------------------------------------------

    def _show_models(self, models: list[Model]) -> None:
        self._models = list(models)
        self.empty.setText(
            "Open a study to see its models." if self._study is None else "No model yet: start a training."
        )
        self.empty.setVisible(not models)
        self.table.show_models(self._models)
        self.second_opinion.show_models(self._models)
        self.comparison.show_models(self._models)
        self._refresh_buttons()

    def selected_model(self) -> Model | None:
        """Return the model whose row is selected."""
        return self.table.selected_model()

    def select_model(self, model_id: str) -> None:
        """Select a model's row."""
        self.table.select_model(model_id)

    def _selected(self) -> None:
        self._refresh_buttons()
        model, study = self.selected_model(), self._study
        if model is None or study is None:
            self.provenance.clear()
            return

        def tell(run: BackgroundRun) -> str:
            return provenance(model, study.model_card(model.id), study.model_events(model.id), study.decisions())

        self._telling.start(tell)

    def _open_page(self) -> None:
        model, study = self.selected_model(), self._study
        if model is not None and study is not None:
            self._paging.start(lambda run: write_provenance(study, model_id=model.id))

    # -- actions -------------------------------------------------------------------------------------------------

    def _promoted(self) -> Model | None:
        return next((m for m in self._models if m.state is ModelState.PROMOTED), None)

    def _refresh_buttons(self) -> None:
        model, writable = self.selected_model(), self._study is not None and not self._study.read_only
        busy = self.jobs.busy
        self.page_button.setEnabled(model is not None)
        self.promote_button.setEnabled(writable and model is not None and model.state is not ModelState.PROMOTED)
        self.discard_button.setEnabled(writable and model is not None and model.state is ModelState.CANDIDATE)
        self.rollback_button.setEnabled(writable and self._promoted() is not None and len(self._models) > 1)
        self.evaluate_button.setEnabled(writable and model is not None and not busy)
        self.relabel_button.setEnabled(writable and self._promoted() is not None and not busy)
        self.jobs.left_out.set_can_try(self.relabel_button.isEnabled())

    def _ask(self, question: str, confirm: str, work: Callable[[], Any]) -> None:
        self._after_yes = work
        self.confirmation.ask(question, confirm)

    def _ask_promote(self) -> None:
        model, study, before = self.selected_model(), self._study, self._promoted()
        instead = f" instead of {before.id}" if before else ""
        self._ask(
            f"Promote {model.id}? It proposes the labels from now on{instead}. You can roll back any time.",
            "Promote",
            lambda: self._act("promoted", lambda: study.promote(model.id, by=reader_name())),
        )

    def _ask_discard(self) -> None:
        model, study = self.selected_model(), self._study
        self._ask(
            f"Discard {model.id}? It is put aside; its files and its history are kept.",
            "Discard",
            lambda: self._act("discarded", lambda: study.archive(model.id, by=reader_name())),
        )

    def _ask_rollback(self) -> None:
        study, before = self._study, self._promoted()
        self._ask(
            f"Roll back {before.id}? The model that was promoted before proposes the labels again.",
            "Roll back",
            lambda: self._act("promoted", lambda: study.rollback(by=reader_name())),
        )

    def _answered(self, yes: bool) -> None:
        work, self._after_yes = self._after_yes, lambda: None
        if yes:
            work()

    def _act(self, what: str, work: Callable[[], Model]) -> None:
        self._acting.start(lambda run: (what, work()))

    def _acted(self, outcome: tuple[str, Model]) -> None:
        what, model = outcome
        self.refresh()
        if what == "discarded":
            self.banner.show_message(f"{model.id} was put aside.")
            return
        self.banner.show_message(
            f"{model.id} proposes the labels from now on.", actions=[("Relabel now", self.relabel)]
        )
        self.model_promoted.emit(model.id)

    def _action_failed(self, text: str) -> None:
        self.refresh()
        self.banner.show_message(text, kind="error")

    # -- jobs ----------------------------------------------------------------------------------------------------

    def relabel(self) -> None:
        """Let the promoted model label the remaining cases in the background."""
        if self.relabel_button.isEnabled():
            self._label(None)

    def _label(self, cases: list[str] | None) -> None:
        """Label these cases, or all that no person has labelled or decided."""
        study, ensemble, workers = self._study, self.second_opinion.model_ids, labelling_workers()
        needs = job_needs(LABELLING)

        def make_spec() -> CohortSpec:
            from napari_ssl.jobs.cohort_job import cohort_spec

            return cohort_spec(study, cases=cases, ensemble=ensemble, workers=workers, resources=needs)

        self.banner.clear()
        self.jobs.submit("Relabelling", make_spec)
        self.relabel_requested.emit()

    def _evaluate(self) -> None:
        study, model, needs = self._study, self.selected_model(), job_needs(LABELLING)

        def make_spec() -> PredictionSpec:
            from napari_ssl import rounds

            return rounds.evaluation_spec(study, model_id=model.id, split="test", resources=needs)

        self.banner.clear()
        self.jobs.submit("The measurement", make_spec)

    def _job_over(self, job: Job, text: str) -> None:
        self.refresh()
        self.banner.show_message(text, kind="error" if job.state is JobState.FAILED else "info")
        if job.kind in (JobKind.COHORT, JobKind.PREDICT) and job.state is JobState.DONE:
            self.relabelled.emit(job.id)
        self.job_finished.emit(job.id)
