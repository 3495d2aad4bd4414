"""Network weights Θ that a run goes by, and ensembles of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from napari_ssl.errors import CheckpointError
from napari_ssl.io.images import hash_file
from napari_ssl.networks import load_weights

__all__ = ["Ensemble", "Theta"]


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

    def extra(self, name: str) -> Path:
        """Where the fit that gave Θ left the weights of another network that it trained, such as a discriminator."""
        return self.path.with_name(f"{name}.safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """Several Θ that vote softly: the mean of their softmax maps."""

    members: tuple[Theta, ...]

    @property
    def hash(self) -> str:
        """SHA-256 over the members' hashes, in no order."""
        return hashlib.sha256("".join(sorted(m.hash for m in self.members)).encode()).hexdigest()
