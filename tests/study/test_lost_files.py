"""Files of a study that somebody removed: told by name, and brought back by the same labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from study_factory import make_labels, make_model, propose

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import CheckpointError, StorageError
from napari_ssl.rounds.orders import start_model
from napari_ssl.study import Study
from napari_ssl.study import study as room


def test_importing_again_brings_lost_reference_labels_back(study: Study, items: list):
    kept = study.reference("p0")
    study.label_file(kept).unlink()
    assert study.add_cases(items).added == ("p0",)
    assert study.reference("p0") == kept
    np.testing.assert_array_equal(study.read_labels(kept), make_labels(0))


def test_proposing_again_brings_lost_labels_back(study: Study, tmp_path: Path):
    make_model(study, tmp_path / "m1")
    kept = propose(study, "p0", 1)
    study.label_file(kept).unlink()
    assert propose(study, "p0", 1) == kept
    assert study.label_file(kept).is_file()


@pytest.mark.parametrize("content", [None, "{garbled", "{}"])
def test_a_lost_or_damaged_card_is_named_with_its_model(study: Study, tmp_path: Path, content: str | None):
    make_model(study, tmp_path / "m1")
    study.promote("m1", by="anna")
    card = study.folder / "models" / "m1" / "card.json"
    card.unlink()
    if content is not None:
        card.write_text(content)
    with pytest.raises(CheckpointError, match=r"model m1: its card .*card\.json .*restore"):
        start_model(study)
    if content != "{}":
        assert any(f.path == str(card) and f.severity == "error" for f in study.check())


def test_a_study_that_could_not_be_made_leaves_room_for_the_next_attempt(tmp_path: Path, monkeypatch):
    def full(*_):
        raise StorageError("disk full")

    with monkeypatch.context() as patch, pytest.raises(StorageError):
        patch.setattr(room, "write_settings", full)
        Study.create(tmp_path / "new", label_scheme=PRESETS["acdc"])
    Study.create(tmp_path / "new", label_scheme=PRESETS["acdc"]).close()
