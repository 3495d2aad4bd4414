"""What fuzzing has found, once each."""

from __future__ import annotations

import json

import pytest

from napari_ssl.errors import CheckpointError, EngineError, ImageError, LabelError, SpecError, StudyError
from napari_ssl.io.documents import read_document
from napari_ssl.io.layouts import scan
from napari_ssl.jobs import place
from napari_ssl.jobs.connection import ENGINE_FOLDER_VARIABLE, read_credentials
from napari_ssl.jobs.events import EventReader
from napari_ssl.jobs.spec import read_spec
from napari_ssl.study import EditJournal
from napari_ssl.study.settings import read_settings

DEEP = "[" * 100_000
"""Nested deeper than Python follows."""


@pytest.fixture
def decathlon(tmp_path):
    """Make a data set whose dataset.json has other entries."""
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "imagesTr" / "a.nii.gz").touch()

    def make(**changes):
        document = {
            "modality": {"0": "MRI"}, "labels": {"0": "background", "1": "LV"}, "test": [],
            "training": [{"image": "./imagesTr/a.nii.gz"}], **changes,
        }  # fmt: skip
        (tmp_path / "dataset.json").write_text(json.dumps(document))
        return tmp_path

    return make


@pytest.mark.parametrize("name", ["imagesTr/" + "9" * 400, "imagesTr/a\0b", "imagesTr/" + "a/" * 3000])
def test_a_name_that_no_file_can_have_is_refused(decathlon, name):
    with pytest.raises(ImageError, match="no name of a file"):
        scan(decathlon(training=[{"image": name}]), "msd")


@pytest.mark.parametrize("number", ["0[", "-1", "9" * 5000, "x", "²", ""])
def test_a_channel_with_an_odd_number_is_refused(decathlon, number):
    with pytest.raises(ImageError, match="numbered from 0"):
        scan(decathlon(modality={number: "MRI"}), "msd")


def test_an_infinite_label_is_refused(tmp_path):
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "imagesTr" / "a_0000.nii.gz").touch()
    text = '{"channel_names": {"0": "MRI"}, "labels": {"background": 0, "LV": 1e999}, "file_ending": ".nii.gz"}'
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(LabelError, match="whole number"):
        scan(tmp_path, "nnunet")


def test_documents_that_are_nested_too_deep_are_refused_in_words(tmp_path, monkeypatch):
    (tmp_path / "study.toml").write_text("x = " + DEEP)
    with pytest.raises(StudyError, match="cannot be read"):
        read_settings(tmp_path)
    (tmp_path / "spec.json").write_text(DEEP)
    with pytest.raises(SpecError, match="cannot be read"):
        read_spec(tmp_path)
    assert read_document(tmp_path / "spec.json") is None
    (tmp_path / "events.jsonl").write_text(DEEP + "\n")
    assert EventReader(tmp_path).read_new() == []
    monkeypatch.setenv(ENGINE_FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "place.json").write_text(DEEP)
    with pytest.raises(EngineError, match="damaged"):
        place.place_in_use()
    (tmp_path / "engine.json").write_text(DEEP)
    assert read_credentials(tmp_path) is None


def test_a_journal_that_is_nested_too_deep_is_refused_in_words(tmp_path):
    import numpy as np

    journal = EditJournal(tmp_path, "p0", "0", "Ada")
    labels = np.zeros((1, 1, 2, 2), np.uint8)
    journal.append(0, [0], labels[0].reshape(-1)[:1], np.ones(1, np.uint8))
    journal._file.path.write_text(DEEP + "\n")
    with pytest.raises(StudyError, match="cannot be read"):
        journal.replay(labels)


@pytest.mark.parametrize("content", [b"q\0", b"\x86", b"\x85", b"Q", b"a", b"0", b"u", b"\x80\x02]q\0R."])
def test_a_pickle_that_makes_the_reader_stumble_is_refused_in_words(tmp_path, content):
    pytest.importorskip("torch")
    import hashlib

    from napari_ssl.networks.foreign_weights import read_foreign_weights
    from napari_ssl.training.checkpoints import read_checkpoint

    with pytest.raises(CheckpointError, match=r"weights\.pt holds no plain tensors"):
        read_foreign_weights(content, "weights.pt", "here")
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content + hashlib.sha256(content).digest())
    with pytest.raises(CheckpointError, match="cannot read the checkpoint"):
        read_checkpoint(path)


def test_contours_without_a_case_or_with_an_infinite_value_are_refused_in_words(tmp_path):
    from fuzz_targets import TARGETS

    (target,) = (t for t in TARGETS if t.name == "polygons")
    path = target.prepare(tmp_path)
    whole = path.read_text()
    for change in (('"case"', '"cas"'), ('"value": 1', '"value": 1e999'), ('"frames": [0]', '"frames": [1e999]')):
        assert change[0] in whole
        path.write_text(whole.replace(*change))
        with pytest.raises(LabelError, match="lacks or misstates"):
            target.read(path)
