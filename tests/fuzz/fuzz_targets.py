"""Readers of files from elsewhere, each with a whole file to damage: whatever comes in, an error in words or an answer.

Used by `test_fuzz_importers` (hypothesis, some dozens each) and ``benchmarks/fuzz.py`` (100,000 and more).
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.io.geometry import Geometry

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "io"))

__all__ = ["TARGETS", "Target", "damaged"]


@dataclass(frozen=True)
class Target:
    """A file and who reads it.

    `prepare` makes all files in a folder and returns the one to damage; `read` reads them. `words` are worth trying in
    the place of some bytes.
    """

    name: str
    prepare: Callable[[Path], Path]
    read: Callable[[Path], object]
    words: tuple[bytes, ...] = (b"nan", b"-1", b"1e999", b"\0", b"{", b"\xff\xff\xff\xff", b"../x", b"999999999999")


def damaged(content: bytes, chance: random.Random, words: tuple[bytes, ...]) -> bytes:
    """Return the bytes with some cut out, doubled, changed or replaced by words."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        place, kind = chance.randrange(len(data) + 1), chance.randrange(6)
        if kind == 0 and data:
            data[place % len(data)] ^= 1 << chance.randrange(8)
        elif kind == 1 and data:
            data[place % len(data)] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        elif kind == 2:
            del data[place : place + chance.choice((1, 4, 64, 10**9))]
        elif kind == 3:
            data[place:place] = chance.choice(words)
        elif kind == 4:
            word = chance.choice(words)
            data[place : place + len(word)] = word
        else:
            data[place:place] = data[place : place + chance.randrange(1, 65)]
    return bytes(data)


def _voxels() -> np.ndarray:
    return np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 3, 4, 5)


def _nifti(name: str) -> Callable[[Path], Path]:
    def prepare(folder: Path) -> Path:
        from napari_ssl.io.images import write_volume

        write_volume(folder / name, _voxels(), Geometry(size_xyz=(5, 4, 3), spacing_xyz=(1, 1, 1), is_4d=True))
        return folder / name

    return prepare


def _read_image(path: Path) -> object:
    from napari_ssl.io.images import read_image

    return read_image(path).data


def _dicom(folder: Path) -> Path:
    from dicom_files import cine, save

    save(folder / "in", cine())
    return folder / "in" / "0001.dcm"


def _read_facts(path: Path) -> object:
    from napari_ssl.io.dicom.headers import read_facts

    return read_facts(path)


def _read_series(path: Path) -> object:
    from napari_ssl.io.layouts import ScanOptions, scan

    return [item.conversion.convert() for item in scan(path.parent, "dicom", ScanOptions())]


def _enhanced(folder: Path) -> Path:
    from dicom_files import cine, enhanced

    (folder / "in").mkdir()
    enhanced(cine()).save_as(folder / "in" / "one.dcm")
    return folder / "in" / "one.dcm"


def _layout(
    layout: str,
    image: str,
    table: str,
    content: bytes,
    words: tuple[bytes, ...] = (b",", b"\t", b"\n", b'"', b"-1", b"nan", b"../x", b"\0"),
) -> Target:
    def prepare(folder: Path) -> Path:
        for name in (image, table):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        (folder / table).write_bytes(content)
        return folder / table

    def read(path: Path) -> object:
        from napari_ssl.io.layouts import ScanOptions, scan

        return scan(path.parents[table.count("/")], layout, ScanOptions())

    return Target(f"{table.rpartition('/')[2]} of layout {layout}", prepare, read, words)


