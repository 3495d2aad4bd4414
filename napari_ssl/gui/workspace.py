"""The review workspace: queue, canvas, curves and the tabs Review, Training and Models in one napari window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication, QTabWidget, QVBoxLayout, QWidget

from napari_ssl.gui import compat
from napari_ssl.gui.arrivals import Arrivals
from napari_ssl.gui.background import BackgroundTask
from napari_ssl.gui.banner import Banner
from napari_ssl.gui.canvas import CaseCanvas
from napari_ssl.gui.cheat_sheet import CheatSheet
from napari_ssl.gui.curve_view import CurveView
from napari_ssl.gui.export_dialog import ask_export
from napari_ssl.gui.findings import FindingList
from napari_ssl.gui.garbage import GarbageCollection
from napari_ssl.gui.import_drop import ImportDrop
from napari_ssl.gui.keys import KeyFilter, KeyTable
from napari_ssl.gui.models_panel import ModelsPanel
from napari_ssl.gui.navigation import Navigator
from napari_ssl.gui.quality_panel import QualityPanel
from napari_ssl.gui.queue_memory import QueueMemory
from napari_ssl.gui.queue_panel import QueuePanel
from napari_ssl.gui.rating_panel import RatingPanel
from napari_ssl.gui.review_panel import ReviewPanel
from napari_ssl.gui.reviewer import Reviewer
from napari_ssl.gui.settings import reader_name
from napari_ssl.gui.side_views import SideViews
from napari_ssl.gui.start_page import StartPage
from napari_ssl.gui.training_panel import TrainingPanel
from napari_ssl.gui.view_control import ViewControl
from napari_ssl.gui.warm_up import warm_up
from napari_ssl.gui.workspace_judging import JudgingActions
from napari_ssl.study.study import Study

if TYPE_CHECKING:
    import napari

__all__ = ["WorkspaceWidget", "add_workspace", "give_room", "open_workspace"]

_ROOM = (1200, 720)  # width and height in pixels below which panels are cut

# napari's sheet gives the bar the padding of its tabs, which cuts their captions off.
_TABS = "QTabBar { padding: 0px; border: 0px; } QTabBar::tab { padding: 4px 12px; min-height: 17px; }"


class WorkspaceWidget(JudgingActions):
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
        self._garbage = GarbageCollection(self)
        self._garbage.start()
        self._keys = KeyTable()
        self._sample_task = BackgroundTask(self)
        self.navigator = Navigator(napari_viewer, self)
        self.canvas = CaseCanvas(napari_viewer)
        self.queue = QueuePanel()
        self.curves = CurveView()
        self.findings = FindingList()
        self.review = ReviewPanel(self._keys)
        self.side = SideViews()
        self.view = ViewControl(self.canvas, self.navigator, self.review.view_options, self.side, self)
        self.rating = RatingPanel(self._keys)
        self.training = TrainingPanel()
        self.models = ModelsPanel()
        self.quality = QualityPanel()
        self.queue_memory = QueueMemory(self.queue, self)
        self.banner = Banner()
        self.start_page = StartPage(compat.canvas_widget(napari_viewer))
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.setStyleSheet(_TABS)
        for widget, name in (
            (self.review, "Review"),
            (self.rating, "Rate"),
            (self.training, "Training"),
            (self.models, "Models"),
            (self.quality, "Quality"),
        ):
            self.tabs.addTab(widget, name)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.tabs)
        self.setMinimumWidth(330)
        self._docks = self._add_docks()
        self._wire_panels()
        self.findings.set_key(self._keys.shown_key("next_finding"))
        self._key_filter = KeyFilter(
            self._keys, self._guarded(self._actions()), self.choose_digit, self._call_off, self
        )
        napari_widgets = (compat.canvas_widget, compat.viewer_widget, compat.main_window)
        for widget in (*(find(napari_viewer) for find in napari_widgets), self, *self._docks):
            self._key_filter.install(widget)
        self._drop = ImportDrop(self.ask_import, lambda: self.study is not None and not self.study.read_only, self)
        self._drop.install(*(find(napari_viewer) for find in napari_widgets))
        compat.main_window(napari_viewer).installEventFilter(self)
        QApplication.instance().aboutToQuit.connect(self.close_workspace)
        QApplication.instance().applicationStateChanged.connect(self._application_changed)
        self._show_reader()
        self._show_start()
        self._warming = warm_up()
        self._garbage.freeze()

    def _add_docks(self) -> tuple[QWidget, ...]:
        window, qt_window = self.viewer.window, compat.main_window(self.viewer)
        compat.hide_welcome(self.viewer)
        compat.show_help(self.viewer, False)
        compat.insert_above_canvas(self.viewer, self.banner)
        compat.insert_beside_canvas(self.viewer, self.side)
        self.side.hide()
        for corner, area in (
            (Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea),
            (Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea),
        ):
            qt_window.setCorner(corner, area)
        under_canvas = QWidget()
        column = QVBoxLayout(under_canvas)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.curves, 1)
        column.addWidget(self.findings)
        docks = (
            window.add_dock_widget(self.queue, name="Queue", area="left", add_vertical_stretch=False),
            window.add_dock_widget(under_canvas, name="Volume curves", area="bottom", add_vertical_stretch=False),
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
            room = qt_window.width()
            right = min(max(362, room // 5), 420)
            if self.is_rating:
                qt_window.resizeDocks([self._docks[1], own], [(room - right) // 2, right], Qt.Orientation.Horizontal)
                return
            left = min(max(300, room * 23 // 100), 460)
            height = min(max(240, qt_window.height() * 3 // 10), 330)
            qt_window.resizeDocks([self._docks[0], own], [left, right], Qt.Orientation.Horizontal)
            qt_window.resizeDocks([self._docks[1]], [height], Qt.Orientation.Vertical)

    def _wire_panels(self) -> None:
        review = self.review
        review.accept_clicked.connect(self.accept)
        review.save_clicked.connect(self.save)
        review.defer_clicked.connect(self.defer)
        review.reasons.chosen.connect(self.reject)
        review.take_back_clicked.connect(self.take_back)
        review.flag_clicked.connect(self.toggle_flag)
        review.flags_cleared.connect(self._clear_flags)
        review.revert_clicked.connect(lambda: self.reviewer and self.reviewer.revert())
        review.contour_toggled.connect(self._set_contour)
        review.overlay_toggled.connect(self.toggle_overlay)
        review.all_overlays_toggled.connect(self.toggle_all_overlays)
        review.pressures_clicked.connect(self.ask_pressures)
        review.reasons_toggled.connect(
            lambda _on: self._case_is_open() and self._show_quality(self.reviewer.session.loaded)
        )
        review.napari_panels_toggled.connect(self._show_napari_panels)
        review.comment_changed.connect(self._set_comment)
        review.reader_changed.connect(self._change_reader)
        review.keys_clicked.connect(self.show_keys)
        review.tools.tool_chosen.connect(self._set_tool)
        review.tools.size_chosen.connect(lambda size: self._set_labels_attribute("brush_size", size))
        review.tools.structure_chosen.connect(self._choose_structure)
        self.queue.case_chosen.connect(self._open_from_queue)
        self.queue.team_button.clicked.connect(self.show_team)
        self.curves.frame_selected.connect(lambda frame: self.navigator.go(frame=frame))
        self.curves.phases_changed.connect(self._phases_dragged)
        self.findings.place_chosen.connect(self._go_to_place)
        self._wire_rating()
        self._wire_judging()
        self._wire_editing()
        self.navigator.moved.connect(self._moved)
        self._wire_view()
        self.training.job_finished.connect(self._job_finished)
        self.models.job_finished.connect(self._job_finished)
        self.arrivals = Arrivals(self)
        self.models.proposals_arrived.connect(self.arrivals.note)
        self.arrivals.due.connect(self._show_arrivals)
        self.quality.job_finished.connect(self._job_finished)
        self.quality.alarm_raised.connect(self._show_alarm)
        self.quality.rate_clicked.connect(lambda: self.begin_rating(self.rating.goal.value()))
        self.models.model_promoted.connect(lambda _model: self.training.refresh())
        self._sample_task.done.connect(self._sample_ready)
        self._sample_task.failed.connect(self._sample_failed)
        self._sample_task.progress.connect(lambda done, total, _text: self.start_page.show_progress(done, total))

    def _wire_rating(self) -> None:
        rating = self.rating
        rating.start_clicked.connect(self.begin_rating)
        rating.leave_clicked.connect(self.leave_rating)
        rating.rated.connect(self.rate)
        rating.skip_clicked.connect(lambda: self.go_to_case(1))
        rating.take_back_clicked.connect(self.take_back)
        rating.play_clicked.connect(self.toggle_play)
        rating.import_clicked.connect(self.import_ratings)
        rating.export_clicked.connect(self.export_ratings)
        rating.reader_clicked.connect(self.review.ask_reader)
        rating.findings_toggled.connect(self.findings.setVisible)
        self.tabs.currentChanged.connect(self._tab_changed)

    def _actions(self) -> dict:
        tools = {"brush": "paint", "eraser": "erase", "fill": "fill", "polygon": "polygon", "pick": "pick"}
        step = self.navigator
        return {
            "accept": self.accept,
            "reject": self.ask_why_rejected,
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
            "next_finding": lambda: self.findings.step(1),
            "previous_finding": lambda: self.findings.step(-1),
            "rate": self.toggle_rating,
            "play": self.toggle_play,
            "overlays": self.toggle_all_overlays,
            "confidence": lambda: self.toggle_overlay("Uncertainty"),
            "contour": self.review.contour.toggle,
            **self.view.actions(),
            "export": lambda: ask_export(self, self.study),
            "team": self.show_team,
            "cheat_sheet": self.show_keys,
            "move": lambda: self._set_tool("pan_zoom"),
            **{action: lambda mode=mode: self._set_tool(mode) for action, mode in tools.items()},
            **self._judging_actions(),
            "next_structure": self._next_structure,
            **self._editing_actions(),
        }

    def show_keys(self) -> None:
        """Open the list of keys, where they can be changed."""
        CheatSheet(self._keys, self).exec()
        self.review.refresh_keys()
        self.rating.refresh_keys()
        self.findings.set_key(self._keys.shown_key("next_finding"))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        # The window may refuse to close (napari asks); it is gone once it is hidden by the program.
        if event.type() == QEvent.Type.Hide and not event.spontaneous():
            self.close_workspace()
        return False

    def _application_changed(self, state: Qt.ApplicationState) -> None:
        """Time counts while the program is in front, its dialogs included."""
        if self.reviewer is not None:
            self.reviewer.session.set_active(state == Qt.ApplicationState.ApplicationActive)

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
        compat.show_help(self.viewer, True)
        self.viewer.canvas.background_color_override = None
        self.banner.deleteLater()
        self.side.deleteLater()
        self.start_page.deleteLater()

    def close_workspace(self) -> None:
        """Wait for saves, stop all threads, give keys and wheel back. Unsaved strokes stay in the journal."""
        if self._closed:
            return
        self._closed = True
        self.tour.end()
        self._leave_study()
        self._sample_task.close()
        self.training.close_panel()
        self.models.close_panel()
        self.quality.close_panel()
        self.view.close()
        self._clicks.close()
        self._warming.join()
        self._key_filter.remove()
        self.navigator.close()
        self._garbage.stop()
        QApplication.instance().aboutToQuit.disconnect(self.close_workspace)
        QApplication.instance().applicationStateChanged.disconnect(self._application_changed)


def add_workspace(viewer: napari.Viewer, reader: str | None = None) -> WorkspaceWidget:
    """Add the workspace to a window that is open already."""
    widget = WorkspaceWidget(viewer, reader=reader)
    viewer.window.add_dock_widget(widget, name="Review workspace", area="right", add_vertical_stretch=False)
    widget.arrange()
    return widget


def give_room(viewer: napari.Viewer) -> None:
    """Maximise a window that is too small for queue, curves and panels; one that a reader made large enough stays."""
    window = compat.main_window(viewer)
    if window.width() < _ROOM[0] or window.height() < _ROOM[1]:
        window.setGeometry(window.screen().availableGeometry())
        window.showMaximized()


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
    give_room(viewer)
    widget = add_workspace(viewer, reader)
    if study is not None:
        widget.set_study(study)
    return viewer
