"""What is saved from napari lies where its image lies, through napari's own saving and opening."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from gui_cases import geometry_of
from napari.components import ViewerModel
from npe2 import PluginManager

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import ImageError, LabelError, StorageError, StudyError
from napari_ssl.gui.import_drop import droppable
from napari_ssl.gui.plugin import get_reader
from napari_ssl.io.contours.polygons import polygons_document, read_polygons
from napari_ssl.io.dicom_seg import read_dicom_seg
from napari_ssl.io.geometry import Geometry
from napari_ssl.io.images import read_image, write_volume
from napari_ssl.study.study import Study

sys.path.append(str(Path(__file__).parents[1] / "io"))
from dicom_files import cine, phantom, save

PLUGIN = "napari-ssl"
OBLIQUE = Geometry(
    size_xyz=(5, 6, 2),
    spacing_xyz=(1.25, 1.5, 8.0),
    origin_xyz=(-10.0, 20.0, 5.0),
    direction=(0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0),
)


@pytest.fixture
def viewer():
    """A window's model; its canvas is not needed."""
    PluginManager.instance().discover()
    return ViewerModel()


def drawn(viewer, over):
    """Let a person draw on a new labels layer over an image."""
    labels = viewer.add_labels(np.zeros(over.data.shape, int), name="my labels", scale=over.scale)
    labels.data[...] = np.arange(labels.data.size).reshape(labels.data.shape) % 3
    return labels


def test_labels_drawn_over_an_image_are_saved_on_its_grid(viewer, tmp_path):
    write_volume(tmp_path / "image.nii.gz", np.zeros((1, 2, 6, 5), np.int16), OBLIQUE)
    (image,) = viewer.open(str(tmp_path / "image.nii.gz"), plugin=PLUGIN)
    labels = drawn(viewer, image)
    viewer.layers.selection = {image, labels}
    out = tmp_path / "out.nii.gz"
    assert viewer.layers.save(str(out), selected=True, plugin=PLUGIN) == [str(out)]
    assert OBLIQUE.differs(read_image(out).geometry) is None
    np.testing.assert_array_equal(read_image(out).data[0], labels.data)


def test_labels_are_saved_as_contours_and_opened_again(viewer, tmp_path):
    write_volume(tmp_path / "image.nii.gz", np.zeros((1, 2, 6, 5), np.int16), OBLIQUE)
    (image,) = viewer.open(str(tmp_path / "image.nii.gz"), plugin=PLUGIN)
    labels = drawn(viewer, image)
    viewer.layers.selection = {image, labels}
    viewer.layers.save(str(tmp_path / "out.json"), selected=True, plugin=PLUGIN)
    found = read_polygons(tmp_path / "out.json")
    assert OBLIQUE.differs(found.geometry) is None and found.scheme.names == ("Label 1", "Label 2")
    (again,) = viewer.open(str(tmp_path / "out.json"), plugin=PLUGIN)
    np.testing.assert_array_equal(again.data, labels.data)
    assert again.name.startswith("my labels") and tuple(again.scale) == tuple(image.scale)


