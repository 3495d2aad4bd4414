"""Training slices in memory, and the order in which they are shown."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.training import Preprocessing, TrainingItem
from napari_ssl.errors import LabelError, SpecError
from napari_ssl.inference.preprocess import centre_crop, network_size_yx, normalise, resample, resample_labels
from napari_ssl.io.images import read_image
from napari_ssl.training.item_labels import read_item_labels, read_soft_labels

__all__ = ["Batch", "SliceOrder", "SliceSource", "SliceStore", "Store"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Slices or patches that go through the network together.

    Parameters
    ----------
    images : Tensor (B, 1, [Z,] Y, X) float32
        Normalised intensities.
    classes : Tensor (B, [Z,] Y, X) uint8
        Class indices, 0 is background; zeros where nothing is labelled.
    weights : Tensor (B,) float32
        Weight of each slice's loss.
    soft : Tensor (B, K, [Z,] Y, X) float32, optional
        Class probabilities that stand for the classes.
    """

    images: Tensor
    classes: Tensor
    weights: Tensor
    soft: Tensor | None = None

    @property
    def target(self) -> Tensor:
        """What to learn: probabilities where there are such, else class indices."""
        return self.classes if self.soft is None else self.soft

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        return self._each(lambda tensor: tensor.to(device))

    def split(self, n_parts: int) -> list[Batch]:
        """Cut the batch into parts of nearly equal size; with fewer samples than parts the last ones are empty."""
        if n_parts == 1:
            return [self]
        return [self.take(cut) for cut in torch.arange(len(self.weights)).tensor_split(n_parts)]

    def take(self, indices: Tensor) -> Batch:
        """Return the samples at `indices`."""
        return self._each(lambda tensor: tensor[indices.to(tensor.device)])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(
            images=change(self.images),
            classes=change(self.classes),
            weights=change(self.weights),
            soft=None if self.soft is None else change(self.soft),
        )


