"""Small studies for GUI tests, and settings that stay away from the person's own."""

from __future__ import annotations

import pytest
from gui_cases import SHAPE, add_model, beating_disc, geometry_of, propose

from napari_ssl.core.case import Split
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.io.images import write_volume
from napari_ssl.io.layouts import ImportItem
from napari_ssl.study.study import Study


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SSL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def review_study(tmp_path):
    """Study with cases case0 … case3 to review (case0 least confident) and one labelled case."""
    items = []
    for n in range(4):
        image, _ = beating_disc(n)
        path = tmp_path / "images" / f"case{n}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        write_volume(path, image, geometry_of(SHAPE))
        items.append(ImportItem(subject_id=f"case{n}", case_id=f"case{n}", image_path=path, split=Split.TRAIN))
    study = Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"])
    report = study.add_cases(items)
    assert not report.failed, report.failed
    add_model(study, tmp_path / "model", "model-1")
    for n in range(4):
        propose(study, f"case{n}", beating_disc(n)[1], "model-1", 0.6 + 0.1 * n)
    yield study
    study.close()
