"""Contours that this program wrote, read by its own importers: the same labels on the same pictures, exactly."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from napari_ssl.core.case import Split
from napari_ssl.core.decision import Decision, Verdict
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.segmentation import Source
from napari_ssl.errors import NapariSslError
from napari_ssl.io.contours.polygons import is_polygons, polygons_document, read_polygons
from napari_ssl.io.geometry import Geometry
from napari_ssl.io.identity import Pseudonyms
from napari_ssl.io.images import read_labels, write_volume
from napari_ssl.io.layouts import ImportItem, ScanOptions, scan
from napari_ssl.study import Study
from napari_ssl.study.exporting import export_study

sys.path.append(str(Path(__file__).parents[1] / "io"))
from dicom_files import cine, save

SHAPE = (2, 3, 9, 11)
ORIENTATIONS = [
    np.eye(3)[list(order)].T * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
"""Columns are the directions of x, y and z: every one of the 48."""

OBLIQUE = np.array([[0.8, -0.6, 0.0], [0.48, 0.64, -0.6], [0.36, 0.48, 0.8]])


def heart() -> np.ndarray:
    """Labels 1 LV, 2 Myo without any symmetry: every frame and slice is another, some pictures have nothing."""
    labels = np.zeros(SHAPE, np.uint8)
    for t, z in np.ndindex(SHAPE[:2]):
        if (t, z) != (1, 2):
            labels[t, z, 1 : 6 + z, 1 : 7 + t] = 2
            labels[t, z, 2 : 4 + t, 2 + z : 5] = 1
            labels[t, z, 6 + z, 3] = 2
    return labels


def _store(study: Study, case_id: str, labels: np.ndarray) -> None:
    """Let a reader say that these are the labels."""
    frames = range(labels.shape[0])
    version = study.add_segmentation(case_id, labels, source=Source.CORRECTED, frames=frames, reader="Ada")
    study.record(
        Decision(
            case_id=case_id, verdict=Verdict.CORRECT, reader="Ada", decided_at=datetime.now(UTC), seconds=1.0,
            segmentation_id=version.id, label_hash=version.label_hash,
        )
    )  # fmt: skip


def test_sunnybrook_contours_fall_on_the_scanners_own_pictures_in_any_orientation(tmp_path: Path):
    labels = heart()
    with Study.create(tmp_path / "study", label_scheme=PRESETS["sunnybrook"]) as study:
        pseudonyms = Pseudonyms.of_folder(study.folder)
        pseudonyms.store()
        folders = {}
        for n, axes in enumerate(ORIENTATIONS[::5]):  # both hands, every sign
            folder = save(tmp_path / "scans" / f"{n}", cine(axes=axes, data=_image(n), series=f"1.2.{n}"), seed=n)
            (item,) = scan([folder], "dicom", ScanOptions(pseudonyms=pseudonyms))
            folders[item.case_id] = folder
            assert not study.add_cases([item], split=Split.TRAIN).failed
            _store(study, item.case_id, labels)
        assert len(folders) == 10
        export_study(study, tmp_path / "out", "sunnybrook")
    for case_id, folder in folders.items():
        shutil.copytree(folder, tmp_path / "out" / case_id / "pictures")
        (item,) = scan(tmp_path / "out" / case_id, "sunnybrook", ScanOptions(pseudonyms=pseudonyms))
        again, frames = item.drawn.labels(SHAPE)
        assert np.array_equal(again, labels), folder
        assert frames == (0, 1)


def _image(n: int) -> np.ndarray:
    """Pixels of their own, so that no two cases are the same image."""
    return np.random.default_rng(n).integers(0, 900, SHAPE).astype(np.int16)


@pytest.mark.parametrize("axes", [np.eye(3), OBLIQUE, OBLIQUE * [-1, 1, 1]])
def test_contours_and_pictures_that_were_exported_can_be_imported_again(tmp_path: Path, axes: np.ndarray):
    geometry = Geometry(
        size_xyz=SHAPE[:0:-1], spacing_xyz=(1.25, 1.5, 8.0), origin_xyz=(-31.5, 12.25, 77.0),
        direction=tuple(axes.ravel()), is_4d=True,
    )  # fmt: skip
    write_volume(tmp_path / "c.nii.gz", _image(1), geometry)
    labels = heart()
    with Study.create(tmp_path / "study", label_scheme=PRESETS["sunnybrook"]) as study:
        item = ImportItem(subject_id="s", case_id="c", image_path=tmp_path / "c.nii.gz")
        assert not study.add_cases([item]).failed
        _store(study, "c", labels)
        for format_ in ("dicom-seg", "sunnybrook"):
            export_study(study, tmp_path / "out", format_)
    with Study.create(tmp_path / "again", label_scheme=PRESETS["sunnybrook"]) as study:
        options = ScanOptions(pseudonyms=Pseudonyms.of_folder(study.folder))
        (item,) = scan(tmp_path / "out", options=options)
        assert not study.add_cases([item]).failed
        (case,) = study.cases()
        again = study.read_labels(study.reference(case.id))
        assert case.shape_tzyx == SHAPE
        if np.linalg.det(axes) < 0:  # DICOM sorts slices along row × column
            again = again[:, ::-1]
        assert np.array_equal(again, labels)


def test_an_experts_labels_of_the_real_cine_come_back_from_its_own_pictures(shared_data, tmp_path: Path):
    with tarfile.open(shared_data / "sunnybrook_dicom" / "SCD0000301_dicom.tar.xz") as archive:
        archive.extractall(tmp_path / "scan", filter="data")
    crop = read_labels(shared_data / "sunnybrook_cine" / "SCD0000301_4d_gt_crop.nii.gz")
    frames = tuple(np.flatnonzero(crop.any(axis=(1, 2, 3))).tolist())
    with Study.create(tmp_path / "study", label_scheme=PRESETS["sunnybrook"]) as study:
        pseudonyms = Pseudonyms.of_folder(study.folder)
        pseudonyms.store()
        (item,) = scan(tmp_path / "scan", options=ScanOptions(pseudonyms=pseudonyms))
        assert not study.add_cases([item]).failed
        labels = np.zeros(study.case(item.case_id).shape_tzyx, np.uint8)
        labels[:, :, 61:189, 68:196] = crop  # where the crop begins (tests/io/test_dicom_real.py)
        _store(study, item.case_id, labels)
        export_study(study, tmp_path / "out", "sunnybrook")
    shutil.copytree(tmp_path / "scan", tmp_path / "out" / item.case_id / "pictures")
    (again,) = scan(tmp_path / "out", options=ScanOptions(pseudonyms=pseudonyms))
    found, covered = again.drawn.labels(labels.shape)
    assert covered == frames and len(frames) >= 1
    for value in (1, 2):
        assert (
            2 * np.sum((found == value) & (labels == value)) / (np.sum(found == value) + np.sum(labels == value)) == 1
        )


@pytest.mark.parametrize("axes", [*ORIENTATIONS[:48:5], OBLIQUE])
def test_polygons_give_back_labels_and_grid(tmp_path: Path, axes: np.ndarray):
    geometry = Geometry(
        size_xyz=SHAPE[:0:-1], spacing_xyz=(1.1, 1.5, 8.0), origin_xyz=(-3.3, 12.25, 77.0),
        direction=tuple(axes.ravel()), is_4d=True,
    )  # fmt: skip
    labels = np.random.default_rng(3).integers(0, 4, SHAPE).astype(np.uint8)  # islands, holes and touching corners
    labels[1] = 0
    path = tmp_path / "c_contours.json"
    path.write_text(json.dumps(polygons_document(labels, (0, 1), PRESETS["acdc"], geometry, "c")))
    assert is_polygons(path)
    found = read_polygons(path)
    assert np.array_equal(found.labels, labels) and found.frames == (0, 1)
    assert geometry.differs(found.geometry) is None and found.geometry.is_4d
    assert (found.case_id, found.scheme.names, found.scheme.values) == ("c", ("RV", "Myo", "LV"), (1, 2, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "holds no napari-ssl contours"),
        ({"version": 2}, "is of version 2, this program reads 1"),
        ({"direction": None}, "lacks or misstates"),
        ({"structures": []}, "lacks or misstates .*no structure"),
        ({"shape_tzyx": [2, 3, 9, 0]}, "lacks or misstates|at least one voxel"),
        ({"contours": [{"frame": 5, "slice": 0, "structure": "LV", "image": [[0, 0], [3, 0], [3, 3]]}]}, "outside"),
        ({"contours": [{"frame": 0, "slice": 0, "structure": "Ear", "image": [[0, 0], [3, 0], [3, 3]]}]}, "'Ear'"),
        ({"contours": [{"frame": 0, "slice": 0, "structure": "LV", "image": [[0, 0], [99, 0], [3, 3]]}]}, "outside"),
        ({"contours": [{"frame": 0, "slice": 0, "structure": "LV", "image": [[0, 0]]}]}, "the points of a contour"),
    ],
)
def test_damaged_polygons_are_refused(tmp_path: Path, change: dict, message: str):
    geometry = Geometry(size_xyz=SHAPE[:0:-1], spacing_xyz=(1.0, 1.0, 1.0), is_4d=True)
    document = polygons_document(heart(), (0,), PRESETS["sunnybrook"], geometry, "c") | change
    (tmp_path / "c.json").write_text(json.dumps(document))
    with pytest.raises(NapariSslError, match=message) as error:
        read_polygons(tmp_path / "c.json")
    assert str(tmp_path / "c.json") in str(error.value)
