"""What must be quick while a clinician works: live volumes and the curve under the brush.

    xvfb-run -a python benchmarks/responsiveness.py [--json]

Medians in ms. Goals: one frame's volumes 5 ms, curve update 60 ms.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.measures.curves import frame_volumes, volume_curves


def median_ms(action: Callable[[], object], n: int = 15) -> float:
    """Return the median time of an action after one warm-up."""
    action()
    times = []
    for _ in range(n):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return round(1000 * statistics.median(times), 2)


def measure() -> dict[str, float]:
    from qtpy.QtWidgets import QApplication

    from napari_ssl.gui.curve_view import CurveView

    scheme = PRESETS["acdc"]
    labels = np.random.default_rng(0).integers(0, 4, (50, 12, 210, 210)).astype(np.uint8)
    application = QApplication.instance() or QApplication([])
    view = CurveView()
    view.resize(800, 200)
    view.show()
    curves = volume_curves("a", labels, scheme, (10.0, 1.8, 1.8), frame_interval_ms=30.0)
    view.set_curves(curves, scheme=scheme)

    def update() -> None:
        view.update_frame_volumes(5, {"LV": 100.0, "RV": 90.0, "Myo": 100.0})
        application.processEvents()

    return {
        "volumes of one frame 12x210x210": median_ms(lambda: frame_volumes(labels[0], scheme, 0.0324)),
        "volumes of 50 frames": median_ms(lambda: volume_curves("a", labels, scheme, (10.0, 1.8, 1.8)), 5),
        "curve and indices after a stroke": median_ms(update),
        "curves of another case": median_ms(lambda: view.set_curves(curves, scheme=scheme)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    figures = measure()
    if parser.parse_args().json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{value:8.2f} ms  {name}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
