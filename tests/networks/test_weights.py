from __future__ import annotations

import pytest
import torch

from napari_ssl.errors import CheckpointError, StorageError
from napari_ssl.networks import build_network, load_weights, save_weights
from napari_ssl.networks.weights import weights_digest


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network("res-unet", n_classes=3, parameters={"base_channels": 4, "levels": 3})


def test_weights_and_metadata_come_back_as_they_were(network, tmp_path):
    save_weights(network, tmp_path / "w.safetensors", {"classes": 3, "name": "Größe"})
    state, metadata = load_weights(tmp_path / "w.safetensors")
    assert metadata == {"classes": 3, "name": "Größe"}
    assert all(torch.equal(state[k], v) for k, v in network.state_dict().items())
    assert weights_digest(state) == weights_digest(network.state_dict())


def test_channels_last_weights_are_saved_alike(network, tmp_path):
    save_weights(network, tmp_path / "a.safetensors", {})
    save_weights(network.to(memory_format=torch.channels_last), tmp_path / "b.safetensors", {})
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "foreign"])
def test_damaged_weights_are_refused_by_name(network, tmp_path, damage):
    path = tmp_path / "w.safetensors"
    save_weights(network, path, {})
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        data = data[: len(data) // 2]
    elif damage == "empty":
        data = bytearray()
    elif damage == "flipped":
        data[-10] ^= 0xFF
    else:
        from safetensors.torch import save

        data = bytearray(save({"a": torch.zeros(2)}))
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match=r"w\.safetensors"):
        load_weights(path)


def test_absent_weights_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such weights file"):
        load_weights(tmp_path / "none.safetensors")


def test_a_failed_write_leaves_the_old_file(network, tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    save_weights(network, path, {"version": 1})
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StorageError, match="No space left"):
        save_weights(network, path, {"version": 2})
    assert load_weights(path)[1] == {"version": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
