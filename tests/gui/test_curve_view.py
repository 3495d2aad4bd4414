from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QColor, QPalette

from napari_ssl.core.curve import ClinicalIndices, VolumeCurve
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.gui.curve_view import CurveView

SCHEME = PRESETS["acdc"]


def make_curves(n_frames=20, *, timed=True, ed=0, es=8, scale=1.0):
    frames = np.arange(n_frames)
    contraction = np.sin(np.pi * frames / max(1, n_frames - 1))
    common = {"case_id": "p1", "time_ms": frames * 35.0 if timed else None, "ed_frame": ed, "es_frame": es}
    if n_frames == 1:
        common.update(ed_frame=None, es_frame=None)
    volumes = {"RV": 150 - 70 * contraction, "Myo": 100 + 0 * contraction, "LV": 140 - 84 * contraction}
    return {n: VolumeCurve(structure=n, volume_ml=scale * v, **common) for n, v in volumes.items()}


@pytest.fixture
def view(qtbot):
    widget = CurveView()
    qtbot.addWidget(widget)
    widget.resize(900, 200)
    with qtbot.waitExposed(widget):
        widget.show()
    widget.set_curves(make_curves(), scheme=SCHEME)
    qtbot.wait(20)
    return widget


def place(view, frame, from_top=None):
    """Pixel of a frame in the plot's viewport."""
    box = view.plot.getViewBox()
    y = float(np.mean(box.viewRange()[1]))
    point = view.plot.mapFromScene(box.mapViewToScene(QPointF(float(view.plot.x[frame]), y)))
    if from_top is not None:
        point.setY(view.plot.mapFromScene(box.mapToScene(QPointF(0.0, float(from_top)))).y())
    return QPoint(point)


def drag(qtbot, view, start, end, steps=8):
    viewport = view.plot.viewport()
    qtbot.mouseMove(viewport, start)
    qtbot.mousePress(viewport, Qt.MouseButton.LeftButton, pos=start)
    for i in range(1, steps + 1):
        qtbot.mouseMove(viewport, start + (end - start) * i / steps)
        qtbot.wait(15)
    qtbot.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=end)
    qtbot.wait(10)


def test_a_click_shows_that_frame_once(qtbot, view):
    seen = []
    view.frame_selected.connect(seen.append)
    qtbot.mouseClick(view.plot.viewport(), Qt.MouseButton.LeftButton, pos=place(view, 13))
    assert seen == [13]
    assert view.plot.cursor.value() == 13 * 35.0


def test_a_click_on_a_point_of_a_curve_shows_its_frame(qtbot, view):
    seen = []
    view.frame_selected.connect(seen.append)
    box = view.plot.getViewBox()
    point = QPointF(float(view.plot.x[5]), float(make_curves()["LV"].volume_ml[5]))
    pos = view.plot.mapFromScene(box.mapViewToScene(point))
    qtbot.mouseClick(view.plot.viewport(), Qt.MouseButton.LeftButton, pos=pos)
    assert seen == [5]


def test_a_drag_passes_through_the_frames_and_ends_where_the_mouse_ends(qtbot, view):
    seen = []
    view.frame_selected.connect(seen.append)
    drag(qtbot, view, place(view, 2), place(view, 15))
    assert seen[-1] == 15
    assert len(seen) > 4 and sorted(seen) == seen


def test_set_frame_moves_the_cursor_and_emits_nothing(qtbot, view):
    view.frame_selected.connect(lambda _: pytest.fail("emitted"))
    view.set_frame(7)
    assert view.plot.cursor.value() == 7 * 35.0
    view.set_frame(500)
    assert view.frame == 19


def test_a_listener_that_sets_the_frame_back_makes_no_loop(qtbot, view):
    seen = []
    view.frame_selected.connect(lambda f: (seen.append(f), view.set_frame(f)))
    qtbot.mouseClick(view.plot.viewport(), Qt.MouseButton.LeftButton, pos=place(view, 4))
    assert seen == [4]


def test_dragging_es_changes_the_phases_once_and_the_indices_at_once(qtbot, view):
    seen, frames = [], []
    view.phases_changed.connect(lambda ed, es: seen.append((ed, es)))
    view.frame_selected.connect(frames.append)
    before = view.table.texts()
    drag(qtbot, view, place(view, 8, from_top=8), place(view, 12, from_top=8))
    assert seen == [(0, 12)]
    assert frames == []
    assert view.plot.markers["ES"].value() == 12 * 35.0
    assert view.table.texts() != before


def test_dragging_below_the_name_of_a_marker_moves_the_cursor_not_the_marker(qtbot, view):
    view.phases_changed.connect(lambda *_: pytest.fail("moved"))
    drag(qtbot, view, place(view, 8), place(view, 12))
    assert view.frame == 12
    assert view.plot.markers["ES"].value() == 8 * 35.0


