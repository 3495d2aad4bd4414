from __future__ import annotations

import os

import pytest
import torch

from napari_ssl.errors import CheckpointError, StorageError
from napari_ssl.training.checkpoints import latest_checkpoint, read_checkpoint, write_checkpoint


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    state = {"a": torch.arange(5), "b": [1.5, None], "c": {"d": "e"}, "rng": torch.get_rng_state()}
    path = write_checkpoint(tmp_path / "new" / "folder", 7, state)
    back = read_checkpoint(path)
    assert torch.equal(back["a"], state["a"]) and torch.equal(back["rng"], state["rng"])
    assert back["b"] == state["b"] and back["c"] == state["c"]


def test_the_two_newest_are_kept(tmp_path):
    for n in (9, 10, 100, 1000):
        write_checkpoint(tmp_path, n, {"n": n})
    assert len(list(tmp_path.iterdir())) == 2
    assert latest_checkpoint(tmp_path) == {"n": 1000}


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_newest_falls_back_to_the_one_before(tmp_path, damage):
    write_checkpoint(tmp_path, 1, {"n": 1})
    newest = write_checkpoint(tmp_path, 2, {"n": 2})
    data = bytearray(newest.read_bytes())
    if damage == "truncated":
        data = data[:-100]
    elif damage == "flipped":
        data[len(data) // 2] ^= 1
    else:
        data = bytearray()
    newest.write_bytes(bytes(data))
    assert latest_checkpoint(tmp_path) == {"n": 1}


def test_nothing_there_is_none_and_nothing_readable_is_an_error(tmp_path):
    assert latest_checkpoint(tmp_path / "absent") is None
    assert latest_checkpoint(tmp_path) is None
    write_checkpoint(tmp_path, 1, {}).write_bytes(b"x" * 50)
    with pytest.raises(CheckpointError, match="no checkpoint can be read"):
        latest_checkpoint(tmp_path)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "evil"),)

    path = write_checkpoint(tmp_path, 1, {"x": Evil()})
    with pytest.raises(CheckpointError):
        read_checkpoint(path)
    assert not (tmp_path / "evil").exists()


def test_a_full_disk_leaves_the_older_ones(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, 1, {"n": 1})
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StorageError, match="No space left"):
        write_checkpoint(tmp_path, 2, {"n": 2})
    monkeypatch.undo()
    assert latest_checkpoint(tmp_path) == {"n": 1}
    assert len(list(tmp_path.iterdir())) == 1