def test_labels_over_dicom_are_saved_as_segmentations_of_their_phases(viewer, tmp_path):
    pictures = cine()
    folder = save(tmp_path / "scan", pictures)
    (image,) = viewer.open(str(folder), plugin=PLUGIN)
    labels = drawn(viewer, image)
    labels.data[0, 1] = 0
    viewer.layers.selection = {image, labels}
    written = viewer.layers.save(str(tmp_path / "out.dcm"), selected=True, plugin=PLUGIN)
    assert [Path(p).name for p in written] == ["out_frame01.dcm", "out_frame02.dcm"]
    for t, path in enumerate(written):
        found = read_dicom_seg(path)
        np.testing.assert_array_equal(found.labels, labels.data[t])
        assert image.metadata["napari_ssl_geometry"].differs(found.geometry) is None
        seg = pydicom.dcmread(path)
        referred = {i.ReferencedSOPInstanceUID for i in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
        assert referred == {p.SOPInstanceUID for p in pictures[t]} and seg.PatientID == pictures[t][0].PatientID
    with pytest.raises(StorageError, match=r"out_frame01\.dcm: exists already and nothing was written"):
        viewer.layers.save(str(tmp_path / "out.dcm"), selected=True, plugin=PLUGIN)
    (again,) = viewer.open(written[1], plugin=PLUGIN)
    viewer.layers.selection = {image, again}
    viewer.layers.save(str(tmp_path / "again.dcm"), selected=True, plugin=PLUGIN)
    assert read_dicom_seg(tmp_path / "again.dcm").frame == 1
    assert read_dicom_seg(tmp_path / "again.dcm").names == {1: "Label 1", 2: "Label 2"}


def test_a_segmentation_without_its_pictures_says_where_to_get_them(viewer, tmp_path):
    write_volume(tmp_path / "image.nii.gz", np.zeros((1, 2, 6, 5), np.int16), OBLIQUE)
    (image,) = viewer.open(str(tmp_path / "image.nii.gz"), plugin=PLUGIN)
    viewer.layers.selection = {image, drawn(viewer, image)}
    with pytest.raises(ImageError, match="open their folder and save the labels over it, or save as"):
        viewer.layers.save(str(tmp_path / "out.dcm"), selected=True, plugin=PLUGIN)
    assert not list(tmp_path.glob("out*"))


def test_labels_of_one_phase_over_a_cine_must_say_which(viewer, tmp_path):
    (image,) = viewer.open(str(save(tmp_path / "scan", cine())), plugin=PLUGIN)
    labels = viewer.add_labels(np.ones(image.data.shape[1:], int))
    viewer.layers.selection = {image, labels}
    with pytest.raises(LabelError, match="do not say which phase they are of"):
        viewer.layers.save(str(tmp_path / "out.dcm"), selected=True, plugin=PLUGIN)


def test_a_gap_in_the_values_is_told(viewer, tmp_path):
    (image,) = viewer.open(str(save(tmp_path / "scan", cine(phantom((1, 3, 4, 5))))), plugin=PLUGIN)
    labels = drawn(viewer, image)
    labels.data[labels.data == 1] = 7
    viewer.layers.selection = {image, labels}
    with pytest.warns(UserWarning, match="from 1 without a gap: 2 becomes 1, 7 becomes 2"):
        viewer.layers.save(str(tmp_path / "out.dcm"), selected=True, plugin=PLUGIN)
    found = read_dicom_seg(tmp_path / "out.dcm")
    assert found.names == {1: "Label 2", 2: "Label 7"}


@pytest.mark.parametrize(
    ("attributes", "place"),
    [
        ({"scale": [8.0, 1.5, 1.25], "translate": [5.0, -3.0, 2.0]}, (2.0, -3.0, 5.0)),
        ({"scale": [1.0, 1.0, 1.0], "rotate": [[1, 0, 0], [0, 0, -1], [0, 1, 0]]}, None),
        ({"scale": [1.0, 1.0, 1.0], "shear": [0.0, 0.2, 0.0]}, None),
        ({"scale": [1.0, 1.0, 1.0], "affine": np.diag([1, 2, 1, 1])}, None),
    ],
)
def test_a_layer_of_unknown_origin_keeps_its_place_or_is_refused(viewer, tmp_path, attributes, place):
    viewer.add_labels(np.ones((2, 4, 5), int), **attributes)
    out = str(tmp_path / "out.nii.gz")
    if place is None:
        with pytest.raises(LabelError, match="turned, sheared or has an affine"):
            viewer.layers.save(out, plugin=PLUGIN)
        return
    viewer.layers.save(out, plugin=PLUGIN)
    assert read_image(out).geometry.origin_xyz == pytest.approx(place)


def test_images_that_lie_elsewhere_are_not_guessed_between(viewer, tmp_path):
    for n, geometry in enumerate((OBLIQUE, geometry_of((1, 2, 6, 5)))):
        write_volume(tmp_path / f"{n}.nii.gz", np.zeros((1, 2, 6, 5), np.int16), geometry)
        viewer.open(str(tmp_path / f"{n}.nii.gz"), plugin=PLUGIN)
    layers = [layer.as_layer_data_tuple() for layer in viewer.layers]
    from napari_ssl.gui.layer_writers import nifti_of_layer

    labels = (np.ones((2, 6, 5), int), {"scale": [1, 1, 1]}, "labels")
    with pytest.raises(LabelError, match="select labels and their image together"):
        nifti_of_layer(str(tmp_path / "out.nii.gz"), [labels], layers)


# -- opening --------------------------------------------------------------------------------------------------------


def test_a_folder_with_contours_of_other_programs_opens_with_them(viewer, tmp_path):
    save(tmp_path / "SC-1" / "cine", cine())
    path = tmp_path / "SC-1" / "contours-manual" / "IRCCI-expert" / "IM-0001-0001-icontour-manual.txt"
    path.parent.mkdir(parents=True)
    path.write_text("0.6 0.6\n2.4 0.6\n2.4 2.4\n0.6 2.4\n")
    image, labels = viewer.open(str(tmp_path / "SC-1"), plugin=PLUGIN)
    assert np.argwhere(labels.data).tolist() == [[0, 0, 1, 1], [0, 0, 1, 2], [0, 0, 2, 1], [0, 0, 2, 2]]
    assert tuple(labels.scale) == tuple(image.scale) and labels.metadata["segments"][1] == "LV"
    with pytest.raises(ImageError, match="open the folder that holds both"):
        viewer.open(str(path), plugin=PLUGIN)


@pytest.mark.parametrize("name", ["IM0001", "IM000001", "IMG00001", "MR.1.2.840.3", "a.IMA", "b.dcm"])
def test_a_dicom_file_opens_by_the_names_that_scanners_give(viewer, tmp_path, name):
    (path,) = save(tmp_path / "x", cine(phantom((1, 1, 4, 5)))).iterdir()
    (layer,) = viewer.open(str(path.rename(tmp_path / name)), plugin=PLUGIN)
    assert layer.data.shape == (1, 4, 5)


def test_a_few_images_in_a_folder_open_as_layers(viewer, tmp_path):
    (tmp_path / "few").mkdir()
    for name in ("a.nii.gz", "a_gt.nii.gz"):
        write_volume(tmp_path / "few" / name, np.ones((1, 2, 6, 5), np.uint8), OBLIQUE)
    layers = viewer.open(str(tmp_path / "few"), plugin=PLUGIN)
    assert [type(layer).__name__ for layer in layers] == ["Image", "Labels"]


def test_models_and_data_sets_without_a_study_say_what_to_do(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    for name in ("card.json", "weights.safetensors"):
        (model / name).write_text("{}")
    with pytest.raises(StudyError, match="is a model, which belongs into a study; open or make a study"):
        get_reader(str(model))(str(model))
    for n in (1, 2):
        folder = tmp_path / "acdc" / f"patient00{n}"
        folder.mkdir(parents=True)
        (folder / f"patient00{n}_4d.nii.gz").touch()
    with pytest.raises(StudyError, match=r"is a data set \(ACDC .*napari-ssl study import"):
        get_reader(str(tmp_path / "acdc"))(str(tmp_path / "acdc"))


def test_json_and_zarr_of_others_are_left_alone(tmp_path):
    (tmp_path / "cells.zarr" / "0").mkdir(parents=True)
    write_volume(tmp_path / "cells.zarr" / "0" / "a.nii.gz", np.zeros((1, 2, 6, 5), np.int16), OBLIQUE)
    assert get_reader(str(tmp_path / "cells.zarr")) is None
    (tmp_path / "settings.json").write_text(json.dumps({"format": "other"}))
    assert get_reader(str(tmp_path / "settings.json")) is None
    document = polygons_document(np.ones((1, 2, 6, 5), np.uint8), (0,), PRESETS["acdc"], OBLIQUE, "c")
    (tmp_path / "c.json").write_text(json.dumps(document))
    assert get_reader(str(tmp_path / "c.json")) is not None


def test_models_and_data_sets_go_to_their_dialogs_where_a_study_is_open(window, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(window.widget.models.import_model, "ask", asked.append)
    monkeypatch.setattr(window.widget, "ask_import", asked.append)
    (tmp_path / "model").mkdir()
    for name in ("card.json", "weights.safetensors"):
        (tmp_path / "model" / name).write_text("{}")
    folder = tmp_path / "acdc" / "patient001"
    folder.mkdir(parents=True)
    (folder / "patient001_4d.nii.gz").touch()
    for path in (tmp_path / "model", tmp_path / "acdc"):
        assert window.viewer.open(str(path), plugin=PLUGIN) == []
    from gui_driver import wait

    wait(lambda: len(asked) == 2)
    assert asked == [tmp_path / "model", [tmp_path / "acdc"]]


def test_labels_of_the_workspace_are_saved_on_the_grid_of_the_case_with_its_structures(window, tmp_path):
    labels = window.widget.canvas.labels
    study: Study = window.study
    window.viewer.layers.selection = {labels}
    window.viewer.layers.save(str(tmp_path / "out.json"), selected=True, plugin=PLUGIN)
    found = read_polygons(tmp_path / "out.json")
    assert study.image_geometry("case0").differs(found.geometry) is None
    assert found.scheme.names == study.label_scheme.names
    np.testing.assert_array_equal(found.labels, labels.data)


def test_studies_and_models_are_not_dropped_into_the_import(tmp_path, review_study):
    (tmp_path / "model").mkdir()
    for name in ("card.json", "weights.safetensors"):
        (tmp_path / "model" / name).write_text("{}")
    (tmp_path / "pictures").mkdir()
    assert droppable([tmp_path / "pictures"]) and droppable([tmp_path / "pictures", tmp_path])
    assert not droppable([tmp_path / "model"]) and not droppable([review_study.folder])
    assert get_reader(str(tmp_path / "model")) and get_reader(str(review_study.folder))
