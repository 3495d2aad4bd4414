"""Weights on disk: safetensors with a JSON description inside, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from napari_ssl.errors import CheckpointError
from napari_ssl.io.atomic import write_bytes

__all__ = ["load_weights", "save_weights", "weights_digest"]

_KEY = "napari_ssl"


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_weights(module: nn.Module | Mapping[str, Tensor], path: Path | str, metadata: Mapping[str, Any]) -> None:
    """Save a module's state (or a state dict) with `metadata` (plain JSON types).

    Raises
    ------
    StorageError
        The file could not be written; a former one is intact.
    """
    state = module.state_dict() if isinstance(module, nn.Module) else module
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    description = json.dumps({"digest": weights_digest(plain), "metadata": dict(metadata)}, sort_keys=True)
    write_bytes(path, save(plain, metadata={_KEY: description}))


def load_weights(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state dict and the metadata that `save_weights` wrote; tensors lie on the CPU.

    Raises
    ------
    CheckpointError
        Absent, damaged, or written by another program.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such weights file; restore it from a backup or archive the model")
    remedy = "restore the file from a backup, or promote another model"
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            described = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged weights file ({error}); {remedy}") from error
    if _KEY not in described:
        raise CheckpointError(f"{path}: not a weights file of napari-ssl (no description inside); {remedy}")
    try:
        description = json.loads(described[_KEY])
        digest, metadata = description["digest"], description["metadata"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: damaged description ({error}); {remedy}") from error
    if weights_digest(state) != digest:
        raise CheckpointError(f"{path}: damaged weights file (the checksum differs); {remedy}")
    return state, metadata