def test_indices_are_those_of_the_curves_and_follow_painting(view):
    curves = make_curves()
    texts = {row[0]: row[1:] for row in view.table.texts()}
    assert texts["EDV"] == ["140 ml", "150 ml"]
    assert texts["EF"][0] == f"{curves['LV'].ef_percent:.1f} %"
    assert texts["Mass"] == ["105 g", ""]
    view.update_frame_volumes(0, {"LV": 200.0, "RV": 150.0, "Myo": 110.0})
    texts = {row[0]: row[1:] for row in view.table.texts()}
    assert texts["EDV"][0] == "200 ml"
    assert texts["Mass"][0] == "116 g"
    assert view.plot.getViewBox().viewRange()[1][1] > 200


def test_painting_does_not_change_the_curves_that_were_given(view):
    curves = make_curves()
    view.set_curves(curves, scheme=SCHEME)
    view.update_frame_volumes(3, {"LV": 1.0})
    assert curves["LV"].volume_ml[3] != 1.0


def test_axis_is_time_when_known_else_frame(view):
    item = view.plot.getPlotItem()
    assert "ms" in item.getAxis("bottom").labelText
    view.set_curves(make_curves(timed=False), scheme=SCHEME)
    assert item.getAxis("bottom").labelText == "Frame"
    assert view.plot.x[-1] == 19


def test_ghost_is_dashed_and_named_in_the_legend(view):
    view.set_curves(make_curves(), ghost=make_curves(scale=0.8), scheme=SCHEME)
    _, shadow = view.plot._lines["LV"]
    assert shadow.opts["pen"].style() == Qt.PenStyle.DashLine
    assert shadow.getData()[1][0] == pytest.approx(0.8 * 140)
    assert "before" in view.legend.text()
    view.set_curves(make_curves(), scheme=SCHEME)
    assert "before" not in view.legend.text()


def test_the_next_case_draws_on_the_same_lines_and_without_the_last_ones_ghost(view):
    view.set_curves(make_curves(), ghost=make_curves(scale=0.8), scheme=SCHEME)
    lines = dict(view.plot._lines)
    view.set_curves(make_curves(scale=1.2), scheme=SCHEME)
    assert view.plot._lines == lines
    assert all(ghost.getData()[0] is None or not len(ghost.getData()[0]) for _, ghost in lines.values())
    only = {"LV": make_curves()["LV"]}
    view.set_curves(only, scheme=SCHEME)
    assert list(view.plot._lines) == list(view.plot._volumes) == ["LV"]


def test_structures_differ_by_symbol_as_well_as_by_colour(view):
    symbols = {line.opts["symbol"] for line, _ in view.plot._lines.values()}
    assert len(symbols) == 3


def test_a_static_volume_shows_values_and_no_plot(view):
    view.set_curves(make_curves(1, timed=False), scheme=SCHEME)
    assert not view.plot.isVisible()
    assert view.table.texts() == [["", "Volume"], ["RV", "150 ml"], ["Myo", "100 ml"], ["LV", "140 ml"]]


def test_frames_without_labels_are_gaps(view):
    curves = make_curves()
    for curve in curves.values():
        curve.volume_ml[[f for f in range(20) if f not in (0, 8)]] = np.nan
    view.set_curves(curves, scheme=SCHEME)
    view.set_frame(3)
    assert "–" in view.legend.text()
    assert view.table.texts()[1][1] == "140 ml"


def test_structures_without_ventricles_show_their_extremes(view):
    aorta = PRESETS["aorta"]
    curve = VolumeCurve(case_id="p1", structure="Aorta", volume_ml=np.array([20.0, 35.0, 25.0]))
    view.set_curves({"Aorta": curve}, scheme=aorta)
    assert view.table.texts()[1] == ["Aorta", "20 ml", "35 ml", "20 ml"]


def test_given_indices_are_shown_when_no_scheme_is_given(view):
    view.set_curves(make_curves(), indices=ClinicalIndices(lv_edv_ml=123.0), colours={"LV": "#FF0000"})
    assert view.table.texts()[1][1] == "123 ml"
    assert "#FF0000" in view.legend.text()


def test_no_curves_show_a_sentence(view):
    view.set_curves({}, scheme=SCHEME)
    assert "No labels" in view._message.text() and view._message.isVisible()
    view.clear("Nothing here.")
    assert view._message.text() == "Nothing here."
    view.update_frame_volumes(0, {"LV": 1.0})
    view.set_frame(3)


def test_arrow_keys_step_and_stop_at_the_ends(qtbot, view):
    seen = []
    view.frame_selected.connect(seen.append)
    view.setFocus()
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Left, Qt.Key.Key_End, Qt.Key.Key_Right):
        qtbot.keyClick(view, key)
    assert seen == [1, 2, 1, 19]


def test_colours_follow_the_palette(qtbot, view):
    for window, text in (("#202020", "#F0F0F0"), ("#F0F0F0", "#202020")):
        palette = QPalette()
        palette.setColor(QPalette.ColorRole.Window, QColor(window))
        palette.setColor(QPalette.ColorRole.WindowText, QColor(text))
        view.setPalette(palette)
        assert view.plot.backgroundBrush().color().name() == window.lower()
        assert view.plot.cursor.pen.color().name() == text.lower()


def test_names_of_markers_lie_above_the_curves(view):
    top = view.plot.getViewBox().viewRange()[1][1]
    highest = max(c.volume_ml.max() for c in make_curves().values())
    assert top - highest > 0.15 * highest