class Store(Protocol):
    """Where training draws from: slices (`SliceStore`) or patches of volumes."""

    n_classes: int

    def __len__(self) -> int:
        """Return the number of slices or volumes."""
        ...

    @property
    def weights(self) -> Tensor:
        """Weights ``(N,)`` float32 of the entries' losses."""
        ...

    @property
    def n_weighted(self) -> int:
        """Number of entries of weight above 0; an epoch is one pass over these."""
        ...

    def batch(self, indices: Tensor, generator: torch.Generator | None = None) -> Batch:
        """Return the entries at `indices` ``(B,)``; `generator` decides where patches are cut."""
        ...

    def digest(self) -> str:
        """SHA-256 over all that training could see."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceSource:
    """Where a run of slices in the store came from: one frame of one case."""

    case_id: str
    subject_id: str
    frame: int
    start: int
    stop: int


class SliceStore:
    """Slices as half-precision images and 8-bit class maps, all of one size.

    Every slice of a chosen frame is kept, also those without any structure: the network has to know them.

    Parameters
    ----------
    preprocessing : Preprocessing
        Slices are resampled to its pixel spacing and cut or zero-padded to its `crop_yx` around the image's centre.
    n_classes : int
        Classes, background included.
    """

    def __init__(self, preprocessing: Preprocessing, n_classes: int) -> None:
        self.preprocessing = preprocessing
        self.n_classes = n_classes
        self.sources: list[SliceSource] = []
        self._parts: dict[str, list[Tensor]] = {"images": [], "classes": [], "weights": []}
        self._soft: list[Tensor] | None = None
        self._size = 0

    @classmethod
    def from_items(
        cls, items: Iterable[TrainingItem], *, preprocessing: Preprocessing, scheme: LabelScheme
    ) -> SliceStore:
        """Read images and labels of items that have labels.

        Raises
        ------
        ImageError, LabelError
            A file that cannot be read or does not fit.
        SpecError
            An item without labels.
        """
        store = cls(preprocessing, scheme.n_classes)
        for item in items:
            store.add_item(item, scheme)
        return store

    def add_item(self, item: TrainingItem, scheme: LabelScheme) -> None:
        """Read one labelled item from its files and add it."""
        if item.label_path is None:
            raise SpecError(f"case {item.case_id}: has no labels to learn from; add it with pseudo-labels instead")
        image = read_image(Path(item.image_path)).data
        labels = read_item_labels(item, scheme, image.shape)
        self._add_soft(item, image.shape)
        self.add(
            item.case_id,
            normalise(image, self.preprocessing),
            scheme.to_classes(labels),
            item.frames,
            item.weight,
            subject_id=item.subject_id,
            spacing_zyx_mm=item.spacing_zyx_mm,
        )

    def add_unlabelled_item(self, item: TrainingItem) -> None:
        """Read the image of an item and add its frames with background for labels."""
        image = read_image(Path(item.image_path)).data
        self.add(
            item.case_id,
            normalise(image, self.preprocessing),
            np.zeros(image.shape, np.uint8),
            item.frames,
            item.weight,
            subject_id=item.subject_id,
            spacing_zyx_mm=item.spacing_zyx_mm,
        )

    def _add_soft(self, item: TrainingItem, shape_tzyx: tuple[int, ...]) -> None:
        """Read an item's class probabilities, if it has such; all items have them or none."""
        if (item.soft_path is not None) != (self._soft is not None) and self.sources:
            raise SpecError(f"case {item.case_id}: soft and hard labels cannot share one training set")
        if item.soft_path is None:
            return
        probabilities = torch.from_numpy(read_soft_labels(item, shape_tzyx, self.n_classes))  # (F, K, Z, Y, X) uint8
        slices = probabilities.transpose(1, 2).flatten(0, 1).float().div_(255)
        size = network_size_yx(shape_tzyx[2:], item.spacing_zyx_mm, self.preprocessing)
        slices = resample(slices, size)
        slices[:, 0] += 1 - slices.sum(dim=1)  # rounding to 8 bits
        cut = centre_crop(slices, self.preprocessing.crop_yx)
        cut[:, 0] += 1 - cut.sum(dim=1)  # what lies outside the image is background
        self._soft = [*(self._soft or []), cut.to(torch.float16)]

    def _soft_at(self, indices: Tensor) -> Tensor:
        if self._soft is None:
            raise SpecError("the training set holds no soft labels")
        if len(self._soft) > 1:
            self._soft = [torch.cat(self._soft)]
        return self._soft[0][indices].float()

    def add(
        self,
        case_id: str,
        image: NDArray[np.floating],
        classes: NDArray[np.uint8],
        frames: Sequence[int] | None = None,
        weight: float = 1.0,
        *,
        subject_id: str | None = None,
        spacing_zyx_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        """Add frames of one case from memory.

        Parameters
        ----------
        case_id : str
        image : array (T, Z, Y, X) floating
            Normalised to [0, 1] (`napari_ssl.inference.preprocess.normalise`), on its own grid.
        classes : array (T, Z, Y, X) uint8
            Class indices (not label values), on the same grid.
        frames : sequence of int, optional
            Frames to keep; all by default.
        weight : float
            Weight of the loss of these slices.
        subject_id : str, optional
            By default the case is its own subject.
        spacing_zyx_mm : tuple of three floats
            Only looked at when the study resamples to a pixel spacing.

        Raises
        ------
        LabelError
            Shapes that differ, a class index beyond the scheme, or a frame that is not there.
        """
        if image.ndim != 4 or image.shape != classes.shape:
            raise LabelError(
                f"case {case_id}: image {image.shape} and labels {classes.shape} must both be (T, Z, Y, X)"
            )
        for frame in range(image.shape[0]) if frames is None else frames:
            if not 0 <= frame < image.shape[0]:
                raise LabelError(
                    f"case {case_id}: frame {frame} is not in the image, which has {image.shape[0]} frames"
                )
            highest = int(classes[frame].max(initial=0))
            if highest >= self.n_classes:
                raise LabelError(
                    f"case {case_id}, frame {frame}: class index {highest}, the label scheme has {self.n_classes} "
                    "classes; map label values with LabelScheme.to_classes first"
                )
            self._add_frame(case_id, subject_id or case_id, frame, image[frame], classes[frame], weight, spacing_zyx_mm)

    def _add_frame(
        self,
        case_id: str,
        subject_id: str,
        frame: int,
        image_zyx: NDArray[np.floating],
        classes_zyx: NDArray[np.uint8],
        weight: float,
        spacing_zyx_mm: tuple[float, float, float],
    ) -> None:
        size = network_size_yx(image_zyx.shape[1:], spacing_zyx_mm, self.preprocessing)
        crop = self.preprocessing.crop_yx
        slices = torch.from_numpy(np.array(image_zyx, np.float32))[:, None]
        labels = torch.from_numpy(np.array(classes_zyx, np.uint8))
        n = len(labels)
        self._parts["images"].append(centre_crop(resample(slices, size)[:, 0], crop).to(torch.float16))
        self._parts["classes"].append(centre_crop(resample_labels(labels, size), crop))
        self._parts["weights"].append(torch.full((n,), float(weight)))
        source = SliceSource(
            case_id=case_id, subject_id=subject_id, frame=int(frame), start=self._size, stop=self._size + n
        )
        self.sources.append(source)
        self._size += n

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
            soft=None if self._soft is None else self._soft_at(indices),
        )

    def digest(self) -> str:
        """SHA-256 over all slices and weights; tells whether a checkpoint belongs to this training set."""
        digest = hashlib.sha256()
        for tensor in (self.images, self.classes, self.weights, *(self._soft or ())):
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    @property
    def n_weighted(self) -> int:
        """Number of slices that count: weight above 0. An epoch is one pass over these."""
        return int((self.weights > 0).sum()) if self._size else 0


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