def _text(name: str, content: bytes) -> Callable[[Path], Path]:
    def prepare(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return prepare


def _settings(folder: Path) -> Path:
    from napari_ssl.study.settings import StudySettings, write_settings

    preprocessing = Preprocessing(crop_yx=(32, 32))
    write_settings(folder, StudySettings(name="s", label_scheme=PRESETS["acdc"], preprocessing=preprocessing))
    return folder / "study.toml"


def _read_settings(path: Path) -> object:
    from napari_ssl.study.settings import read_settings

    return read_settings(path.parent)


def _read_contour(path: Path) -> object:
    from napari_ssl.io.contours.sunnybrook import read_contour

    return read_contour(path, "lv_endocardium")


def _read_cvi42(path: Path) -> object:
    from napari_ssl.io.contours.cvi42 import read_cvi42

    return read_cvi42(path)


def _polygons(folder: Path) -> Path:
    from napari_ssl.io.contours.polygons import polygons_document

    labels = np.zeros((1, 2, 16, 16), np.uint8)
    labels[0, :, 4:9, 4:9] = 1
    geometry = Geometry(size_xyz=(16, 16, 2), spacing_xyz=(1, 1, 8), is_4d=True)
    document = polygons_document(labels, [0], PRESETS["acdc"], geometry, "a")
    (folder / "a.json").write_text(json.dumps(document))
    return folder / "a.json"


def _read_polygons(path: Path) -> object:
    from napari_ssl.io.contours.polygons import read_polygons

    return read_polygons(path)


def _journal(folder: Path) -> Path:
    from napari_ssl.io.images import hash_labels
    from napari_ssl.study import EditJournal

    base = np.zeros((2, 2, 4, 5), np.uint8)
    journal = EditJournal(folder, "p0", hash_labels(base), "Ada")
    for n in range(4):
        journal.append(n % 2, [n, n + 1], np.zeros(2, np.uint8), np.full(2, n % 3, np.uint8))
    journal.add_undo()
    (path,) = (folder / "journal").iterdir()
    return path


def _replay(path: Path) -> object:
    from napari_ssl.io.images import hash_labels
    from napari_ssl.study import EditJournal

    base = np.zeros((2, 2, 4, 5), np.uint8)
    return EditJournal(path.parent.parent, "p0", hash_labels(base), "Ada").replay(base)


def _weights(folder: Path) -> Path:
    import torch

    from napari_ssl.networks.weights import save_weights

    save_weights({"a.weight": torch.ones(2, 3), "b": torch.zeros(4)}, folder / "weights.safetensors", {"network": "n"})
    return folder / "weights.safetensors"


def _read_weights(path: Path) -> object:
    from napari_ssl.networks.weights import load_weights

    return load_weights(path)


def _read_foreign(path: Path) -> object:
    from napari_ssl.networks.foreign_weights import read_foreign_weights

    return read_foreign_weights(path.read_bytes(), path.name, "here")


def _pickled(folder: Path) -> Path:
    import torch

    torch.save({"a.weight": torch.ones(2, 3), "b": torch.zeros(4)}, folder / "weights.pt")
    return folder / "weights.pt"


def _card(folder: Path) -> Path:
    (folder / "weights.safetensors").write_bytes(b"0123")
    card = {
        "format": 1, "model_id": "m", "network": "res-unet", "network_parameters": {"base_channels": 2, "levels": 3},
        "preprocessing": asdict(Preprocessing(crop_yx=(32, 32))), "label_scheme": PRESETS["acdc"].to_dict(),
        "strategy": "supervised",
        "spec_hash": "0" * 64, "weights_hash": "0" * 64, "round": 1, "parents": [],
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card))
    return folder / "card.json"


def _read_card(path: Path) -> object:
    from napari_ssl.io.bundles import read_bundle

    return read_bundle(path.parent)


def _checkpoint(folder: Path) -> Path:
    import torch

    from napari_ssl.training.checkpoints import write_checkpoint

    path = write_checkpoint(folder, 3, {"iteration": 3, "state": {"w": torch.ones(3)}})
    path.write_bytes(path.read_bytes()[:-32])
    return path


def _read_checkpoint(path: Path) -> object:
    """With the right checksum: what somebody made on purpose."""
    import hashlib

    from napari_ssl.training.checkpoints import read_checkpoint

    content = path.read_bytes()
    signed = path.with_name("signed.pt")
    signed.write_bytes(content + hashlib.sha256(content).digest())
    return read_checkpoint(signed)


def _place(folder: Path) -> Path:
    pem = "-----BEGIN X-----"
    server = {"address": "tls://gpu.lab:8786", "ca_cert": pem, "client_cert": pem, "client_key": pem, "shared": None}
    (folder / "place.json").write_text(json.dumps({"kind": "servers", "servers": [server]}))
    return folder / "place.json"


def _read_place(path: Path) -> object:
    import os

    from napari_ssl.jobs.connection import ENGINE_FOLDER_VARIABLE
    from napari_ssl.jobs.place import place_in_use

    before = os.environ.get(ENGINE_FOLDER_VARIABLE)
    os.environ[ENGINE_FOLDER_VARIABLE] = str(path.parent)
    try:
        return place_in_use()
    finally:
        os.environ.pop(ENGINE_FOLDER_VARIABLE)
        if before is not None:
            os.environ[ENGINE_FOLDER_VARIABLE] = before


def _order(folder: Path) -> Path:
    from napari_ssl.core.training import PredictionSpec, Role, StartModel, TrainingItem

    item = TrainingItem(
        case_id="a", subject_id="a", image_path="/a.nii.gz", image_hash="0", spacing_zyx_mm=(1, 1, 1), frames=(0,),
        role=Role.UNLABELLED,
    )  # fmt: skip
    model = StartModel(
        model_id="m", weights_path="/w", weights_hash="0", network="res-unet", network_parameters={},
        preprocessing=Preprocessing(),
    )  # fmt: skip
    spec = PredictionSpec(model=model, label_scheme=PRESETS["acdc"], items=(item,))
    (folder / "spec.json").write_text(json.dumps(spec.to_dict()))
    return folder / "spec.json"


def _read_order(path: Path) -> object:
    from napari_ssl.jobs.spec import read_spec

    return read_spec(path.parent)


