"""End-diastole and end-systole are in the study wherever a data set tells them, in whatever way it does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_ssl.core.label_order import LabelOrder
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.io.geometry import Geometry
from napari_ssl.io.images import write_volume
from napari_ssl.io.layouts import scan
from napari_ssl.study.study import Study

CINE = np.arange(4 * 2 * 4 * 4, dtype=np.int16).reshape(4, 2, 4, 4)
LINE = Geometry(size_xyz=(4, 4, 2), spacing_xyz=(1.8, 1.8, 10), is_4d=True)
STILL = Geometry(size_xyz=(4, 4, 2), spacing_xyz=(1.8, 1.8, 10))


def write(path: Path, data: np.ndarray, frame: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, data if frame is None else data[frame : frame + 1], LINE if frame is None else STILL)


def labels(value: int) -> np.ndarray:
    return np.full((1, 2, 4, 4), value, np.uint8)


def ukbb(folder: Path, *, pictures=("ED", "ES"), drawn=("ED", "ES"), whole=False) -> None:
    one = folder / "1000001"
    write(one / "sa.nii.gz", CINE)
    for name, frame in (("ED", 1), ("ES", 3)):
        if name in pictures:
            write(one / f"sa_{name}.nii.gz", CINE, frame)
        if name in drawn:
            write(one / f"label_sa_{name}.nii.gz", labels(1), 0)
    if whole:
        write(one / "label_sa.nii.gz", np.ones(CINE.shape, np.uint8))


def acdc(folder: Path) -> None:
    write(folder / "patient001" / "patient001_4d.nii.gz", CINE)
    (folder / "patient001" / "Info.cfg").write_text("ED: 2\nES: 4\n")


def mnms(folder: Path) -> None:
    write(folder / "A0S9" / "A0S9_sa.nii.gz", CINE)
    (folder / "Dataset_information.csv").write_text("External code,ED,ES\nA0S9,1,3\n")


@pytest.mark.parametrize(
    ("layout", "make", "phases"),
    [
        ("ukbb", ukbb, (1, 3)),
        ("ukbb", lambda folder: ukbb(folder, drawn=()), (1, 3)),
        ("ukbb", lambda folder: ukbb(folder, drawn=(), whole=True), (1, 3)),
        ("ukbb", lambda folder: ukbb(folder, pictures=("ES",), drawn=("ED", "ES")), (0, 3)),
        ("ukbb", lambda folder: ukbb(folder, pictures=(), drawn=()), (None, None)),
        ("acdc", acdc, (1, 3)),
        ("mnms", mnms, (1, 3)),
    ],
    ids=["ukbb", "ukbb unlabelled", "ukbb whole cine", "ukbb first frame", "ukbb unknown", "acdc", "mnms"],
)
def test_the_phases_that_a_data_set_tells_are_in_the_study(tmp_path, layout, make, phases):
    make(tmp_path / "in")
    with Study.create(tmp_path / "study", label_scheme=PRESETS["ukbb"]) as study:
        items = scan(tmp_path / "in", layout)
        order = LabelOrder.of_study(study.label_scheme)
        report = study.add_cases([replace(i, label_order=order) for i in items])
        assert not report.failed, report.failed
        (case,) = study.cases()
    assert (case.ed_frame, case.es_frame) == phases


def test_a_picture_that_equals_no_frame_tells_no_phase(tmp_path):
    ukbb(tmp_path / "in", drawn=())
    write(tmp_path / "in" / "1000001" / "sa_ES.nii.gz", CINE + 1000, 0)
    with Study.create(tmp_path / "study", label_scheme=PRESETS["ukbb"]) as study:
        assert not study.add_cases(scan(tmp_path / "in", "ukbb")).failed
        (case,) = study.cases()
    assert (case.ed_frame, case.es_frame) == (1, None)
