"""A whole window in which somebody paints until the process is killed: ``python edit_window_child.py STUDY SEED``.

After each edit it prints how many there are and the hash of the labels.
"""

import random
import sys

import napari
from gui_driver import CTRL, READER, Driver
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_ssl.gui import compat
from napari_ssl.gui.workspace import add_workspace
from napari_ssl.io.images import hash_labels
from napari_ssl.study.study import Study

if __name__ == "__main__":
    chance = random.Random(int(sys.argv[2]))
    viewer = napari.Viewer(show=True)
    compat.main_window(viewer).resize(1280, 800)
    widget = add_workspace(viewer, reader=READER)
    widget.set_study(Study.open(sys.argv[1]))
    driver = Driver(viewer, widget)
    driver.wait_for("case0")
    driver.press(Qt.Key.Key_P)
    while True:
        widget.navigator.go(chance.randrange(6), chance.randrange(3))
        widget._choose_structure(chance.randrange(1, 4))
        start = (chance.randrange(4, 44), chance.randrange(4, 36))
        driver.drag(start, (start[0] + chance.randrange(-3, 4), start[1] + 3))
        if chance.random() < 0.2:
            driver.press(Qt.Key.Key_Right, CTRL)
        history = driver.session.strokes.history
        print(len(history.edits), hash_labels(driver.session.loaded.labels), flush=True)
        QApplication.processEvents()
