"""What napari's reader gives for DICOM folders, segmentations and studies; no window is needed but for studies."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import ImageError
from napari_ssl.gui.plugin import get_reader
from napari_ssl.io.dicom_seg import write_dicom, write_dicom_seg
from napari_ssl.io.dicom_series import SeriesIdentity, derived_series
from napari_ssl.io.geometry import Geometry

SHAPE = (3, 4, 6, 8)
GEOMETRY = Geometry(
    size_xyz=SHAPE[:0:-1],
    spacing_xyz=(1.25, 1.5, 8.0),
    origin_xyz=(-31.5, 12.25, 77.0),
    direction=(0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0),
    is_4d=True,
)


@pytest.fixture
def folder(tmp_path):
    """A cine of three phases and four slices in files of no order, and the segmentation of its last phase."""
    image = np.random.default_rng(0).integers(0, 4000, SHAPE).astype(np.int16)
    labels = (np.arange(np.prod(SHAPE[1:])).reshape(SHAPE[1:]) % 4).astype(np.uint8)
    identity = SeriesIdentity(patient_id="s1", description="c1", key="k")
    series = derived_series(image, GEOMETRY, identity, frames=range(3), frame_times_ms=[0.0, 30.0, 60.0])
    folder = tmp_path / "Doe^John" / "cine"
    (folder / "deep").mkdir(parents=True)
    for n, ((t, z), picture) in enumerate(sorted(series.items(), key=lambda item: hash(item[0][::-1]))):
        write_dicom(folder / ("deep" if (t + z) % 2 else ".") / f"{n}", picture)
    sources = [series[2, z] for z in range(4)]
    about = {"case_id": "c1", "frame": 2, "label_hash": "x", "by_hand": True}
    write_dicom_seg(tmp_path / "seg.dcm", labels, sources, PRESETS["acdc"], **about)
    return folder, image, labels


def test_a_dicom_folder_opens_as_a_cine_with_its_spacing(folder):
    path, image, _ = folder
    ((data, attributes, kind),) = get_reader(str(path))(str(path))
    assert kind == "image" and attributes["name"] == "series 1"
    np.testing.assert_array_equal(data, image)
    assert attributes["scale"] == pytest.approx([1.0, 8.0, 1.5, 1.25])
    assert attributes["units"] == ["pixel", "mm", "mm", "mm"]


def test_a_segmentation_opens_on_the_grid_of_its_series(folder, tmp_path):
    path, _, labels = folder
    together = [str(path), str(tmp_path / "seg.dcm")]
    (data, _, _), (segments, attributes, kind) = get_reader(together)(together)
    assert kind == "labels" and attributes["name"] == "segmentation phase 3"
    np.testing.assert_array_equal(segments, labels)
    assert segments.shape == data.shape[1:] and attributes["scale"] == pytest.approx([8.0, 1.5, 1.25])
    assert attributes["metadata"]["segments"] == {1: "RV", 2: "Myo", 3: "LV"}


def test_a_series_that_makes_no_grid_says_what_is_missing_and_names_nobody(folder):
    path, _, _ = folder
    for file in sorted(path.rglob("*"))[-2:]:
        file.unlink()
    with pytest.raises(ImageError, match="nothing can be shown: series 1: ") as error:
        get_reader(str(path))(str(path))
    assert "John" not in str(error.value)


def test_folders_without_dicom_and_mixtures_are_left_to_others(tmp_path, folder):
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "notes.txt").write_text("x")
    assert get_reader(str(tmp_path / "plain")) is None
    assert get_reader([str(folder[0]), str(tmp_path / "plain" / "notes.txt")]) is None


def test_a_study_that_is_dropped_into_the_window_opens_in_the_workspace(workspace, review_study):
    viewer = workspace.viewer
    assert viewer.open(str(review_study.folder), plugin="napari-ssl") == []
    workspace.wait_for("case0")
    assert workspace.widget.study.folder == review_study.folder
    workspace.widget.set_study(None)
