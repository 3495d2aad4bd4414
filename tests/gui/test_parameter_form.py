from __future__ import annotations

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_ssl.core.catalogue import STRATEGIES, preset_values
from napari_ssl.core.parameters import describe
from napari_ssl.gui.parameter_form import ParameterForm
from napari_ssl.gui.training_setup import TrainingSetup

ENTRY = STRATEGIES["alternating-crf"]
MAIN = ("initial", "alternations", "lam", "crf", "learning_rate")


@pytest.fixture
def form(qtbot):
    widget = ParameterForm()
    qtbot.addWidget(widget)
    widget.set_type(ENTRY.parameters, preset_values(ENTRY, "quick", {}), MAIN)
    widget.show()
    return widget


def type_into(qtbot, editor, text):
    editor.selectAll()
    qtbot.keyClicks(editor, text)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("preset", ["quick", "paper", None])
def test_every_preset_survives_the_form(qtbot, name, preset):
    entry = STRATEGIES[name]
    form = ParameterForm()
    qtbot.addWidget(form)
    values = preset_values(entry, preset, {})
    form.set_type(entry.parameters, values, ())
    assert form.values() == values
    assert form.overrides() == {} and form.errors() == {}


def test_an_edit_is_an_override_and_is_told(qtbot, form):
    seen = []
    form.changed.connect(lambda: seen.append(form.overrides()))
    type_into(qtbot, form.editor("learning_rate"), "2e-3")
    assert seen[-1] == {"learning_rate": 0.002}
    form.editor("crf").click()
    assert form.overrides()["crf"] is False


def test_a_value_beyond_its_limits_is_told_under_the_field(qtbot, form):
    type_into(qtbot, form.editor("lam"), "11")
    assert "[0, 10]" in form.errors()["lam"]
    assert any(
        "[0, 10]" in label.text() and label.isVisible() for label in form.findChildren(type(form._rows["lam"].error))
    )
    type_into(qtbot, form.editor("lam"), "abc")
    assert "expected float" in form.errors()["lam"].lower()
    type_into(qtbot, form.editor("lam"), "2")
    assert form.errors() == {}


def test_values_that_depend_on_one_another_are_checked_together(qtbot):
    """Two folds were refused for the three teachers of the default, whatever the form said about teachers."""
    entry = STRATEGIES["teacher-student"]
    form = ParameterForm()
    qtbot.addWidget(form)
    form.set_type(entry.parameters, preset_values(entry, "quick", {}), ())
    form.editor("folds").set_value(2)
    assert form.errors() == {"folds": "Best must not be more than folds, which is 2; got 3"}
    form.editor("best").set_value(1)
    assert form.errors() == {}
    form.editor("folds").set_value(3)
    form.editor("best").set_value(4)  # the default has five folds, this form three
    assert list(form.errors()) == ["best"]
    form.set_type(entry.parameters, preset_values(entry, "paper", {}), ())
    form.editor("folds").set_value(4)
    form.editor("best").set_value(5)  # each would do beside the other's preset
    assert list(form.errors()) == ["best"]
    form.editor("beta").set_value(0.5)  # has nothing to do with it
    assert list(form.errors()) == ["best"]


def test_a_length_of_training_is_a_number_and_a_unit(qtbot, form):
    editor = form.editor("initial")
    type_into(qtbot, editor.amount, "12")
    editor.unit.setCurrentText("epochs")
    assert form.values()["initial"] == "12 epochs"
    type_into(qtbot, editor.amount, "x")
    assert "number and a unit" in form.errors()["initial"]


def test_the_tooltip_tells_limits_preset_and_source(form):
    for info in describe(ENTRY.parameters):
        tip = form.editor(info.name).toolTip()
        assert info.title in tip and info.source in tip and "Preset" in tip
    assert "0 to 10" in form.editor("lam").toolTip()


def test_main_parameters_are_on_show_and_the_others_collapsed(qtbot, form):
    assert form.editor("initial").isVisible()
    assert not form.editor("momentum").isVisible()
    form.advanced.expand(animate=False)
    qtbot.waitUntil(lambda: form.editor("momentum").isVisible())


def test_another_type_replaces_the_fields(form):
    entry = STRATEGIES["supervised"]
    form.set_type(entry.parameters, preset_values(entry, None, {}), ("duration",))
    assert "lam" not in form.values()
    assert form.values()["duration"] == "2000 iterations"


def turn_wheel(field):
    event = QWheelEvent(
        QPointF(5, 5),
        QPointF(5, 5),
        QPoint(0, 0),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(field, event)


def test_the_wheel_over_an_unfocused_field_changes_nothing(form):
    editor = form.editor("alternations")
    value = editor.value()
    editor.clearFocus()
    turn_wheel(editor)
    assert editor.value() == value


def test_the_wheel_does_not_choose_another_strategy(qtbot):
    setup = TrainingSetup()
    qtbot.addWidget(setup)
    before = setup.order()
    for combo in (setup.strategy, setup.preset, setup.network, setup.policy, setup.device):
        turn_wheel(combo)
    assert setup.order() == before
