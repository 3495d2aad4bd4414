"""Training slices in memory, and the order in which entries are shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.errors import SpecError
from napari_ssl.inference.preprocess import centre_crop, network_size_zyx, resample_labels, resample_volume
from napari_ssl.training.store import Batch, FrameStore, Store, floor_of
from napari_ssl.training.volume_store import VolumeStore

__all__ = ["Batch", "SliceOrder", "SliceStore", "Store", "VolumeStore", "entries_per_frame", "make_store"]


def make_store(preprocessing: Preprocessing, n_classes: int) -> SliceStore | VolumeStore:
    """Return an empty training set of what the preprocessing's networks see: slices or volumes."""
    return (SliceStore if preprocessing.dimensions == 2 else VolumeStore)(preprocessing, n_classes)


def entries_per_frame(shape_zyx: Sequence[int], spacing_zyx_mm: Sequence[float], preprocessing: Preprocessing) -> int:
    """Number of entries that one frame makes in a store: its slices, or one volume."""
    return network_size_zyx(shape_zyx, spacing_zyx_mm, preprocessing)[0] if preprocessing.dimensions == 2 else 1


class SliceStore(FrameStore):
    """Slices as half-precision images and 8-bit class maps, all of one size.

    Every slice of a chosen frame is kept, also those without any structure: the network has to know them. Slices are
    cut or padded to the preprocessing's `crop_yx` around the image's centre.

    Parameters
    ----------
    preprocessing : Preprocessing
    n_classes : int
        Classes, background included.
    """

    def __init__(self, preprocessing: Preprocessing, n_classes: int) -> None:
        super().__init__(preprocessing, n_classes)
        self._parts: dict[str, list[Tensor]] = {"images": [], "classes": [], "weights": [], "soft": []}
        self._size = 0

    def _add_frame(
        self,
        image_zyx: Tensor,
        classes_zyx: Tensor,
        soft_kzyx: Tensor | None,
        weight: float,
        spacing_zyx_mm: tuple[float, float, float],
    ) -> None:
        size = network_size_zyx(image_zyx.shape, spacing_zyx_mm, self.preprocessing)
        crop = self.preprocessing.crop_yx
        images = centre_crop(resample_volume(image_zyx[None, None], size)[0, 0], crop, floor_of(image_zyx))
        self._parts["images"].append(images.to(torch.float16))
        self._parts["classes"].append(centre_crop(resample_labels(classes_zyx[None], size)[0], crop))
        self._parts["weights"].append(torch.full((size[0],), float(weight)))
        if soft_kzyx is not None:
            soft = resample_volume(soft_kzyx[None].float().div_(255), size)[0].transpose(0, 1)
            soft[:, 0] += 1 - soft.sum(dim=1)  # rounding to 8 bits
            soft = centre_crop(soft, crop)
            soft[:, 0] += 1 - soft.sum(dim=1)  # what lies outside the image is background
            self._parts["soft"].append(soft.to(torch.float16))
        self._size += size[0]

    def __len__(self) -> int:
        """Return the number of slices."""
        return self._size

    def _joined(self, name: str) -> Tensor:
        parts = self._parts[name]
        if not parts:
            raise SpecError("the training set holds no slice; add cases with labels")
        if len(parts) > 1:
            parts[:] = [torch.cat(parts)]
        return parts[0]

    @property
    def images(self) -> Tensor:
        """Images ``(N, Y, X)`` float16."""
        return self._joined("images")

    @property
    def classes(self) -> Tensor:
        """Class indices ``(N, Y, X)`` uint8."""
        return self._joined("classes")

    @property
    def weights(self) -> Tensor:
        """Weights ``(N,)`` float32."""
        return self._joined("weights")

    def batch(self, indices: Tensor, generator: torch.Generator | None = None) -> Batch:
        """Return the slices at `indices` ``(B,)``; whole slices need no random cut, so the generator is not asked."""
        del generator
        return Batch(
            images=self.images[indices].to(torch.float32)[:, None],
            classes=self.classes[indices],
            weights=self.weights[indices],
            soft=self._joined("soft")[indices].float() if self.is_soft else None,
        )

    def whole(self, n: int) -> Iterator[Batch]:
        """Yield all slices in order, `n` at a time."""
        for indices in torch.arange(len(self)).split(n):
            yield self.batch(indices)

    def digest(self) -> str:
        """SHA-256 over all slices and weights; tells whether a checkpoint belongs to this training set."""
        digest = hashlib.sha256()
        for tensor in (self.images, self.classes, self.weights, *([self._joined("soft")] if self.is_soft else [])):
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()


class SliceOrder:
    """Endless shuffled epochs; every batch is full, a new epoch fills up what the last one leaves.

    Slices of weight 0 are left out: they would change nothing but the batch statistics.

    Parameters
    ----------
    weights : Tensor (N,)
    seed : int

    Raises
    ------
    SpecError
        No slice has a positive weight.
    """

    def __init__(self, weights: Tensor, seed: int) -> None:
        self._candidates = torch.nonzero(weights > 0)[:, 0]
        if len(self._candidates) == 0:
            raise SpecError("no training slice has a weight above 0; add labelled cases or raise their weight")
        self._generator = torch.Generator().manual_seed(seed)
        self._permutation = self._shuffled()
        self._position = 0
        self.epoch = 1

    def _shuffled(self) -> Tensor:
        return self._candidates[torch.randperm(len(self._candidates), generator=self._generator)]

    def next(self, n: int) -> Tensor:
        """Return the next `n` indices."""
        parts = []
        while n > 0:
            if self._position == len(self._permutation):
                self._permutation, self._position = self._shuffled(), 0
                self.epoch += 1
            part = self._permutation[self._position : self._position + n]
            self._position += len(part)
            n -= len(part)
            parts.append(part)
        return torch.cat(parts)

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and numbers that `load_state_dict` continues from exactly."""
        return {
            "generator": self._generator.get_state(),
            "permutation": self._permutation,
            "position": self._position,
            "epoch": self.epoch,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self._generator.set_state(state["generator"])
        self._permutation = state["permutation"]
        self._position = int(state["position"])
        self.epoch = int(state["epoch"])
