"""Weights that other programs wrote: tensors only, whatever the file claims to be."""

from __future__ import annotations

import io
from collections.abc import Mapping

import torch
from safetensors.torch import load
from torch import Tensor

from napari_ssl.errors import CheckpointError

__all__ = ["read_foreign_weights"]

_WRAPPERS = ("state_dict", "model", "model_state_dict", "net", "network")


def read_foreign_weights(content: bytes, name: str, where: str) -> dict[str, Tensor]:
    """Return the tensors of a ``.safetensors`` or ``.pt`` file.

    ``.pt`` files are read by ``torch.load(weights_only=True)``, which makes tensors and plain containers and runs
    nothing; TorchScript and whole pickled networks are refused.

    Raises
    ------
    CheckpointError
        Damaged, or holds something else than named tensors.
    """
    try:
        if name.endswith(".safetensors"):
            found = load(content)
        else:
            found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can make torch's reader raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise CheckpointError(
            f"{where}: {name} holds no plain tensors, or is damaged ({reason}); TorchScript and pickled networks are "
            "programs and never run; export a state dict, best as safetensors"
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not found or not all(isinstance(v, Tensor) for v in found.values()):
        raise CheckpointError(f"{where}: {name} holds something else than named tensors; export the state dict alone")
    return {str(k).removeprefix("module."): v for k, v in found.items()}
