"""Network weights Θ that a run goes by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from napari_ssl.errors import CheckpointError
from napari_ssl.io.images import hash_file
from napari_ssl.networks import load_weights

__all__ = ["Theta"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Theta:
    """Network weights Θ on disk; `hash` is the SHA-256 of the file."""

    path: Path
    hash: str

    def weights(self) -> dict[str, Tensor]:
        """Read them; CheckpointError when the file is damaged or holds other weights than the run goes by."""
        state, _ = load_weights(self.path)
        if hash_file(self.path) != self.hash:
            raise CheckpointError(f"{self.path}: not the weights that this run goes by; restore the file")
        return state
