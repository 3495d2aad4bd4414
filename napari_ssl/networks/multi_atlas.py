"""A set of atlases in the place of a network: its weights are labelled images, and it labels whole volumes.

The state holds the images (half precision) and class labels (8 bits) of all atlases one after the other, their shapes
and spacings, and how they are registered and fused, as JSON; a state of any size can be loaded. Nothing is learnt and
nothing has a gradient. `inference.predict` calls `label_volume` where others are called with slices.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_ssl.atlas.registration import RegistrationSettings
from napari_ssl.atlas.segment import Atlas, FusionSettings, segment
from napari_ssl.atlas.volume import Volume
from napari_ssl.core.catalogue import NoParameters
from napari_ssl.errors import JobError

__all__ = ["MultiAtlas", "atlas_state", "build"]

_log = logging.getLogger(__name__)


def atlas_state(atlases: Sequence[Atlas], settings: FusionSettings) -> dict[str, Tensor]:
    """Return the state dict of a `MultiAtlas` with these atlases and settings."""
    text = json.dumps(dataclasses.asdict(settings), sort_keys=True).encode()
    images = [a.volume.data.astype(np.float16).ravel() for a in atlases]
    labels = [a.labels.astype(np.uint8).ravel() for a in atlases]
    return {
        "images": torch.from_numpy(np.concatenate(images)),
        "labels": torch.from_numpy(np.concatenate(labels)),
        "shapes_zyx": torch.tensor([a.volume.data.shape for a in atlases], dtype=torch.int64),
        "spacings_zyx_mm": torch.tensor([a.volume.spacing_zyx_mm for a in atlases], dtype=torch.float64),
        "settings": torch.from_numpy(np.frombuffer(text, np.uint8).copy()),
    }


class MultiAtlas(nn.Module):
    """Labels volumes by registering its atlases to them (`napari_ssl.atlas.segment`); empty until it is loaded."""

    images: Tensor
    labels: Tensor
    shapes_zyx: Tensor
    spacings_zyx_mm: Tensor
    settings: Tensor

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.register_buffer("images", torch.empty(0, dtype=torch.float16))
        self.register_buffer("labels", torch.empty(0, dtype=torch.uint8))
        self.register_buffer("shapes_zyx", torch.empty((0, 3), dtype=torch.int64))
        self.register_buffer("spacings_zyx_mm", torch.empty((0, 3), dtype=torch.float64))
        self.register_buffer("settings", torch.empty(0, dtype=torch.uint8))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        for name, buffer in list(self.named_buffers(recurse=False)):
            given = state_dict.get(prefix + name)
            if given is not None:  # how many atlases there are is known only now
                setattr(self, name, torch.empty(given.shape, dtype=buffer.dtype, device=buffer.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def atlases(self) -> list[Atlas]:
        """Unpack the atlases."""
        images, labels = self.images.cpu().numpy(), self.labels.cpu().numpy()
        found, start = [], 0
        for shape, spacing in zip(self.shapes_zyx.tolist(), self.spacings_zyx_mm.tolist(), strict=True):
            end = start + int(np.prod(shape))
            volume = Volume(data=images[start:end].reshape(shape).astype(np.float32), spacing_zyx_mm=tuple(spacing))
            found.append(Atlas(volume=volume, labels=labels[start:end].reshape(shape)))
            start = end
        return found

    def fusion_settings(self) -> FusionSettings:
        """Return how the atlases are used."""
        values = json.loads(self.settings.cpu().numpy().tobytes())
        registration = {k: tuple(v) if isinstance(v, list) else v for k, v in values.pop("registration").items()}
        return FusionSettings(registration=RegistrationSettings(**registration), **values)

    def label_volume(
        self, volume_zyx: NDArray[np.float32], spacing_zyx_mm: tuple[float, float, float]
    ) -> NDArray[np.float32]:
        """Return class probabilities ``(Z, K, Y, X)`` of a volume with intensities as in training.

        As many registrations run at a time as torch has threads; the result does not depend on it.

        Raises
        ------
        JobError
            There are no atlases, or none could be registered.
        """
        if not len(self.shapes_zyx):
            raise JobError("a set without atlases labels nothing; train multi-atlas on labelled cases first")
        probabilities = segment(
            Volume(data=volume_zyx, spacing_zyx_mm=spacing_zyx_mm),
            self.atlases(),
            self.n_classes,
            self.fusion_settings(),
            workers=torch.get_num_threads(),
            on_skipped=lambda index, reason: _log.warning("atlas %d is left out: %s", index, reason),
        )
        return np.ascontiguousarray(probabilities.transpose(1, 0, 2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Refuse slices and patches: registration needs volumes with their spacing."""
        raise JobError(
            f"a set of atlases labels whole volumes, not batches of shape {tuple(images.shape)}; use its strategy, "
            "multi-atlas, or choose another network"
        )


def build(*, in_channels: int, n_classes: int, parameters: NoParameters, dimensions: int = 2) -> MultiAtlas:
    """Build an empty set; whatever the number of dimensions, it is given whole volumes of one channel.

    Raises
    ------
    JobError
        More than one channel.
    """
    if in_channels != 1:
        raise JobError(f"atlases have one channel, not {in_channels}; choose another network")
    return MultiAtlas(n_classes)
