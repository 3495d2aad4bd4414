"""Workspace: studies are opened, made and closed; what an empty one needs is said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox, QTabWidget, QWidget

from napari_ssl.gui.import_dialog import ImportDialog
from napari_ssl.gui.loaded_case import read_score
from napari_ssl.gui.queue_model import STATE_TEXTS, TO_DO
from napari_ssl.gui.reviewer import Reviewer
from napari_ssl.gui.sample import open_sample_study
from napari_ssl.gui.settings import set_reader_name
from napari_ssl.gui.study_dialogs import ask_new_study, ask_open_study
from napari_ssl.gui.team_window import TeamWindow
from napari_ssl.gui.workspace_rating import RatingActions
from napari_ssl.study.study import Study

if TYPE_CHECKING:
    from napari_ssl.gui.background import BackgroundTask
    from napari_ssl.gui.canvas import CaseCanvas
    from napari_ssl.gui.garbage import GarbageCollection
    from napari_ssl.gui.models_panel import ModelsPanel
    from napari_ssl.gui.quality_panel import QualityPanel
    from napari_ssl.gui.queue_memory import QueueMemory
    from napari_ssl.gui.training_panel import TrainingPanel

__all__ = ["StudyActions"]


class StudyActions(RatingActions):
    """What the reader does with studies."""

    reader: str
    canvas: CaseCanvas
    tabs: QTabWidget
    training: TrainingPanel
    models: ModelsPanel
    quality: QualityPanel
    queue_memory: QueueMemory
    _sample_task: BackgroundTask
    _garbage: GarbageCollection
    _closed: bool

    def _show_start(self) -> None:
        self.curves.clear("Open a study to see volume curves.")
        self.findings.clear()
        self.rating.set_study_open(False)
        self.review.set_study_open(False)
        self.start_page.show_page(
            "Review workspace",
            "Vet the labels that a network proposes: accept, reject or correct them, then train on what you accepted.",
            (
                ("Open study …", self.ask_open),
                ("New study …", self.ask_new),
                ("Try the sample study", self.try_sample),
            ),
        )

    def ask_open(self) -> None:
        """Let the user choose a study folder."""
        study = ask_open_study(self)
        if study is not None:
            self.set_study(study)

    def ask_new(self) -> None:
        """Let the user make a study."""
        study = ask_new_study(self)
        if study is not None:
            self.set_study(study)

    def ask_import(self, paths: Sequence[Path] = ()) -> None:
        """Let the user add images to the open study; what was dropped onto the window is looked at at once."""
        if self.study is not None:
            dialog = ImportDialog(self, self.study)
            if paths:
                dialog.set_paths(paths)
            dialog.exec()
            self.training.refresh()
            self.reviewer.refresh_rows(self._open_first)

    def try_sample(self) -> None:
        """Make the sample study in the background and open it."""
        self.start_page.show_page(
            "Making the sample study",
            "26 beating hearts are computed and imported; this takes about a minute.",
            busy=True,
        )
        self._sample_task.start(lambda run: open_sample_study(progress=run.report))

    def _sample_ready(self, study: Study) -> None:
        self.set_study(study)

    def _sample_failed(self, text: str) -> None:
        self._show_start()
        self.banner.show_message(f"The sample study could not be made. {text}", kind="error")

    def set_study(self, study: Study | None) -> None:
        """Review another study; the one before is closed."""
        is_switch = self.reviewer is not None and study is not None
        self._leave_study()
        if is_switch:
            self._garbage.collect_all()
        if study is None:
            self._show_start()
            return
        self.reviewer = reviewer = Reviewer(self.canvas, study, self.reader, self.navigator, self)
        self.view.follow(reviewer)
        self.queue_memory.follow(reviewer)
        reviewer.opened.connect(self._opened)
        reviewer.opening.connect(self._opening)
        reviewer.unreadable.connect(self._unreadable)
        reviewer.message.connect(lambda text, kind, actions: self.banner.show_message(text, kind=kind, actions=actions))
        reviewer.rows_read.connect(self._take_rows)
        reviewer.first_rows_read.connect(self._take_first_rows)
        reviewer.edited.connect(self._edited)
        reviewer.curves_measured.connect(self._show_curves)
        reviewer.saving_changed.connect(self._show_edits)
        reviewer.decided.connect(self._decided)
        reviewer.rules.checked.connect(self._show_rule_flags)
        self._follow_editing()
        reviewer.rules.failed.connect(lambda text: self.findings.clear(f"The rules could not be asked. {text}"))
        self.viewer.title = f"napari-ssl · {study.name}"
        self.review.reasons.offer(study.reject_reasons)
        self.review.tools.set_scheme(study.label_scheme)
        self.review.show_nothing("Choose a case in the queue.")
        self.review.set_study_open(True)
        self.curves.clear("Open a case to see its volume curves.")
        self.start_page.show_page(study.name, "Reading the study …")
        self.rating.show_start("")
        self.rating.set_study_open(True, writable=not study.read_only)
        self.training.set_study(study)
        self.models.set_study(study)
        self.quality.set_study(study)
        if study.read_only:
            self.banner.show_message(
                f"{study.folder} cannot be written: you can look at everything, decisions are not recorded.",
                kind="warning",
            )
        reviewer.refresh_rows(self._open_first)
        self.count_ratings()  # the tab Rate may be on show

    def _leave_study(self) -> None:
        if self.reviewer is None:
            return
        self._forget_rating()
        self.navigator.stop()
        study = self.reviewer.study
        self.training.set_study(None)
        self.models.set_study(None)
        self.quality.set_study(None)
        self.view.follow(None)
        self.queue_memory.follow(None)
        unsaved = self.reviewer.close()
        self.reviewer.deleteLater()
        self.reviewer = None
        study.close()
        self.queue.set_current(None)
        self.queue.set_rows([])
        self.banner.clear()
        if unsaved:
            self._tell_unsaved("\n".join(unsaved))

    def _tell_unsaved(self, text: str) -> None:
        """Say what a save that failed while the study was left did not store; the window may be gone by now."""
        if not self._closed:
            self.banner.show_message(text, kind="error")
            return
        box = QMessageBox(QMessageBox.Icon.Warning, "napari-ssl", f"{text}\n\nDecide again at the next start.")
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.show()

    def _take_first_rows(self, rows: list) -> None:
        """Begin with the least confident cases; the case of last time may be among the others."""
        self.queue.set_rows(rows, is_first_page=True)
        last = self.reviewer.memory.last
        if last is None or self.queue.model.row_by_id(last) is not None:
            self._open_first()

    def _take_rows(self, rows: list) -> None:
        self.queue.set_rows(rows)
        loaded = self.reviewer.session.loaded
        row = next((r for r in rows if loaded is not None and r.case_id == loaded.case.id), None)
        if row is None:
            return
        elsewhere = row.state not in TO_DO and loaded.state in TO_DO and loaded.decision is None
        loaded.state = row.state
        self._show_live_state()
        if elsewhere and not self.reviewer.is_saving:
            self.banner.show_message(
                f"{row.case_id}: you decided this case ({STATE_TEXTS[row.state]}) in another window. What you decide "
                "here replaces that, the labels saved there stay in the study.",
                kind="warning",
                actions=(("Show those labels", lambda: self.open_case(row.case_id)),),
            )
            return
        shown = loaded.segmentation.id if loaded.segmentation else 0
        newer = row.proposal_id is not None and row.proposal_id > shown and row.state in TO_DO
        if newer and not self.reviewer.session.is_edited:
            self.banner.show_message(
                f"{row.case_id}: {row.model_id} has proposed new labels.",
                actions=(("Show them", lambda: self.open_case(row.case_id)),),
            )

    def _open_first(self) -> None:
        """Open the first case to do, or say what the study needs."""
        if self.reviewer.session.loaded is not None or self.reviewer.is_opening:
            return
        rows = self.queue.model.all_rows
        if not rows:
            self.start_page.show_page(
                self.study.name, "The study has no images yet.", (("Import images …", self.ask_import),)
            )
        elif not any(r.proposal_id is not None for r in rows):
            self.start_page.show_page(self.study.name, *self._what_to_do_without_proposals(rows))
        else:
            first = self._case_of_last_time() or self.queue.next_case(to_do_only=True) or self.queue.next_case()
            if first is not None:
                self.open_case(first)

    def _what_to_do_without_proposals(self, rows: list) -> tuple[str, tuple]:
        """Return what the start page says, and its buttons, while no case has proposed labels."""
        labelled, model = sum(r.has_reference for r in rows), self.study.promoted()
        more = ("Import images …", self.ask_import)
        if model is not None:
            text = (
                f"{len(rows)} cases and no proposed labels to review yet. Model {model.id} is ready to label them: "
                "“Relabel the remaining cases” in the tab Models."
            )
            return text, (("Open Models", lambda: self.tabs.setCurrentWidget(self.models)), more)
        text = (
            f"{len(rows)} cases, {labelled} with expert labels, and no proposed labels to review yet. Train a "
            "first model on the labelled cases; then let it label the others (tab Models)."
            if labelled
            else f"{len(rows)} cases, none labelled. Import expert labels for some, or choose a case and paint."
        )
        return text, (("Train a first model", self._show_training), more)

    def _case_of_last_time(self) -> str | None:
        """Return the case that was on screen when the window was closed, if it is still to do."""
        last = self.reviewer.memory.last
        row = next((r for r in self.queue.model.rows if r.case_id == last), None)
        return last if row is not None and row.state in TO_DO and row.proposal_id is not None else None

    def _show_training(self) -> None:
        self.tabs.setCurrentWidget(self.training)

    def _job_finished(self, _job_id: str) -> None:
        if self.reviewer is not None:
            self.reviewer.loader.forget()
            self._take_new_score()
            self.models.refresh()
            self.training.refresh()
            self.quality.refresh()
            self.reviewer.refresh_rows(self._open_first)

    def _show_arrivals(self) -> None:
        """Have the proposals in the queue that a labelling has brought so far."""
        if self.reviewer is not None:
            self.reviewer.loader.forget()
            self.reviewer.refresh_rows(self._open_first)

    def _take_new_score(self) -> None:
        """Show what a scoring that has just ended says about the labels on screen."""
        loaded, study = self.reviewer.session.loaded, self.study
        if loaded is None or loaded.segmentation is None or loaded.n_recovered:
            return
        number = loaded.segmentation.id

        def done(found: tuple) -> None:
            loaded.score, loaded.attribution = found
            if self._case_is_open() and self.reviewer.session.loaded is loaded:
                self._show_quality(loaded)

        self.reviewer.saver.run(lambda: read_score(study, number), done, lambda _error: None)

    def quality_changed(self) -> None:
        """Count ratings and scores again."""
        self.quality.refresh()

    def refresh_tab(self, tab: QWidget) -> None:
        """Read anew what a tab shows: other processes train, import and rate, too."""
        if tab in (self.training, self.models, self.quality):
            tab.refresh()

    def _show_alarm(self, text: str) -> None:
        """Tell above the canvas that a round made things worse."""
        if text:
            actions = (("Look", lambda: self.tabs.setCurrentWidget(self.quality)),)
            self.banner.show_message(text, kind="warning", actions=actions)

    def show_team(self) -> None:
        """Show how far readers are and how well they agree; plan what they read again."""
        if self.reviewer is not None:
            TeamWindow(self.study, self.reader, self).exec()
            self.reviewer.refresh_rows()

    def _show_reader(self) -> None:
        for panel in (self.review, self.rating):
            panel.show_reader(self.reader)

    def _change_reader(self, name: str) -> None:
        study = self.study
        self.reader = name
        self._show_reader()
        try:
            set_reader_name(name)
        except OSError as error:
            self.banner.show_message(f"The name is used for this session only: {error}", kind="warning")
        if study is not None:
            folder, read_only = study.folder, study.read_only
            self.set_study(Study.open(folder, read_only=read_only))
