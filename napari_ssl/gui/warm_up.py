"""What the first layers would make the window wait for is done in a thread beforehand.

The first image and the first labels layer of a process cost about a second each with napari 0.9.2: they import SciPy,
pandas and scikit-image and build the registry of units. Measured with its profiler; a second labels layer takes 40 ms.
"""

from __future__ import annotations

import threading

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap

__all__ = ["warm_up"]


def _make_layers() -> None:
    colours = DirectLabelColormap(color_dict={None: "#FF00FF", 0: (0.0, 0.0, 0.0, 0.0), 1: "#FFFFFF"})
    Image(np.zeros((2, 2), np.uint8), units=("mm", "mm"), contrast_limits=(0, 1))
    Labels(np.zeros((2, 2), np.uint8), units=("mm", "mm"), colormap=colours)


def warm_up() -> threading.Thread:
    """Make an image and a labels layer that nobody sees, in a thread; layers know no Qt."""
    thread = threading.Thread(target=_make_layers, name="napari-ssl warm-up", daemon=True)
    thread.start()
    return thread
