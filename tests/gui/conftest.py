"""Small studies for GUI tests, and settings that stay away from the person's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import napari
import pytest
from gui_cases import SHAPE, add_model, beating_disc, geometry_of, propose
from gui_driver import READER, Driver
from gui_leaks import alive, left_behind
from qtpy.QtWidgets import QApplication

from napari_ssl.core.case import Split
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.gui import compat
from napari_ssl.gui.workspace import add_workspace
from napari_ssl.io.images import write_volume
from napari_ssl.io.layouts import ImportItem
from napari_ssl.study.study import Study


def pytest_collection_modifyitems(items):
    """napari's own fixture bears no window beside its own: the tests that share one come last."""
    items.sort(key=lambda item: "workspace" in getattr(item, "fixturenames", ()))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SSL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def nothing_is_left_behind(home):
    """A test that leaves a thread of ours, a child process or an open window behind fails; see `gui_leaks`."""
    before = alive()
    yield
    assert not left_behind(before)


@pytest.fixture(scope="session")
def study_template(tmp_path_factory):
    """Folder with images and a study, made once; tests get copies, which cost little."""
    folder = tmp_path_factory.mktemp("template")
    items = []
    for n in range(4):
        image, _ = beating_disc(n)
        path = folder / "images" / f"case{n}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        write_volume(path, image, geometry_of(SHAPE))
        items.append(ImportItem(subject_id=f"case{n}", case_id=f"case{n}", image_path=path, split=Split.TRAIN))
    with Study.create(folder / "study", label_scheme=PRESETS["acdc"]) as study:
        report = study.add_cases(items)
        assert not report.failed, report.failed
        add_model(study, folder / "model", "model-1")
        for n in range(4):
            propose(study, f"case{n}", beating_disc(n)[1], "model-1", 0.6 + 0.1 * n)
    return folder.rename(folder.with_name("moved-template"))  # so that copies find their own images


@pytest.fixture
def review_study(tmp_path, study_template):
    """Study with cases case0 … case3 to review (case0 least confident)."""
    for part in ("images", "study"):
        shutil.copytree(study_template / part, tmp_path / part)
    with Study.open(tmp_path / "study") as study:
        assert all(tmp_path in Path(case.image_path).parents for case in study.cases())
        yield study


@pytest.fixture(scope="session")
def workspace(qapp):
    """One window for the tests of several files: making it takes longer than using it, and napari bears but one."""
    viewer = napari.Viewer(show=True)
    compat.main_window(viewer).resize(1280, 800)
    widget = add_workspace(viewer, reader=READER)
    yield Driver(viewer, widget)
    widget.close_workspace()
    viewer.close()


@pytest.fixture
def window(workspace, review_study):
    workspace.widget.set_study(Study.open(review_study.folder))
    workspace.wait_for("case0")
    QApplication.processEvents()
    labels = workspace.widget.canvas.labels
    labels.selected_label = workspace.study.label_scheme.structures[0].value  # the test before may have chosen another
    workspace.canvas.setFocus()
    yield workspace
    workspace.widget.set_study(None)
