"""Importers against damaged bytes: no crash, no hang, and every rejection is an error that a user can read."""

from __future__ import annotations

import json
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from dicom_files import cine, enhanced, phantom, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_ssl.errors import NapariSslError
from napari_ssl.io.bundles import read_bundle
from napari_ssl.io.contours.cvi42 import read_cvi42
from napari_ssl.io.contours.sunnybrook import read_contour
from napari_ssl.io.dicom.facts import FileFacts, Skipped
from napari_ssl.io.dicom.headers import read_facts
from napari_ssl.io.geometry import Geometry
from napari_ssl.io.images import read_image, write_volume
from napari_ssl.io.layouts import ScanOptions, scan

FUZZ = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

changes = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=6), st.integers(0, 12)), min_size=1, max_size=6
)


def damaged(content: bytes, edits: list[tuple[float, bytes, int]]) -> bytes:
    """Put bytes in the place of others, at fractions of the length; what is put there may be shorter: truncation."""
    data = bytearray(content)
    for place, new, length in edits:
        start = int(place * len(data))
        data[start : start + length] = new
    return bytes(data)


@pytest.fixture
def folder(tmp_path):
    return save(tmp_path / "in", cine())


@FUZZ
@given(edits=changes)
def test_a_damaged_dicom_header_is_facts_or_skipped(folder, edits):
    path = folder.parent / "one.dcm"
    path.write_bytes(damaged((folder / "0001.dcm").read_bytes(), edits))
    facts = read_facts(path)
    assert isinstance(facts, FileFacts | Skipped)
    assert isinstance(facts, Skipped) or facts.pictures or facts.faults


@settings(FUZZ, max_examples=20)
@given(edits=changes)
def test_a_series_with_a_damaged_file_is_whole_or_refused(folder, edits):
    """Where it is taken all the same, the other files' pixels are as they were."""
    whole = (folder / "0001.dcm").read_bytes()
    try:
        (folder / "0001.dcm").write_bytes(damaged(whole, edits))
        with suppress(NapariSslError):
            for item in scan(folder, "dicom", ScanOptions()):
                converted = item.conversion.convert()
                if converted.data.shape == (2, 3, 4, 5):
                    assert (converted.data == phantom()).sum() >= 100
    finally:
        (folder / "0001.dcm").write_bytes(whole)


@settings(FUZZ, max_examples=20)
@given(edits=changes)
def test_a_damaged_enhanced_file_is_read_or_refused(tmp_path, edits):
    path = tmp_path / "in" / "one.dcm"
    path.parent.mkdir(exist_ok=True)
    if not (tmp_path / "whole").exists():
        enhanced(cine()).save_as(tmp_path / "whole")
    path.write_bytes(damaged((tmp_path / "whole").read_bytes(), edits))
    with suppress(NapariSslError):
        for item in scan(path.parent, "dicom", ScanOptions()):
            item.conversion.convert()


@FUZZ
@given(edits=changes, packed=st.booleans())
def test_a_damaged_nifti_file_is_read_or_refused(tmp_path, edits, packed):
    name = "image.nii.gz" if packed else "image.nii"
    if not (tmp_path / f"whole_{name}").exists():
        geometry = Geometry(size_xyz=(5, 4, 3), spacing_xyz=(1, 1, 1), is_4d=True)
        write_volume(tmp_path / f"whole_{name}", phantom(), geometry)
    (tmp_path / name).write_bytes(damaged((tmp_path / f"whole_{name}").read_bytes(), edits))
    with suppress(NapariSslError):
        assert read_image(tmp_path / name).data.ndim == 4


WORKSPACE = b"""<?xml version="1.0"?><W xmlns:Hash="h" xmlns:List="l" xmlns:Point="p"><Hash:item Hash:key="ImageStates">
<Hash:item Hash:key="1.2.3"><Hash:item Hash:key="Contours"><Hash:item Hash:key="saendocardialContour">
<Hash:item Hash:key="Points"><List:item><Point:x>1</Point:x><Point:y>1</Point:y></List:item>
<List:item><Point:x>9</Point:x><Point:y>1</Point:y></List:item><List:item><Point:x>9</Point:x><Point:y>9</Point:y></List:item></Hash:item>
<Hash:item Hash:key="SubpixelResolution">2</Hash:item></Hash:item></Hash:item></Hash:item></Hash:item></W>"""


@FUZZ
@given(edits=changes)
def test_a_damaged_workspace_is_read_or_refused(tmp_path, edits):
    path = tmp_path / "a.cvi42wsx"
    path.write_bytes(damaged(WORKSPACE, edits))
    with suppress(NapariSslError):
        for contours in read_cvi42(path).values():
            assert all(np.isfinite(c.points_xy).all() and len(c.points_xy) >= 3 for c in contours)


@FUZZ
@given(edits=changes)
def test_a_damaged_contour_is_read_or_refused(tmp_path, edits):
    path = tmp_path / "a.txt"
    path.write_bytes(damaged(b"1.5 2.5\n8.25 2.5\n8.25 9.75\n1.5 9.75\n", edits))
    with suppress(NapariSslError):
        assert np.isfinite(read_contour(path, "lv_endocardium").points_xy).all()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(FUZZ, max_examples=25)
@given(
    document=st.dictionaries(
        st.sampled_from(["channel_names", "labels", "file_ending", "modality", "training", "test"]), json_values
    ),
    layout=st.sampled_from(["nnunet", "msd", "auto"]),
)
def test_any_dataset_json_is_read_or_refused(tmp_path, document, layout):
    (tmp_path / "imagesTr").mkdir(exist_ok=True)
    (tmp_path / "imagesTr" / "a_0000.nii.gz").touch()
    (tmp_path / "dataset.json").write_text(json.dumps(document))
    with suppress(NapariSslError):
        scan(tmp_path, layout, ScanOptions())


@FUZZ
@given(edits=changes)
def test_a_damaged_bundle_is_described_or_refused(tmp_path, edits):
    whole = tmp_path / "whole.zip"
    if not whole.exists():
        network = {"_target_": "UNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 2, "channels": [2, 4]}
        config = json.dumps({"network_def": {**network, "strides": [2], "num_res_units": 1}})
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("configs/inference.json", config)
            archive.writestr("models/model.safetensors", b"0123")
    path = tmp_path / "bundle.zip"
    path.write_bytes(damaged(whole.read_bytes(), edits))
    with suppress(NapariSslError):
        assert read_bundle(path).network == "res-unet"


@pytest.mark.parametrize("layout", ["acdc", "mnms", "bids"])
@settings(FUZZ, max_examples=15)
@given(content=st.binary(max_size=80))
def test_any_table_beside_the_images_is_read_or_refused(tmp_path, layout, content):
    files = {
        "acdc": ("p1/p1_4d.nii.gz", "cases.csv"),
        "mnms": ("A1/A1_sa.nii.gz", "x_Dataset_information.csv"),
        "bids": ("sub-1/anat/sub-1_cine.nii.gz", "participants.tsv"),
    }
    image, table = (tmp_path / Path(name) for name in files[layout])
    image.parent.mkdir(parents=True, exist_ok=True)
    image.touch()
    table.write_bytes(b"External code\tED\n" * (layout == "mnms") + content)
    with suppress(NapariSslError):
        scan(tmp_path, layout)
