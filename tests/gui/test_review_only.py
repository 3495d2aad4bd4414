"""The window in an environment without torch: ``pip install napari-ssl[gui]``, nothing of training.

Takes minutes and downloads packages, so it runs only when asked: ``make review-only``, which sets the variable below.
"""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

import pytest

ASKED = "NAPARI_SSL_TEST_REVIEW_ONLY"
_ROOT = Path(__file__).parents[2]

_SITTING = """
import importlib.util, sys, time
from pathlib import Path

for name in ("torch", "monai", "safetensors"):
    assert importlib.util.find_spec(name) is None, f"{name} is installed"

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_ssl.gui import compat
from napari_ssl.gui.workspace import open_workspace
from napari_ssl.study.study import Study


def wait(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        QApplication.processEvents()
        time.sleep(0.01)
    assert condition(), "waited in vain"


folder = Path(sys.argv[1])
with Study.open(folder) as study:
    cases = [c.id for c in study.cases()]
viewer = open_workspace(folder, "Ada")
widget = next(w for w in QApplication.allWidgets() if type(w).__name__ == "WorkspaceWidget")
wait(lambda: widget.reviewer is not None and widget.reviewer.session.loaded is not None)
canvas = compat.canvas_widget(viewer)
first = widget.reviewer.session.case_id
QTest.keyClick(canvas, Qt.Key.Key_Right)
QTest.keyClick(canvas, Qt.Key.Key_O)
QTest.keyClick(canvas, Qt.Key.Key_A)
wait(lambda: widget.reviewer.saver.n_running == 0 and not widget.reviewer.is_saving)
for tab in (widget.rating, widget.training, widget.models, widget.quality):  # every tab opens without torch
    widget.tabs.setCurrentWidget(tab)
    wait(lambda: True)
wait(lambda: not widget.training._counting.running)
said = [t for t in (widget.training.banner.text, widget.models.banner.text, widget.quality.banner.text) if t]
with Study.open(folder) as study:
    verdicts = [d.verdict.value for d in study.decisions(first)]
    places = study.place_verdicts(first)
print("DECIDED", verdicts, len(places), "SAID", said)
assert verdicts == ["accept"] and len(places) == 1
assert not any(name.split(".")[0] in ("torch", "monai") for name in sys.modules)
viewer.close()
print("REVIEWED WITHOUT TORCH")
"""

_MAKE_STUDY = """
import sys
from pathlib import Path
import numpy as np
from napari_ssl.core.case import Split
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.segmentation import Source
from napari_ssl.io.images import Geometry, write_volume
from napari_ssl.io.layouts import ImportItem
from napari_ssl.study.study import Study

root, shape = Path(sys.argv[1]), (6, 3, 48, 40)
geometry = Geometry(size_xyz=(40, 48, 3), spacing_xyz=(1.5, 1.5, 8.0), origin_xyz=(0.0, 0.0, 0.0),
                    direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), is_2d=False, is_4d=True)
labels = np.zeros(shape, np.uint8)
labels[:, :, 16:32, 12:28] = 2
labels[:, :, 20:28, 16:24] = 3
items = []
(root / "images").mkdir(parents=True)
for n in range(2):
    image = np.random.default_rng(n).integers(0, 200, shape).astype(np.int16)
    path = root / "images" / f"case{n}.nii.gz"
    write_volume(path, image, geometry)
    items.append(ImportItem(subject_id=f"case{n}", case_id=f"case{n}", image_path=path, split=Split.TRAIN))
with Study.create(root / "study", label_scheme=PRESETS["acdc"]) as study:
    assert not study.add_cases(items).failed
    for n in range(2):
        study.add_segmentation(f"case{n}", labels, source=Source.REFINED, frames=range(6))
"""


def _run(*command: str, **more) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False, **more)
    assert done.returncode == 0, f"{' '.join(command[:4])}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.timeout(1800)
@pytest.mark.skipif(not os.environ.get(ASKED), reason=f"makes an environment and downloads 400 MB; set {ASKED}=1")
def test_a_study_is_reviewed_in_an_environment_without_torch(tmp_path):
    if not os.environ.get("DISPLAY"):
        pytest.skip("the window needs a display; run under xvfb-run")
    place = tmp_path / "env"
    venv.create(place, with_pip=True)
    python = str(place / "bin" / "python")
    _run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", f"{_ROOT}[gui]")
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env |= {"NAPARI_SSL_HOME": str(tmp_path / "home"), "NAPARI_CONFIG": str(tmp_path / "napari.yaml")}
    _run(python, "-c", _MAKE_STUDY, str(tmp_path / "data"), env=env, cwd=tmp_path)
    told = _run(python, "-c", _SITTING, str(tmp_path / "data" / "study"), env=env, cwd=tmp_path)
    assert "REVIEWED WITHOUT TORCH" in told
    listed = _run(
        python, "-m", "napari_ssl", "study", "status", str(tmp_path / "data" / "study"), env=env, cwd=tmp_path
    )
    assert "case" in listed
