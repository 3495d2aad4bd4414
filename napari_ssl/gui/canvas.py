"""The layers of the case on screen: image, confidence, labels, their difference to others, reference, previous model.

Layers are made once and get other data with each case: adding a layer costs about a second, replacing its data little.
They are hidden, never removed: after a removal napari 0.9.2 may draw from buffers that are gone, which crashes software
OpenGL.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import Colormap, DirectLabelColormap
from numpy.typing import NDArray

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.gui import compat
from napari_ssl.gui.loaded_case import PREVIOUS, REFERENCE, LoadedCase
from napari_ssl.gui.overlay_difference import CLASSES, LabelDifference

if TYPE_CHECKING:
    import napari

__all__ = ["AXIS_LABELS", "TINTS", "UNITS", "CaseCanvas", "difference_colours", "label_colours", "uncertainty_colormap"]

AXIS_LABELS = ("t", "z", "y", "x")
UNITS = ("pixel", "mm", "mm", "mm")
_IMAGE, _CONFIDENCE, _LABELS = "Image", "Uncertainty", "Labels"
_DIFFERENCE = "Difference"
_ORDER = (_IMAGE, _CONFIDENCE, _LABELS, _DIFFERENCE, PREVIOUS, REFERENCE)

TINTS = {REFERENCE: "#FFFFFF", PREVIOUS: "#F0E442"}
"""Colours of thin contours."""


def label_colours(scheme: LabelScheme, *, alien: str = "#FF00FF", tint: str | None = None) -> DirectLabelColormap:
    """Return the scheme's colours, background transparent, values outside the scheme in a glaring one.

    With `tint` all structures get this colour, for thin contours of a second label map.
    """
    colours: dict[int | None, Any] = {None: alien, 0: (0.0, 0.0, 0.0, 0.0)}
    colours.update({s.value: tint or s.colour for s in scheme.structures})
    return DirectLabelColormap(color_dict=colours)


def difference_colours() -> DirectLabelColormap:
    """Return the colours of what two label maps differ in."""
    colours: dict[int | None, Any] = {None: (0.0, 0.0, 0.0, 0.0), 0: (0.0, 0.0, 0.0, 0.0)}
    colours.update({value: colour for value, (_, colour) in CLASSES.items()})
    return DirectLabelColormap(color_dict=colours)


def uncertainty_colormap() -> Colormap:
    """Return a map for confidence 0 … 255: certain pixels stay clear, doubtful ones glow from amber to magenta."""
    return Colormap(
        colors=[(0.85, 0.1, 0.55, 0.95), (0.95, 0.25, 0.35, 0.9), (1.0, 0.65, 0.1, 0.75), (1.0, 0.9, 0.3, 0.0)],
        controls=[0.0, 0.45, 0.8, 1.0],
        name="napari-ssl uncertainty",
    )


def _replace(layer: Layer, data: NDArray[Any], scale: tuple[float, ...]) -> None:
    """Give a layer other data; napari takes some 30 ms to set a scale, even the one that it has."""
    layer.data = data
    if tuple(layer.scale) != scale:
        layer.scale = scale


class CaseCanvas:
    """Shows a `LoadedCase` in a viewer.

    Parameters
    ----------
    viewer : napari.Viewer or ViewerModel
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer = viewer
        # Also in a light theme: a white margin dazzles, and the dark heart is read worse beside it.
        viewer.canvas.background_color_override = "black"
        self._layers: dict[str, Layer] = {}
        self._hidden: dict[str, bool] | None = None
        self._blanked: dict[str, bool] = {}
        self._present: set[str] = set()
        self._loaded: LoadedCase | None = None
        self.scheme: LabelScheme | None = None

    @property
    def labels(self) -> Labels | None:
        """The layer that is painted on."""
        return self._layers.get(_LABELS)

    @property
    def image(self) -> Image | None:
        """The image layer."""
        return self._layers.get(_IMAGE)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers that belong to the workspace."""
        return tuple(self._layers.values())

    def show(self, loaded: LoadedCase, scheme: LabelScheme, place: tuple[int, int] = (0, 0)) -> None:
        """Put a case on the canvas at frame and slice `place`; the zoom is up to the caller."""
        self._layers = {name: layer for name, layer in self._layers.items() if layer in self.viewer.layers}
        if scheme != self.scheme:
            self._set_scheme(scheme)
        if self._layers:
            with compat.changed_at_once(self.viewer, tuple(self._layers.values()), place):
                self._set_layers(loaded)
        else:
            self._set_layers(loaded)
        compat.clear_history(self.labels)
        self._blanked = {}
        self.viewer.layers.selection.active = self.labels

    def _set_layers(self, loaded: LoadedCase) -> None:
        self._loaded = loaded
        scale = (1.0, *loaded.case.spacing_zyx_mm)
        self._set_image(loaded, scale)
        self._set_confidence(loaded.confidence, loaded.labels.shape, scale)
        self._set_labels(_LABELS, loaded.labels, scale)
        empty = np.broadcast_to(np.uint8(0), loaded.labels.shape)
        self._present = {_CONFIDENCE} if loaded.confidence is not None else set()
        for name, data in ((_DIFFERENCE, None), (PREVIOUS, loaded.previous), (REFERENCE, loaded.reference)):
            # Layers that a later case may need are made with the first one: making one takes half a second.
            self._set_labels(name, empty if data is None else data, scale)
            if data is not None:
                self._present.add(name)
        for name, visible in self._blanked.items():
            if name in self._layers:
                self._layers[name].visible = visible

    def _set_scheme(self, scheme: LabelScheme) -> None:
        self.scheme = scheme
        for name in (_LABELS, REFERENCE, PREVIOUS):
            if name in self._layers:
                self._layers[name].colormap = label_colours(scheme, tint=TINTS.get(name))
        if self.labels is not None:
            self.labels.selected_label = scheme.structures[0].value

    def reload_labels(self) -> None:
        """Show the labels again after they were changed behind the layer's back; undo begins anew."""
        compat.clear_history(self.labels)
        self.labels.refresh()

    def blank(self) -> None:
        """Show nothing until the next case."""
        if self.labels is None or self._blanked:
            return
        self.labels.mode = "pan_zoom"
        self.labels.editable = False
        self._blanked = {name: layer.visible for name, layer in self._layers.items()}
        for layer in self._layers.values():
            layer.visible = False

    def _set_image(self, loaded: LoadedCase, scale: tuple[float, ...]) -> None:
        layer = self.image
        if layer is None:
            layer = Image(
                loaded.image,
                name=_IMAGE,
                scale=scale,
                axis_labels=AXIS_LABELS,
                units=UNITS,
                contrast_limits=loaded.contrast_limits,
                interpolation2d="linear",
            )
            self._add(_IMAGE, layer)
        else:
            _replace(layer, loaded.image, scale)
        low, high = loaded.intensity_range
        layer.contrast_limits_range = (min(low, loaded.contrast_limits[0]), max(high, loaded.contrast_limits[1]))
        layer.contrast_limits = loaded.contrast_limits

    def _set_confidence(
        self, confidence: NDArray[np.uint8] | None, shape: tuple[int, ...], scale: tuple[float, ...]
    ) -> None:
        layer = self._layers.get(_CONFIDENCE)
        if confidence is None:
            confidence = np.broadcast_to(np.uint8(255), shape)
        if layer is None:
            layer = Image(
                confidence,
                name=_CONFIDENCE,
                scale=scale,
                axis_labels=AXIS_LABELS,
                units=UNITS,
                contrast_limits=(0, 255),
                colormap=uncertainty_colormap(),
                blending="translucent",
                visible=False,
            )
            self._add(_CONFIDENCE, layer)
        else:
            _replace(layer, confidence, scale)

    def _set_labels(self, name: str, data: NDArray[np.uint8], scale: tuple[float, ...]) -> None:
        layer = self._layers.get(name)
        if layer is not None:
            _replace(layer, data, scale)
            return
        layer = Labels(
            data,
            name=name,
            scale=scale,
            axis_labels=AXIS_LABELS,
            units=UNITS,
            colormap=difference_colours() if name == _DIFFERENCE else label_colours(self.scheme, tint=TINTS.get(name)),
            opacity=0.45 if name == _LABELS else 0.9,
        )
        layer.n_edit_dimensions = 2
        if name == _LABELS:
            layer.brush_size = 6
            layer.selected_label = self.scheme.structures[0].value
            layer.events.selected_label.connect(self._keep_label_in_scheme)
        else:
            layer.contour = 0 if name == _DIFFERENCE else 1
            layer.visible = False
            layer.editable = False
        self._add(name, layer)

    def _add(self, name: str, layer: Layer) -> None:
        index = sum(1 for other in _ORDER[: _ORDER.index(name)] if other in self._layers)
        self._layers[name] = layer
        self.viewer.layers.insert(index, layer)

    def _keep_label_in_scheme(self, event) -> None:
        """napari's keys reach any label value (M, =, -); those outside the scheme go round to the next one inside."""
        layer = event.source
        values = (0, *sorted(self.scheme.values))
        if layer.selected_label not in values:
            above = [v for v in values if v > layer.selected_label]
            layer.selected_label = above[0] if above else values[0]

    def set_levels(self, limits: tuple[float, float]) -> None:
        """Show grey values from black to white; the slider's range grows where it must."""
        image = self.image
        low, high = image.contrast_limits_range
        image.contrast_limits_range = (min(low, limits[0]), max(high, limits[1]))
        image.contrast_limits = limits

    @property
    def size_yx(self) -> tuple[int, int]:
        """Height and width of the canvas in pixels."""
        size = compat.canvas_widget(self.viewer).size()
        return size.height(), size.width()

    def pixel_of(self, y_mm: float, x_mm: float) -> tuple[float, float]:
        """Return pixels from top and left of the canvas of a point of the plane, in world coordinates."""
        camera, (height, width) = self.viewer.scene.camera, self.size_yx
        top = (y_mm - camera.center[-2]) * camera.zoom + height / 2
        return top, (x_mm - camera.center[-1]) * camera.zoom + width / 2

    def index_at(self, left: float, top: float) -> tuple[int, int, int, int] | None:
        """Return frame, slice, row and column at a place of the canvas in pixels; None beside the image."""
        if self.labels is None or self.viewer.dims.ndisplay != 2:
            return None
        camera, (height, width) = self.viewer.scene.camera, self.size_yx
        world = np.array([top - height / 2, left - width / 2]) / camera.zoom + np.asarray(camera.center, float)[-2:]
        row, column = (round(float(v)) for v in world / np.asarray(self.labels.scale, float)[-2:])
        frame, slice_ = self.viewer.dims.current_step[:2]
        inside = 0 <= row < self.labels.data.shape[-2] and 0 <= column < self.labels.data.shape[-1]
        return (int(frame), int(slice_), row, column) if inside else None

    def part_on_show(self) -> tuple[float, float, float, float]:
        """Return top, left, bottom and right of what the canvas shows, in world coordinates (mm)."""
        camera = self.viewer.scene.camera
        half = np.array(self.size_yx) / (2 * camera.zoom)
        centre = np.asarray(camera.center, float)[-2:]
        return (*(centre - half).tolist(), *(centre + half).tolist())

    @property
    def overlays_hidden(self) -> bool:
        """Whether only the image is shown for the moment."""
        return self._hidden is not None

    def toggle_overlays(self) -> bool:
        """Hide everything but the image, or bring back what was shown; returns whether it is hidden now."""
        overlays = {name: layer for name, layer in self._layers.items() if name != _IMAGE}
        if self._hidden is None:
            self._hidden = {name: layer.visible for name, layer in overlays.items()}
            for layer in overlays.values():
                layer.visible = False
        else:
            for name, layer in overlays.items():
                layer.visible = self._hidden.get(name, layer.visible)
            self._hidden = None
        return self._hidden is not None

    def toggle(self, name: str) -> bool:
        """Show or hide one overlay ("Uncertainty", "Reference", "Previous model"); returns whether it is shown."""
        layer = self._layers.get(name)
        if layer is None or not self.has(name):
            return False
        if self._hidden is not None:
            self.toggle_overlays()
        layer.visible = not layer.visible
        return layer.visible

    def is_shown(self, name: str) -> bool:
        """Whether an overlay exists and is visible."""
        layer = self._layers.get(name)
        return layer is not None and self.has(name) and layer.visible

    def is_visible(self, name: str) -> bool:
        """Whether a layer is drawn at present, e.g. the labels."""
        return name in self._layers and self._layers[name].visible

    def has(self, name: str) -> bool:
        """Whether the case on screen has this overlay."""
        return name in self._present

    def set_confidence(self, confidence: NDArray[np.uint8]) -> None:
        """Show another kind of confidence of the same labels in the overlay."""
        self._layers[_CONFIDENCE].data = confidence

    def compare(self, other: NDArray[np.uint8] | None, frames: Collection[int] = ()) -> None:
        """Show where the labels differ from others, which label `frames`; None takes the overlay away."""
        layer = self._layers[_DIFFERENCE]
        if other is None:
            if layer.visible:  # to hide what is hidden takes napari some 15 ms
                layer.visible = False
            if _DIFFERENCE in self._present:  # with each case it is empty at first, and to empty it takes time
                self._present.discard(_DIFFERENCE)
                layer.data = np.broadcast_to(np.uint8(0), self._loaded.labels.shape)
            return
        layer.data = LabelDifference(self._loaded.labels, other, frames)
        self._present.add(_DIFFERENCE)
        if self._hidden is not None:
            self.toggle_overlays()
        layer.visible = True

    def refresh_difference(self) -> None:
        """The labels were edited: compare what is on screen anew."""
        if self.is_shown(_DIFFERENCE):
            self._layers[_DIFFERENCE].refresh(extent=False)

    def set_contour(self, contour: bool) -> None:
        """Show labels as contours or filled."""
        self.labels.contour = 1 if contour else 0
        self.labels.opacity = 0.9 if contour else 0.45
