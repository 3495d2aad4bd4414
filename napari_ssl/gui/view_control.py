"""What the reader sees besides image and labels: ties canvas, legend, view options and the views beside together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_ssl.gui import compat
from napari_ssl.gui.background import in_words
from napari_ssl.gui.canvas import TINTS, uncertainty_colormap
from napari_ssl.gui.legend import Legend, LegendEntry
from napari_ssl.gui.loaded_case import PREVIOUS, REFERENCE
from napari_ssl.gui.loader import WorkQueue
from napari_ssl.gui.overlay_difference import CLASSES
from napari_ssl.gui.overlay_panel import KINDS, ViewOptions, matching
from napari_ssl.gui.settings import read_json, state_folder, write_json
from napari_ssl.gui.side_control import SideControl
from napari_ssl.gui.side_views import SideViews
from napari_ssl.study.confidence_maps import read_confidence_map

if TYPE_CHECKING:
    from napari_ssl.gui.canvas import CaseCanvas
    from napari_ssl.gui.loaded_case import LoadedCase
    from napari_ssl.gui.navigation import Navigator
    from napari_ssl.gui.reviewer import Reviewer

__all__ = ["ViewControl"]

_MOST_NAMED = 6
"""Structures that the legend names whether they are on the slice or not."""

_REMEMBER_MS = 400
"""So long after a change the view is written; changes meanwhile are written with it."""

UNCERTAINTY, DIFFERENCE, LABELS = "Uncertainty", "Difference", "Labels"


class ViewControl(QObject):
    """Keeps from case to case what the reader wants to see.

    Signals
    -------
    overlays_changed : none
        Another overlay is on show than before.
    message : str
        Something could not be shown, and why.
    """

    overlays_changed = Signal()
    message = Signal(str)

    def __init__(
        self, canvas: CaseCanvas, navigator: Navigator, options: ViewOptions, side: SideViews, parent: QObject
    ) -> None:
        super().__init__(parent)
        self.canvas, self.navigator, self.options = canvas, navigator, options
        self.legend = Legend(compat.canvas_widget(canvas.viewer))
        self.beside = SideControl(canvas, navigator, side, self)
        self._work: WorkQueue | None = None
        self._reviewer: Reviewer | None = None
        self._loaded: LoadedCase | None = None
        self._kind, self._target, self._last_target = "", "", ""
        self._followed: object = None
        state = read_json(state_folder() / "view.json")
        self._wants_legend = bool(state.get("legend", True))
        self.beside.is_wanted = bool(state.get("side_views", False))
        options.legend.setChecked(self._wants_legend)
        options.side_views.setChecked(self.beside.is_wanted)
        self.beside.wanted_changed.connect(self._side_views_wanted)
        self._remember = QTimer(self)
        self._remember.setSingleShot(True)
        self._remember.timeout.connect(self._remember_view)
        options.kind_chosen.connect(self.choose_kind)
        options.target_chosen.connect(self.choose_target)
        options.level_chosen.connect(self.choose_level)
        options.legend_toggled.connect(self._toggle_legend)
        options.side_views_toggled.connect(self.show_side_views)
        navigator.moved.connect(self._moved)
        camera = canvas.viewer.scene.camera
        camera.events.center.connect(self._view_changed)
        camera.events.zoom.connect(self._view_changed)

    def close(self) -> None:
        """Let go of the viewer and end the thread."""
        camera = self.canvas.viewer.scene.camera
        camera.events.center.disconnect(self._view_changed)
        camera.events.zoom.disconnect(self._view_changed)
        self._remember.stop()
        self.follow(None)
        self.beside.close()

    def follow(self, reviewer: Reviewer | None) -> None:
        """Show what a reviewer opens and edits from now on; None when the study was closed."""
        self._reviewer = reviewer
        if self._work is not None:
            self._work.close()
            self._work.deleteLater()
            self._work = None
        if reviewer is None:
            self._leave()
            self.beside.update_visibility()
            return
        self._work = WorkQueue(parent=self)
        reviewer.opening.connect(lambda _case: self._leave())
        reviewer.unreadable.connect(lambda _case, _text: self._leave())
        reviewer.opened.connect(self._opened)
        reviewer.edited.connect(lambda _volumes: self._edited())
        reviewer.curves_measured.connect(lambda _loaded: self.beside.draw())

    def actions(self) -> dict[str, Callable[[], object]]:
        """What the keys do."""
        return {
            "confidence_kind": self.next_kind,
            "difference": self.toggle_difference,
            "level": self.next_level,
            "side_views": lambda: self.beside.want(not self.beside.is_wanted),
            "planes_here": self.beside.cross_here,
        }

    # -- cases ---------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        self._loaded = None
        self.beside.show_case(None)
        self.legend.hide()

    @property
    def is_reading(self) -> bool:
        """Whether something that is to be shown is on its way."""
        return self._work is not None and self._work.n_running > 0

    def _opened(self, loaded: LoadedCase) -> None:
        self._loaded = loaded
        self._follow_image()
        hides = self._reviewer.looks_only
        kinds, others = loaded.confidence_kinds, () if hides else tuple(loaded.others)
        kind = self._kind if self._kind in kinds else (kinds[0] if kinds else "")
        self.options.show_kinds(kinds, kind)
        if kind and kind != kinds[0]:
            self._read_kind(kind)
        self.options.show_targets(others, self._target)
        self._compare(self._target if self._target in others else "")
        self.beside.show_case(loaded)
        self._levels_changed()
        self.refresh()

    def _edited(self) -> None:
        self.canvas.refresh_difference()
        self.refresh()
        self.beside.draw()

    def _follow_image(self) -> None:
        if self._followed is not self.canvas.image:
            self._followed = self.canvas.image
            self._followed.events.contrast_limits.connect(self._levels_changed)

    # -- confidence ----------------------------------------------------------------------------------------------

    def choose_kind(self, kind: str) -> None:
        """Show the uncertainty of this kind."""
        self._kind = kind
        if self._loaded is not None and kind in self._loaded.confidence_kinds:
            self._read_kind(kind)
            if not self.canvas.is_shown(UNCERTAINTY):
                self.canvas.toggle(UNCERTAINTY)
                self.overlays_changed.emit()

    def next_kind(self) -> None:
        """Go to the next kind of confidence that the proposal has."""
        kinds = self._loaded.confidence_kinds if self._loaded is not None else ()
        if kinds:
            kind = kinds[(kinds.index(self.kind) + 1) % len(kinds)]
            self.options.show_kinds(kinds, kind)
            self.choose_kind(kind)

    @property
    def kind(self) -> str:
        """The kind of confidence on show or to be shown, empty when there is none."""
        kinds = self._loaded.confidence_kinds if self._loaded is not None else ()
        return self._kind if self._kind in kinds else (kinds[0] if kinds else "")

    def _read_kind(self, kind: str) -> None:
        loaded, study = self._loaded, self._reviewer.study

        def done(confidence: Any) -> None:
            if self._loaded is loaded and self.kind == kind:
                self.canvas.set_confidence(confidence)
                self.refresh()

        if kind == loaded.confidence_kinds[0]:
            done(loaded.confidence)
            return
        self._work.run(lambda: read_confidence_map(study, loaded.confidence_of, kind), done, self._failed)

    def _failed(self, error: Exception) -> None:
        self.message.emit(in_words(error))

    # -- difference ----------------------------------------------------------------------------------------------

    def choose_target(self, name: str) -> None:
        """Show where the labels differ from those of this name; an empty name shows none."""
        self._target = name
        self._last_target = name or self._last_target
        self._compare(name)

    def toggle_difference(self) -> None:
        """Compare with what was compared with last, else with the first there is; or stop comparing."""
        names = [self.options.target.itemData(i) for i in range(1, self.options.target.count())]
        if self._loaded is None or not names:
            return
        name = "" if self._target in names else self._last_target if self._last_target in names else names[0]
        self.options.show_targets(names, name)
        self.choose_target(name)

    def _compare(self, name: str) -> None:
        loaded = self._loaded
        if loaded is None:
            return
        if not name:
            self.canvas.compare(None)
            self.refresh()
            return
        version, study = loaded.others[name], self._reviewer.study

        def done(labels: Any) -> None:
            if self._loaded is loaded and self._target == name:
                self.canvas.compare(labels, version.frames)
                self.overlays_changed.emit()

        at_hand = {REFERENCE: loaded.reference, PREVIOUS: loaded.previous}.get(name)
        if at_hand is not None:
            done(at_hand)
        else:
            self._work.run(lambda: study.read_labels(version), done, self._failed)

    # -- window and level ----------------------------------------------------------------------------------------

    def choose_level(self, index: int) -> None:
        """Show the grey values of a preset."""
        if self._loaded is not None:
            preset = self._loaded.levels[index]
            self.canvas.set_levels(preset.limits)
            self.canvas.viewer.status = f"Window {preset.name}: {preset.low:.4g} to {preset.high:.4g}"

    def next_level(self) -> None:
        """Go to the next preset."""
        if self._loaded is not None:
            now = matching(self._loaded.levels, self.canvas.image.contrast_limits)
            self.choose_level(0 if now is None else (now + 1) % len(self._loaded.levels))

    def _levels_changed(self, _event: object = None) -> None:
        if self._loaded is not None:
            self.options.show_levels(self._loaded.levels, tuple(self.canvas.image.contrast_limits))
            self._view_changed()

    # -- legend --------------------------------------------------------------------------------------------------

    def _toggle_legend(self, shown: bool) -> None:
        self._wants_legend = shown
        self._keep()
        self.refresh()

    def refresh(self) -> None:
        """Overlays were shown or hidden: the legend and the views beside follow."""
        if self._loaded is None:
            return
        canvas = self.canvas
        entries: list[LegendEntry] = []
        if canvas.is_visible(LABELS):
            contour, named = canvas.labels.contour > 0, self._values_in_legend()
            entries += [
                LegendEntry(text=s.name, colour=s.colour, is_line=contour, value=s.value)
                for s in canvas.scheme.structures
                if s.value in named
            ]
        for name, colour in TINTS.items():
            if canvas.is_shown(name):
                maker = self._loaded.others[name].model_id if name == PREVIOUS else None
                text = f"{name} ({maker})" if maker else name
                entries.append(LegendEntry(text=text, colour=colour, is_line=True))
        if canvas.is_shown(DIFFERENCE):
            what = self._target[:1].lower() + self._target[1:]
            entries += [
                LegendEntry(text=text.replace("the other", what), colour=colour) for text, colour in CLASSES.values()
            ]
        scale = (KINDS[self.kind], uncertainty_colormap()) if canvas.is_shown(UNCERTAINTY) and self.kind else None
        show = self._wants_legend and not canvas.overlays_hidden
        self.legend.show_entries(entries if show else (), scale if show else None)
        self.beside.draw_soon()

    def _values_in_legend(self) -> frozenset[int]:
        """Return the structures to name: all of a heart, of many organs those on the slice that is shown."""
        values = frozenset(self.canvas.scheme.values)
        if len(values) <= _MOST_NAMED:
            return values
        frame, slice_ = self.navigator.place
        return values & frozenset(np.flatnonzero(np.bincount(self._loaded.labels[frame, slice_].ravel())).tolist())

    # -- what is kept --------------------------------------------------------------------------------------------

    def show_side_views(self, shown: bool) -> None:
        """Show or hide the views beside the canvas."""
        self.beside.want(shown)

    def _side_views_wanted(self, wanted: bool) -> None:
        self.options.side_views.setChecked(wanted)
        self._keep()

    def _keep(self) -> None:
        choices = {"legend": self._wants_legend, "side_views": self.beside.is_wanted}
        try:
            write_json(state_folder() / "view.json", choices)
        except OSError as error:
            self.message.emit(f"What is on show is kept for this session only: {error}")

    def _moved(self, _frame: int, _slice: int) -> None:
        if self._loaded is not None and len(self.canvas.scheme.values) > _MOST_NAMED:
            self.refresh()
        self._view_changed()

    def _view_changed(self, _event: object = None) -> None:
        self.beside.draw_soon()
        if self._loaded is not None and not self._remember.isActive():
            self._remember.start(_REMEMBER_MS)

    def _remember_view(self) -> None:
        """Write where the reader is, also in the midst of a zoom; a playing cine is no place to come back to."""
        if self._reviewer is not None and self._loaded is not None and not self.navigator.playing:
            self._reviewer.remember_view()
