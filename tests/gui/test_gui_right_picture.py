"""What is on screen is the case that the window names, whatever was shown before."""

import napari
import numpy as np
import pytest
from gui_driver import READER, Driver
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_ssl.gui import compat
from napari_ssl.gui.workspace import add_workspace
from napari_ssl.io.images import read_image
from napari_ssl.study.study import Study


@pytest.fixture
def window(qapp, review_study):
    viewer = napari.Viewer(show=True)
    compat.main_window(viewer).resize(1280, 800)
    widget = add_workspace(viewer, reader=READER)
    driver = Driver(viewer, widget)
    widget.set_study(Study.open(review_study.folder))
    driver.wait_for("case0")
    QApplication.processEvents()
    driver.canvas.setFocus()
    yield driver
    widget.close_workspace()
    viewer.close()


def shown_slice(layer) -> np.ndarray:
    """The pixels that napari last sliced for drawing."""
    return np.asarray(layer._slice.image.view if hasattr(layer._slice.image, "view") else layer._slice.image.raw)


def test_the_slice_drawn_after_a_change_of_case_belongs_to_the_new_case(window, review_study):
    """From another frame and slice, with the uncertainty shown: layers are reused, their old slices must not be."""
    for key in (Qt.Key.Key_I, Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Up):
        window.press(key)
    for case_id in ("case1", "case2"):
        window.press(Qt.Key.Key_N)
        window.wait_for(case_id)
        QApplication.processEvents()
        frame, z = window.session.frame, window.session.slice
        image = window.widget.reviewer.canvas.image
        expected = read_image(review_study.case(case_id).image_path).data[frame, z]
        np.testing.assert_array_equal(shown_slice(image), expected)
        labels = window.widget.reviewer.canvas.labels
        proposal = review_study.read_labels(review_study.proposal(case_id))[frame, z]
        np.testing.assert_array_equal(shown_slice(labels) > 0, proposal > 0)
        window.press(Qt.Key.Key_Right)
        window.press(Qt.Key.Key_Up)
