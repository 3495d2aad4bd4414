import subprocess
import sys

import numpy as np
import pytest
from gui_cases import geometry_of

from napari_ssl.errors import LabelError
from napari_ssl.gui.plugin import get_reader, sample_cine, write_nifti
from napari_ssl.io.images import Geometry, read_image, write_volume


def test_the_manifest_is_valid_and_all_names_in_it_exist():
    run = [sys.executable, "-m", "npe2", "validate", "napari_ssl", "--imports"]
    result = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr


def test_reader_gives_layers_in_mm_and_knows_labels_by_name(tmp_path):
    geometry = geometry_of((3, 2, 6, 5), (8.0, 1.5, 1.25))
    image, labels = tmp_path / "case1.nii.gz", tmp_path / "case1_gt.nii.gz"
    array = np.arange(180, dtype=np.int16).reshape(3, 2, 6, 5)
    write_volume(image, array, geometry)
    write_volume(labels, (array % 4).astype(np.uint8), geometry)
    layers = get_reader([str(image), str(labels)])([str(image), str(labels)])
    assert [kind for _, _, kind in layers] == ["image", "labels"]
    data, attributes, _ = layers[0]
    assert np.array_equal(data, array)
    assert attributes["scale"] == [1.0, 8.0, 1.5, 1.25]
    assert attributes["units"] == ["pixel", "mm", "mm", "mm"]


def test_reader_leaves_other_files_alone(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("x")
    assert get_reader(str(text)) is None
    assert get_reader(str(tmp_path / "absent.nii.gz")) is None


def test_written_labels_lie_where_their_image_lies(tmp_path):
    oblique = Geometry(
        size_xyz=(5, 6, 2),
        spacing_xyz=(1.25, 1.5, 8.0),
        origin_xyz=(-10.0, 20.0, 5.0),
        direction=(0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0),
    )
    image = tmp_path / "image_gt.nii.gz"
    write_volume(image, np.arange(60, dtype=np.uint8).reshape(1, 2, 6, 5), oblique)
    [(data, attributes, kind)] = get_reader(str(image))(str(image))
    assert kind == "labels" and data.shape == (2, 6, 5)
    out = tmp_path / "out.nii.gz"
    assert write_nifti(str(out), [(data, attributes, "labels")]) == [str(out)]
    again = read_image(out)
    assert not again.geometry.differs(read_image(image).geometry)
    assert np.array_equal(again.data[0], data)


def test_labels_of_unknown_origin_are_written_with_the_layers_scale(tmp_path):
    out = tmp_path / "out.nii.gz"
    write_nifti(str(out), [(np.ones((2, 4, 5), int), {"scale": [8.0, 1.5, 1.25]}, "labels")])
    assert read_image(out).geometry.spacing_zyx_mm == pytest.approx((8.0, 1.5, 1.25))


def test_labels_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(LabelError, match="0 to 255"):
        write_nifti(str(tmp_path / "o.nii.gz"), [(np.full((2, 2), 300), {"scale": [1.0, 1.0]}, "labels")])
    assert not (tmp_path / "o.nii.gz").exists()


def test_sample_cine_is_a_beating_heart_with_labels():
    (image, _, _), (labels, attributes, kind) = sample_cine()
    assert kind == "labels" and image.shape == labels.shape and image.ndim == 4
    volumes = (labels == 3).sum(axis=(1, 2, 3))
    assert volumes.min() < 0.8 * volumes.max()
    assert attributes["scale"][0] == 1.0
