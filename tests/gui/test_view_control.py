"""What the reader sees besides image and labels, by real keys and clicks on the virtual screen."""

from __future__ import annotations

import time

import numpy as np
import pytest
from gui_cases import add_model, beating_disc, propose
from gui_driver import SHIFT, wait
from qtpy.QtCore import QEvent, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_ssl.core.segmentation import Source
from napari_ssl.gui.overlay_panel import KINDS
from napari_ssl.gui.side_views import PHASES, PLANES
from napari_ssl.gui.view_memory import ViewMemory
from napari_ssl.io.images import read_header, write_volume
from napari_ssl.study.confidence_maps import further_maps
from napari_ssl.study.study import Study

KEY = Qt.Key


@pytest.fixture
def rich(workspace, review_study, tmp_path):
    """The window on case0, whose newest proposal has confidence of three kinds, an older model's and a reference."""
    study = review_study
    _, labels = beating_disc(0)
    shifted = np.roll(labels, 3, axis=3)
    add_model(study, tmp_path / "model2", "model-2", 2)
    proposal = propose(study, "case0", shifted, "model-2", 0.5)
    first = study.read_confidence(proposal)
    for n, kind in enumerate(("entropy", "variance")):
        path = study.folder / further_maps(proposal)[kind]
        write_volume(path, first // (n + 2), read_header(study.folder / proposal.confidence_path).geometry)
    reference = labels.copy()
    reference[1:5] = 0
    study.add_segmentation("case0", reference, source=Source.REFERENCE, frames=(0, 5))
    workspace.widget.set_study(Study.open(study.folder))
    workspace.wait_for("case0")
    QApplication.processEvents()
    workspace.canvas.setFocus()
    yield workspace
    workspace.widget.view.show_side_views(False)
    workspace.widget.view.choose_target("")
    for name in ("Uncertainty", "Reference", "Previous model"):
        if workspace.widget.canvas.is_shown(name):
            workspace.widget.toggle_overlay(name)
    workspace.widget.set_study(None)


def layer(window, name):
    return window.widget.canvas._layers[name]


def visible(window):
    return {name for name, layer in window.widget.canvas._layers.items() if layer.visible}


def test_the_kinds_that_a_proposal_has_are_offered_and_the_key_goes_round(rich):
    options = rich.widget.review.view_options
    assert [options.kind.itemData(i) for i in range(options.kind.count())] == ["probability", "entropy", "variance"]
    stored = rich.session.loaded.confidence
    seen = []
    for _ in range(3):
        rich.press(KEY.Key_I, SHIFT)
        kind = rich.widget.view.kind
        wait(lambda: not rich.widget.view.is_reading)
        seen.append((kind, int(np.asarray(layer(rich, "Uncertainty").data).max())))
        assert options.kind.currentData() == kind
        assert rich.widget.view.legend.scale == KINDS[kind]
    top = int(stored.max())
    assert seen == [("entropy", top // 2), ("variance", top // 3), ("probability", top)]
    assert "Uncertainty" in visible(rich)


def test_the_difference_names_three_ways_to_differ_and_follows_strokes(rich):
    rich.press(KEY.Key_X)
    wait(lambda: rich.widget.canvas.is_shown("Difference"))
    view = rich.widget.view
    assert view._target == "Reference"
    frame, slice_ = rich.widget.navigator.place
    assert frame == 0
    shown, reference = rich.session.loaded.labels, rich.session.loaded.reference
    drawn = layer(rich, "Difference")._slice.image.raw
    a, b = shown[frame, slice_], reference[frame, slice_]
    expected = np.where(a == b, 0, np.where(b == 0, 1, np.where(a == 0, 2, 3)))
    assert np.array_equal(drawn, expected) and set(np.unique(expected)) == {0, 1, 2, 3}
    texts = [e.text for e in view.legend.entries]
    assert "only in reference" in texts and "another structure" in texts
    rich.stroke()
    wait(lambda: layer(rich, "Difference")._slice.image.raw[4, 6] == 1)
    rich.press(KEY.Key_Right)
    assert not layer(rich, "Difference")._slice.image.raw.any(), "the reference has no labels on this frame"
    rich.press(KEY.Key_X)
    assert not rich.widget.canvas.is_shown("Difference")


def test_two_models_are_compared_by_name(rich):
    options = rich.widget.review.view_options
    names = [options.target.itemData(i) for i in range(options.target.count())]
    assert names[:3] == ["", "Reference", "Previous model"]
    rich.widget.view.choose_target("Previous model")
    wait(lambda: rich.widget.canvas.is_shown("Difference"))
    rich.press(KEY.Key_Right)
    frame, slice_ = rich.widget.navigator.place
    loaded = rich.session.loaded
    drawn = layer(rich, "Difference")._slice.image.raw
    assert np.array_equal(drawn > 0, loaded.labels[frame, slice_] != loaded.previous[frame, slice_])


def test_one_key_hides_everything_and_brings_the_same_back(rich):
    rich.widget.toggle_overlay("Reference")
    rich.widget.toggle_overlay("Uncertainty")
    rich.press(KEY.Key_X)
    wait(lambda: rich.widget.canvas.is_shown("Difference"))
    before, entries = visible(rich), rich.widget.view.legend.entries
    assert before == {"Image", "Labels", "Uncertainty", "Reference", "Difference"}
    assert rich.widget.view.legend.isVisible()
    rich.press(KEY.Key_H)
    assert visible(rich) == {"Image"}
    assert not rich.widget.view.legend.isVisible()
    rich.press(KEY.Key_H)
    assert visible(rich) == before
    assert rich.widget.view.legend.entries == entries and rich.widget.view.legend.isVisible()


def test_the_legend_names_structures_contours_and_models_and_lets_the_mouse_through(rich):
    rich.widget.review.contour.setChecked(False)  # the window remembers what another test chose
    rich.widget.toggle_overlay("Previous model")
    legend = rich.widget.view.legend
    scheme = rich.study.label_scheme
    texts = {e.text: e for e in legend.entries}
    assert {s.name: texts[s.name].colour for s in scheme.structures} == {s.name: s.colour for s in scheme.structures}
    assert texts["Previous model (model-1)"].is_line
    assert "Previous model" in legend.accessibleName()
    rich.press(KEY.Key_C)
    assert all(e.is_line for e in legend.entries)
    rich.press(KEY.Key_C)
    bottom_left = legend.mapTo(rich.canvas, legend.rect().center())
    assert rich.canvas.childAt(bottom_left) is None
    picture = legend.grab().toImage()
    colours = {picture.pixelColor(x, y).name() for x in range(picture.width()) for y in range(picture.height())}
    assert {s.colour.lower() for s in scheme.structures} <= colours


def test_window_presets_go_round_and_own_limits_are_kept(rich):
    image = rich.widget.canvas.image
    presets = rich.session.loaded.levels
    options = rich.widget.review.view_options
    assert tuple(image.contrast_limits) == pytest.approx(presets[0].limits)
    for preset in (*presets[1:], presets[0]):
        rich.press(KEY.Key_W)
        assert tuple(image.contrast_limits) == pytest.approx(preset.limits)
        assert options.level.currentText().startswith(preset.name)
    image.contrast_limits = (50, 60)
    assert options.level.currentText() == "Own"
    rich.press(KEY.Key_W)
    assert options.level.findText("Own") < 0


def test_ed_and_es_stand_beside_and_follow_slice_zoom_and_edits(rich):
    rich.press(KEY.Key_V)
    side = rich.widget.side
    wait(lambda: side.isVisible() and side.phases.views[0].image.image is not None)
    loaded = rich.session.loaded
    assert side.kind == PHASES
    right_edge = rich.canvas.mapToGlobal(rich.canvas.rect().topRight()).x()
    assert side.mapToGlobal(side.rect().topLeft()).x() > right_edge
    ed, es = side.phases._phases
    assert ed != es
    rich.press(KEY.Key_Up)
    slice_ = rich.widget.navigator.place[1]
    for view, frame in zip(side.phases.views, (ed, es), strict=True):
        wait(lambda view=view, frame=frame: np.array_equal(view.image.image, loaded.image[frame, slice_]))
        assert np.array_equal(view.labels.image, loaded.labels[frame, slice_])
    rich.press(KEY.Key_D)
    rich.stroke()
    wait(lambda: side.phases.views[0].labels.image[4, 6] == 1)
    before = side.phases.views[1].box.viewRect().height()
    rich.wheel(6, Qt.KeyboardModifier.ControlModifier)
    wait(lambda: side.phases.views[1].box.viewRect().height() < 0.9 * before)
    QTest.mouseClick(side.phases.views[1]._view.viewport(), Qt.MouseButton.LeftButton)
    wait(lambda: rich.widget.navigator.place[0] == es)
    rich.press(KEY.Key_H)
    wait(lambda: not side.phases.views[0].labels.isVisible())
    rich.press(KEY.Key_H)
    rich.press(KEY.Key_V)
    wait(lambda: not side.isVisible())


def test_the_zoom_of_before_comes_back_when_the_views_beside_go(rich):
    camera, side = rich.viewer.scene.camera, rich.widget.side
    before = camera.zoom
    rich.press(KEY.Key_V)
    wait(lambda: side.isVisible() and camera.zoom < 0.95 * before)
    rich.press(KEY.Key_V)
    wait(lambda: not side.isVisible() and camera.zoom == pytest.approx(before))
    rich.press(KEY.Key_V)
    wait(lambda: side.isVisible() and camera.zoom < 0.95 * before)
    camera.zoom = mine = 2 * before
    rich.press(KEY.Key_V)
    wait(lambda: not side.isVisible())
    QTest.qWait(200)
    assert camera.zoom == pytest.approx(mine), "a zoom of the reader's own stays"


def test_the_margin_around_the_image_is_black_in_a_light_theme_too(rich):
    rich.viewer.theme = "light"
    try:
        assert tuple(rich.viewer.canvas.background_color)[:3] == (0, 0, 0)
    finally:
        rich.viewer.theme = "dark"


def test_three_planes_share_one_cross_hair(rich):
    view, side = rich.widget.view, rich.widget.side
    view.show_side_views(True)
    side._buttons.button(PLANES).click()
    wait(lambda: side.kind == PLANES and view.beside.cross.at is not None)
    loaded = rich.session.loaded
    place = side.planes.place
    assert place == (rich.widget.navigator.place[1], loaded.case.shape_tzyx[2] // 2, loaded.case.shape_tzyx[3] // 2)
    frame = rich.widget.navigator.place[0]
    assert np.array_equal(side.planes.coronal.image.image, loaded.image[frame, :, place[1]])
    assert np.array_equal(side.planes.sagittal.labels.image, loaded.labels[frame, :, :, place[2]])
    dz, _, dx = loaded.case.spacing_zyx_mm
    side.planes.coronal.pressed_at.emit(2.5 * dz, 7.5 * dx)
    wait(lambda: side.planes.place == (2, place[1], 7))
    assert rich.widget.navigator.place[1] == 2
    top, left = view.beside.cross.at
    assert left == pytest.approx(rich.at(0, 7).x(), abs=1.5)
    assert top == pytest.approx(rich.at(place[1], 0).y(), abs=1.5)
    rich.press(KEY.Key_Up)
    wait(lambda: side.planes.place[0] == 1)
    assert side.planes.sagittal.across.value() == pytest.approx(1.5 * dz)

    def cut() -> bool:
        """vispy tells of a move when the next one comes, so the pointer moves, and moves on a little."""
        for point in (rich.at(10, 10), rich.at(20, 11), rich.at(20, 11)):
            rich._mouse(QEvent.Type.MouseMove, point, Qt.MouseButton.NoButton)
            QApplication.processEvents()
        rich.press(KEY.Key_T)
        return side.planes.place == (1, 20, 11)

    wait(cut)
    side._buttons.button(PHASES).click()
    wait(lambda: view.beside.cross.at is None)


def test_frames_follow_the_clock_and_the_speed_is_told(rich, monkeypatch):
    navigator = rich.widget.navigator
    assert rich.session.loaded.case.frame_interval_ms is None
    rich.press(KEY.Key_P, SHIFT)
    assert "unknown" in rich.viewer.status
    rich.press(KEY.Key_P, SHIFT)
    assert not navigator.playing
    navigator.go(frame=0)
    navigator.toggle_play(50.0)
    navigator._timer.stop()
    monkeypatch.setattr(navigator, "_clock", type("Clock", (), {"nsecsElapsed": lambda _self: 420e6})())
    navigator._tick()
    assert navigator.place[0] == 8 % 6, "frames that there was no time for are left out"
    navigator._timer.start(1000)
    navigator.stop()


def test_the_view_is_in_the_study_soon_after_it_changed_without_closing_anything(rich, monkeypatch):
    reader, folder = rich.widget.reader, rich.study.folder
    rich.press(KEY.Key_Right)
    rich.press(KEY.Key_Up)
    rich.wheel(4, Qt.KeyboardModifier.ControlModifier)
    rich.press(KEY.Key_W)
    place, zoom = rich.widget.navigator.place, rich.viewer.scene.camera.zoom
    limits = tuple(rich.widget.canvas.image.contrast_limits)
    end = time.monotonic() + 10
    view = {}
    while time.monotonic() < end and view.get("contrast") != pytest.approx(limits):
        QApplication.processEvents()
        time.sleep(0.02)
        view = ViewMemory(folder, reader).recall("case0")
    assert (view["frame"], view["slice"]) == place
    assert view["zoom"] == pytest.approx(zoom) and view["contrast"] == pytest.approx(limits)
    assert ViewMemory(folder, reader).last == "case0"
    rich.press(KEY.Key_N)
    wait(lambda: rich.session.case_id not in (None, "case0"))
    rich.press(KEY.Key_N, SHIFT)
    rich.wait_for("case0")
    assert rich.widget.navigator.place == place
    assert rich.viewer.scene.camera.zoom == pytest.approx(zoom)
    assert tuple(rich.widget.canvas.image.contrast_limits) == pytest.approx(limits)
