"""The review workspace: queue, canvas, curves and the tabs Review, Training and Models in one napari window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication, QTabWidget, QVBoxLayout, QWidget

from napari_ssl.core.decision import ReviewState, Verdict
from napari_ssl.gui import compat
from napari_ssl.gui.background import BackgroundTask
from napari_ssl.gui.banner import Banner
from napari_ssl.gui.canvas import CaseCanvas
from napari_ssl.gui.cheat_sheet import CheatSheet
from napari_ssl.gui.curve_view import CurveView
from napari_ssl.gui.import_dialog import ImportDialog
from napari_ssl.gui.keys import KeyFilter, KeyTable
from napari_ssl.gui.loaded_case import LoadedCase
from napari_ssl.gui.models_panel import ModelsPanel
from napari_ssl.gui.navigation import Navigator
from napari_ssl.gui.queue_model import TO_DO
from napari_ssl.gui.queue_panel import QueuePanel
from napari_ssl.gui.review_panel import ReviewPanel
from napari_ssl.gui.reviewer import Reviewer
from napari_ssl.gui.sample import open_sample_study
from napari_ssl.gui.settings import reader_name, set_reader_name
from napari_ssl.gui.start_page import StartPage
from napari_ssl.gui.study_dialogs import ask_new_study, ask_open_study
from napari_ssl.gui.training_panel import TrainingPanel
from napari_ssl.study.study import Study

if TYPE_CHECKING:
    import napari

__all__ = ["WorkspaceWidget", "add_workspace", "open_workspace"]

_STATE_OF = {
    Verdict.ACCEPT: ReviewState.ACCEPTED,
    Verdict.CORRECT: ReviewState.CORRECTED,
    Verdict.REJECT: ReviewState.REJECTED,
    Verdict.DEFER: ReviewState.DEFERRED,
}


class WorkspaceWidget(QWidget):
    """The dock at the right; it adds the docks for queue and curves and takes over keys while it is open.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    reader : str, optional
        Name that decisions are recorded under; by default the one in the settings.
    """

    def __init__(self, napari_viewer: napari.Viewer, reader: str | None = None) -> None:
        super().__init__()
        self.viewer = napari_viewer = compat.unwrapped(napari_viewer)
        self.reader = reader or reader_name()
        self.reviewer: Reviewer | None = None
        self._closed = False
        self._keys = KeyTable()
        self._sample_task = BackgroundTask(self)
        self.navigator = Navigator(napari_viewer, self)
        self.canvas = CaseCanvas(napari_viewer)
        self.queue = QueuePanel()
        self.curves = CurveView()
        self.review = ReviewPanel(self._keys)
        self.training = TrainingPanel()
        self.models = ModelsPanel()
        self.banner = Banner()
        self.start_page = StartPage(compat.canvas_widget(napari_viewer))
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        for widget, name in ((self.review, "Review"), (self.training, "Training"), (self.models, "Models")):
            self.tabs.addTab(widget, name)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.tabs)
        self.setMinimumWidth(330)
        self._docks = self._add_docks()
        self._wire_panels()
        self._key_filter = KeyFilter(self._keys, self._actions(), self.review.choose_reason, self)
        for widget in (compat.canvas_widget(napari_viewer), compat.main_window(napari_viewer), self, *self._docks):
            self._key_filter.install(widget)
        compat.main_window(napari_viewer).installEventFilter(self)
        QApplication.instance().aboutToQuit.connect(self.close_workspace)
        self.review.show_reader(self.reader)
        self._show_start()

    # -- layout --------------------------------------------------------------------------------------------------

    def _add_docks(self) -> tuple[QWidget, ...]:
        window, qt_window = self.viewer.window, compat.main_window(self.viewer)
        compat.hide_welcome(self.viewer)
        compat.insert_above_canvas(self.viewer, self.banner)
        for corner, area in (
            (Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea),
            (Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea),
        ):
            qt_window.setCorner(corner, area)
        docks = (
            window.add_dock_widget(self.queue, name="Queue", area="left", add_vertical_stretch=False),
            window.add_dock_widget(self.curves, name="Volume curves", area="bottom", add_vertical_stretch=False),
        )
        for dock in compat.napari_docks(self.viewer):
            dock.hide()
        QTimer.singleShot(0, self.arrange)
        return docks

    def arrange(self) -> None:
        """Give the docks their widths; the canvas gets the rest."""
        own = self.parentWidget()
        qt_window = compat.main_window(self.viewer)
        if own is not None and not self._closed:
            qt_window.resizeDocks([self._docks[0], own], [300, 350], Qt.Orientation.Horizontal)
            qt_window.resizeDocks([self._docks[1]], [200], Qt.Orientation.Vertical)

    def _wire_panels(self) -> None:
        review = self.review
        review.accept_clicked.connect(self.accept)
        review.save_clicked.connect(self.save)
        review.defer_clicked.connect(self.defer)
        review.rejected.connect(self.reject)
        review.take_back_clicked.connect(self.take_back)
        review.flag_clicked.connect(self.toggle_flag)
        review.flags_cleared.connect(self._clear_flags)
        review.revert_clicked.connect(lambda: self.reviewer and self.reviewer.revert())
        review.contour_toggled.connect(self._set_contour)
        review.overlay_toggled.connect(self.toggle_overlay)
        review.all_overlays_toggled.connect(self.toggle_all_overlays)
        review.napari_panels_toggled.connect(self._show_napari_panels)
        review.comment_changed.connect(self._set_comment)
        review.reader_changed.connect(self._change_reader)
        review.keys_clicked.connect(self.show_keys)
        review.tools.tool_chosen.connect(self._set_tool)
        review.tools.size_chosen.connect(lambda size: self._set_labels_attribute("brush_size", size))
        review.tools.structure_chosen.connect(self._choose_structure)
        self.queue.case_chosen.connect(self._open_from_queue)
        self.curves.frame_selected.connect(lambda frame: self.navigator.go(frame=frame))
        self.curves.phases_changed.connect(lambda ed, es: self.reviewer and self.reviewer.set_phases(ed, es))
        self.navigator.moved.connect(self._moved)
        self.training.job_finished.connect(self._job_finished)
        self.models.job_finished.connect(self._job_finished)
        self.models.model_promoted.connect(lambda _model: self.training.refresh())
        self._sample_task.done.connect(self._sample_ready)
        self._sample_task.failed.connect(self._sample_failed)
        self._sample_task.progress.connect(lambda done, total, _text: self.start_page.show_progress(done, total))

    def _actions(self) -> dict:
        tools = {"brush": "paint", "eraser": "erase", "fill": "fill", "polygon": "polygon", "pick": "pick"}
        step = self.navigator
        return {
            "accept": self.accept,
            "reject": lambda: self._case_is_open() and self.review.show_reasons(),
            "save": self.save,
            "defer": self.defer,
            "take_back": self.take_back,
            "flag": self.toggle_flag,
            "next_case": lambda: self.go_to_case(1),
            "previous_case": lambda: self.go_to_case(-1),
            "previous_frame": lambda: step.step_frame(-1),
            "next_frame": lambda: step.step_frame(1),
            "previous_slice": lambda: step.step_slice(-1),
            "next_slice": lambda: step.step_slice(1),
            "go_ed": lambda: self._go_to_phase("ed_frame"),
            "go_es": lambda: self._go_to_phase("es_frame"),
            "set_ed": lambda: self._set_phase(ed=True),
            "set_es": lambda: self._set_phase(ed=False),
            "play": self.toggle_play,
            "overlays": self.toggle_all_overlays,
            "confidence": lambda: self.toggle_overlay("Uncertainty"),
            "contour": self.review.contour.toggle,
            "cheat_sheet": self.show_keys,
            "move": lambda: self._set_tool("pan_zoom"),
            **{action: lambda mode=mode: self._set_tool(mode) for action, mode in tools.items()},
            "next_structure": self._next_structure,
            "undo": lambda: self.reviewer and self.reviewer.undo(),
            "redo": lambda: self.reviewer and self.reviewer.redo(),
            "copy_up": lambda: self.reviewer and self.reviewer.copy_slice(-1),
            "copy_down": lambda: self.reviewer and self.reviewer.copy_slice(1),
        }

    # -- study ---------------------------------------------------------------------------------------------------

    @property
    def study(self) -> Study | None:
        """The study that is open."""
        return self.reviewer.study if self.reviewer else None

    def _show_start(self) -> None:
        self.curves.clear("Open a study to see volume curves.")
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

    def ask_import(self) -> None:
        """Let the user add images to the open study."""
        if self.study is not None:
            ImportDialog(self, self.study).exec()
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
        self._leave_study()
        if study is None:
            self._show_start()
            return
        self.reviewer = reviewer = Reviewer(self.canvas, study, self.reader, self.navigator, self)
        reviewer.opened.connect(self._opened)
        reviewer.opening.connect(self._opening)
        reviewer.unreadable.connect(self._unreadable)
        reviewer.message.connect(lambda text, kind, actions: self.banner.show_message(text, kind=kind, actions=actions))
        reviewer.rows_read.connect(self._take_rows)
        reviewer.edited.connect(self._edited)
        reviewer.curves_measured.connect(self._show_curves)
        reviewer.saving_changed.connect(self._show_edits)
        reviewer.decided.connect(self._decided)
        self.viewer.title = f"napari-ssl · {study.name}"
        self.review.set_reasons(study.reject_reasons)
        self.review.tools.set_scheme(study.label_scheme)
        self.review.show_nothing("Choose a case in the queue.")
        self.curves.clear("Open a case to see its volume curves.")
        self.start_page.show_page(study.name, "Reading the study …")
        self.training.set_study(study)
        self.models.set_study(study)
        if study.read_only:
            self.banner.show_message(
                f"{study.folder} cannot be written: you can look at everything, decisions are not recorded.",
                kind="warning",
            )
        reviewer.refresh_rows(self._open_first)

    def _leave_study(self) -> None:
        if self.reviewer is None:
            return
        self.navigator.stop()
        study = self.reviewer.study
        self.training.set_study(None)
        self.models.set_study(None)
        self.reviewer.close()
        self.reviewer.deleteLater()
        self.reviewer = None
        study.close()
        self.queue.set_current(None)
        self.queue.set_rows([])
        self.banner.clear()

    def _take_rows(self, rows: list) -> None:
        self.queue.set_rows(rows)
        loaded = self.reviewer.session.loaded
        row = next((r for r in rows if loaded is not None and r.case_id == loaded.case.id), None)
        if row is None:
            return
        loaded.state = row.state
        self.review.show_state(row.state)
        shown = loaded.segmentation.id if loaded.segmentation else 0
        newer = row.proposal_id is not None and row.proposal_id > shown and row.state in TO_DO
        if newer and not self.reviewer.session.is_edited:
            self.banner.show_message(
                f"{row.case_id}: {row.model_id} has proposed new labels.",
                actions=(("Show them", lambda: self.open_case(row.case_id)),),
            )

    def _open_first(self) -> None:
        """Open the first case to do, or say what the study needs."""
        if self.reviewer.session.loaded is not None:
            return
        rows = self.queue.model.all_rows
        if not rows:
            self.start_page.show_page(
                self.study.name, "The study has no images yet.", (("Import images …", self.ask_import),)
            )
        elif not any(r.proposal_id is not None for r in rows):
            labelled = sum(r.has_reference for r in rows)
            text = (
                f"{len(rows)} cases, {labelled} with expert labels, and no proposed labels to review yet. Train a "
                "first model on the labelled cases; then let it label the others (tab Models)."
                if labelled
                else f"{len(rows)} cases, none labelled. Import expert labels for some, or choose a case and paint."
            )
            self.start_page.show_page(
                self.study.name,
                text,
                (("Train a first model", self._show_training), ("Import images …", self.ask_import)),
            )
        else:
            first = self.queue.next_case(to_do_only=True) or self.queue.next_case()
            if first is not None:
                self.open_case(first)

    def _show_training(self) -> None:
        self.tabs.setCurrentWidget(self.training)

    def _job_finished(self, _job_id: str) -> None:
        if self.reviewer is not None:
            self.reviewer.loader.forget()
            self.models.refresh()
            self.training.refresh()
            self.reviewer.refresh_rows(self._open_first)

    def _change_reader(self, name: str) -> None:
        study = self.study
        self.reader = name
        self.review.show_reader(name)
        try:
            set_reader_name(name)
        except OSError as error:
            self.banner.show_message(f"The name is used for this session only: {error}", kind="warning")
        if study is not None:
            folder, read_only = study.folder, study.read_only
            self.set_study(Study.open(folder, read_only=read_only))

    # -- cases ---------------------------------------------------------------------------------------------------

    def _case_is_open(self) -> bool:
        return self.reviewer is not None and self.reviewer.session.loaded is not None

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
        self.queue.set_current(case_id)
        self.review.show_nothing("Reading …")
        self.review.title.setText(case_id)

    def _opened(self, loaded: LoadedCase) -> None:
        self.start_page.hide()
        self._connect_layer()
        self.review.show_case(loaded, self.reviewer.session.comment)
        self.review.set_enabled(True, writable=not self.study.read_only)
        self.review.show_flags(self.reviewer.session.flags)
        self._show_overlay_boxes()
        self._show_curves(loaded)
        self._show_edits()
        self._moved(*self.navigator.place)
        following = self.queue.next_case(to_do_only=True) or self.queue.next_case()
        if following is not None and following != loaded.case.id:
            self.reviewer.loader.prefetch(following)

    def _unreadable(self, case_id: str, text: str) -> None:
        self.review.show_nothing("This case cannot be shown.")
        self.curves.clear("No case is open.")
        self.start_page.show_page(case_id, "This case cannot be shown; choose another one in the queue.")
        self.banner.show_message(text, kind="error", actions=(("Try again", lambda: self.open_case(case_id)),))

    def _show_curves(self, loaded: LoadedCase) -> None:
        scheme = self.study.label_scheme
        self.curves.set_curves(loaded.curves, loaded.ghost, scheme=scheme)
        self.curves.set_frame(self.navigator.place[0])

    def _moved(self, frame: int, slice_: int) -> None:
        self.curves.set_frame(frame)
        if self._case_is_open():
            loaded = self.reviewer.session.loaded
            labelled = frame in loaded.labelled_frames
            self.review.show_position(frame, loaded.case.n_frames, slice_, loaded.case.n_slices, labelled)
            flagged = (frame, slice_) in self.reviewer.session.flags
            self.review.flag_button.setText("Remove flag" if flagged else "Flag this slice")

    # -- decisions -----------------------------------------------------------------------------------------------

    def accept(self) -> None:
        """Accept, saving edits, and go to the next case to do."""
        if self._case_is_open() and self.reviewer.decide(Verdict.ACCEPT):
            self.go_to_case(1, to_do_only=True)

    def save(self) -> None:
        """Save the correction, which accepts it, and stay."""
        if self._case_is_open():
            self.reviewer.decide(Verdict.CORRECT, stay=True)

    def reject(self, reason: str) -> None:
        """Reject for a reason and go to the next case to do."""
        if self._case_is_open() and self.reviewer.decide(Verdict.REJECT, reason=reason):
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

    # -- edits and layers ----------------------------------------------------------------------------------------

    def _edited(self, volumes: dict) -> None:
        for frame, of_frame in volumes.items():
            self.curves.update_frame_volumes(frame, of_frame)
        self._show_edits()

    def _show_edits(self) -> None:
        if self._case_is_open():
            session = self.reviewer.session
            saving = self.reviewer.is_saving and not session.is_edited
            self.review.show_edits(session.strokes.n, is_edited=session.is_edited, saving=saving)

    def _connect_layer(self) -> None:
        """Follow what napari's own keys and controls do to the labels layer."""
        layer = self.reviewer.canvas.labels
        tools = self.review.tools
        if getattr(self, "_followed", None) is not layer:
            self._followed = layer
            layer.events.mode.connect(lambda _event: tools.show_tool(str(layer.mode)))
            layer.events.selected_label.connect(lambda _event: tools.show_structure(int(layer.selected_label)))
            layer.events.brush_size.connect(lambda _event: tools.show_size(layer.brush_size))
        tools.show_tool(str(layer.mode))
        tools.show_structure(int(layer.selected_label))
        tools.show_size(layer.brush_size)

    def _set_labels_attribute(self, name: str, value: object) -> None:
        if self._case_is_open():
            layer = self.reviewer.canvas.labels
            self.viewer.layers.selection.active = layer
            setattr(layer, name, value)

    def _set_tool(self, mode: str) -> None:
        if self.study is not None and not self.study.read_only:
            self._set_labels_attribute("mode", mode)

    def _choose_structure(self, value: int) -> None:
        self._set_labels_attribute("selected_label", value)
        if self._case_is_open() and str(self.reviewer.canvas.labels.mode) in ("pan_zoom", "erase", "pick"):
            self._set_tool("paint")

    def _next_structure(self) -> None:
        if self._case_is_open():
            values = self.study.label_scheme.values
            now = int(self.reviewer.canvas.labels.selected_label)
            self._choose_structure(values[(values.index(now) + 1) % len(values)] if now in values else values[0])

    def _set_contour(self, contour: bool) -> None:
        if self._case_is_open():
            self.reviewer.canvas.set_contour(contour)

    def toggle_overlay(self, name: str) -> None:
        """Show or hide one overlay."""
        if self._case_is_open():
            self.reviewer.canvas.toggle(name)
            self._show_overlay_boxes()

    def toggle_all_overlays(self) -> None:
        """Hide everything but the image, or bring it back."""
        if self._case_is_open():
            self.reviewer.canvas.toggle_overlays()
            self._show_overlay_boxes()

    def _show_overlay_boxes(self) -> None:
        canvas = self.reviewer.canvas
        for name, box in self.review.overlays.items():
            box.setEnabled(canvas.has(name))
            box.setChecked(canvas.is_shown(name))
        self.review.hide_all.setChecked(canvas.overlays_hidden)

    def _show_napari_panels(self, shown: bool) -> None:
        for dock in compat.napari_docks(self.viewer):
            dock.setVisible(shown)

    def toggle_play(self) -> None:
        """Play the cine or stop."""
        interval = self.reviewer.session.loaded.case.frame_interval_ms if self._case_is_open() else None
        self.navigator.toggle_play(interval)

    def show_keys(self) -> None:
        """Open the list of keys, where they can be changed."""
        CheatSheet(self._keys, self).exec()
        self.review.refresh_keys()

    # -- end -----------------------------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if kind in (QEvent.Type.WindowActivate, QEvent.Type.WindowDeactivate) and self.reviewer is not None:
            self.reviewer.session.set_active(kind == QEvent.Type.WindowActivate)
        elif kind == QEvent.Type.Close:
            self.close_workspace()
        return False

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None and not self._closed:
            QTimer.singleShot(0, self._remove_docks)

    def _remove_docks(self) -> None:
        """The workspace's dock was closed: take its other docks along and give napari its panels back."""
        self.close_workspace()
        for dock in self._docks:
            self.viewer.window.remove_dock_widget(dock)
        for dock in compat.napari_docks(self.viewer):
            dock.show()
        self.banner.deleteLater()
        self.start_page.deleteLater()

    def close_workspace(self) -> None:
        """Wait for saves, stop all threads, give keys and wheel back. Unsaved strokes stay in the journal."""
        if self._closed:
            return
        self._closed = True
        self._leave_study()
        self._sample_task.close()
        self.training.close_panel()
        self.models.close_panel()
        self._key_filter.remove()
        self.navigator.close()


def add_workspace(viewer: napari.Viewer, reader: str | None = None) -> WorkspaceWidget:
    """Add the workspace to a window that is open already."""
    widget = WorkspaceWidget(viewer, reader=reader)
    viewer.window.add_dock_widget(widget, name="Review workspace", area="right", add_vertical_stretch=False)
    widget.arrange()
    return widget


def open_workspace(study_folder: Path | str | None = None, reader: str | None = None) -> napari.Viewer:
    """Open a napari window with the workspace, on a study if one is given; the caller runs napari's event loop.

    Raises
    ------
    StudyError
        There is no study in the folder, it is damaged, or of a newer version.
    """
    import napari

    study = None if study_folder is None else Study.open(study_folder)
    viewer = napari.Viewer(title="napari-ssl")
    widget = add_workspace(viewer, reader)
    if study is not None:
        widget.set_study(study)
    return viewer