_WORKSPACE = b"""<?xml version="1.0"?><W xmlns:Hash="h" xmlns:List="l" xmlns:Point="p">
<Hash:item Hash:key="ImageStates">
<Hash:item Hash:key="1.2.3"><Hash:item Hash:key="Contours"><Hash:item Hash:key="saendocardialContour">
<Hash:item Hash:key="Points"><List:item><Point:x>1</Point:x><Point:y>1</Point:y></List:item>
<List:item><Point:x>9</Point:x><Point:y>1</Point:y></List:item><List:item><Point:x>9</Point:x><Point:y>9</Point:y></List:item></Hash:item>
<Hash:item Hash:key="SubpixelResolution">2</Hash:item></Hash:item></Hash:item></Hash:item></Hash:item></W>"""
_NNUNET = {
    "channel_names": {"0": "MRI"}, "labels": {"background": 0, "LV": 1, "RV": 2}, "numTraining": 1,
    "file_ending": ".nii.gz",
}  # fmt: skip
_DECATHLON = {
    "name": "heart", "modality": {"0": "MRI"}, "labels": {"0": "background", "1": "LV"}, "numTraining": 1,
    "training": [{"image": "./imagesTr/a_0000.nii.gz", "label": "./imagesTr/a_0000.nii.gz"}], "test": [],
}  # fmt: skip

_JSON_WORDS = (
    b"null",
    b"-1",
    b"1e999",
    b"{}",
    b"[]",
    b'"',
    b"true",
    b"NaN",
    b"\xff",
    b"\\u0000",
    b"../x",
    b"9" * 400,
    b"[" * 3000,
)
_XML_WORDS = (b"<a>", b"</W>", b"&lt;", b"&x;", b"nan", b"1e999", b"<!DOCTYPE x [<!ENTITY x 'y'>]>", b"\0", b'"')

TARGETS = (
    Target("NIfTI", _nifti("image.nii"), _read_image),
    Target("NIfTI, packed", _nifti("image.nii.gz"), _read_image),
    Target("DICOM header", _dicom, _read_facts, (b"\xff\xff\xff\xff", b"\0\0", b"SQ", b"UN", b"OB", b"1e999", b"nan")),
    Target("DICOM series", _dicom, _read_series, (b"\xff\xff\xff\xff", b"\0\0", b"SQ", b"UN", b"-1", b"1e999", b"nan")),
    Target("enhanced DICOM", _enhanced, _read_series, (b"\xff\xff\xff\xff", b"\0\0", b"SQ", b"UN", b"1e999", b"nan")),
    _layout("acdc", "p1/p1_4d.nii.gz", "cases.csv", b"patient,group,ed,es\np1,DCM,1,12\n"),
    _layout("acdc", "p1/p1_4d.nii.gz", "p1/Info.cfg", b"ED: 1\nES: 12\nGroup: DCM\nHeight: 184.0\nNbFrame: 30\n"),
    _layout("mnms", "A1/A1_sa.nii.gz", "x_Dataset_information.csv", b"External code,ED,ES,Vendor\nA1,0,9,A\n"),
    _layout("bids", "sub-1/anat/sub-1_cine.nii.gz", "participants.tsv", b"participant_id\tage\tsex\nsub-1\t50\tF\n"),
    _layout("nnunet", "imagesTr/a_0000.nii.gz", "dataset.json", json.dumps(_NNUNET).encode(), _JSON_WORDS),
    _layout("msd", "imagesTr/a_0000.nii.gz", "dataset.json", json.dumps(_DECATHLON).encode(), _JSON_WORDS),
    Target(
        "study.toml",
        _settings,
        _read_settings,
        (b"[", b"]]", b"=", b'"""', b"nan", b"-1", b"\n", b"\xff", b"x=" + b"[" * 3000),
    ),
    Target("cvi42 workspace", _text("a.cvi42wsx", _WORKSPACE), _read_cvi42, _XML_WORDS),
    Target("Sunnybrook contour", _text("a.txt", b"1.5 2.5\n8.25 2.5\n8.25 9.75\n1.5 9.75\n"), _read_contour),
    Target("polygons", _polygons, _read_polygons, _JSON_WORDS),
    Target("journal of edits", _journal, _replay, _JSON_WORDS),
    Target("weights", _weights, _read_weights, _JSON_WORDS),
    Target("weights from elsewhere, safetensors", _weights, _read_foreign, _JSON_WORDS),
    Target(
        "weights from elsewhere, pickled", _pickled, _read_foreign, (b"cos\nsystem\n", b"\x80\x05", b"R.", b"PK\3\4")
    ),
    Target("model card", _card, _read_card, _JSON_WORDS),
    Target("checkpoint", _checkpoint, _read_checkpoint, (b"cos\nsystem\n", b"PK\3\4", b"\x80\x05")),
    Target("order", _order, _read_order, _JSON_WORDS),
    Target("place.json", _place, _read_place, _JSON_WORDS),
)
