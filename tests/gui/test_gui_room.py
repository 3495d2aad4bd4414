"""The size of the window at the first start."""

from types import SimpleNamespace

import pytest
from qtpy.QtWidgets import QMainWindow

from napari_ssl.gui.workspace import give_room


@pytest.fixture
def window(qtbot):
    made = QMainWindow()
    qtbot.addWidget(made)
    return made


def _viewer(window):
    return SimpleNamespace(window=SimpleNamespace(_qt_window=window))


def test_a_window_that_would_cut_the_panels_fills_the_screen(window):
    window.resize(940, 530)
    window.show()
    give_room(_viewer(window))
    room = window.screen().availableGeometry()
    assert window.width() >= 0.9 * room.width()
    assert window.height() >= 0.9 * room.height()


def test_a_window_that_is_large_enough_stays_as_the_reader_left_it(window):
    window.resize(1250, 750)
    window.show()
    give_room(_viewer(window))
    assert (window.width(), window.height()) == (1250, 750)
    assert not window.isMaximized()
