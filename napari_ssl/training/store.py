"""What every training set in memory shares: batches, where entries came from, reading items from their files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.core.training import TrainingItem
from napari_ssl.errors import LabelError, SpecError
from napari_ssl.inference.intensity import normalise
from napari_ssl.io.images import read_image
from napari_ssl.training.item_labels import read_item_labels, read_soft_labels

__all__ = ["Batch", "FrameStore", "Source", "Store", "floor_of"]


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

    preprocessing: Preprocessing
    n_classes: int
    sources: list[Source]

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

    def whole(self, n: int) -> Iterator[Batch]:
        """Yield everything once and in order, for validation: `n` slices, or one volume, at a time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a run of entries in a store came from: one frame of one case."""

    case_id: str
    subject_id: str
    frame: int
    start: int
    stop: int


class FrameStore(ABC):
    """Frames of cases as half-precision images and 8-bit class maps; subclasses say how they are kept and drawn.

    Parameters
    ----------
    preprocessing : Preprocessing
        Frames are resampled to its spacings.
    n_classes : int
        Classes, background included.
    """

    def __init__(self, preprocessing: Preprocessing, n_classes: int) -> None:
        self.preprocessing = preprocessing
        self.n_classes = n_classes
        self.sources: list[Source] = []
        self.is_soft = False

    @classmethod
    def from_items(cls, items: Iterable[TrainingItem], *, preprocessing: Preprocessing, scheme: LabelScheme) -> Self:
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
        soft = None if item.soft_path is None else read_soft_labels(item, image.shape, self.n_classes)
        self.add(
            item.case_id,
            normalise(image, self.preprocessing),
            scheme.to_classes(labels),
            item.frames,
            item.weight,
            subject_id=item.subject_id,
            spacing_zyx_mm=item.spacing_zyx_mm,
            soft=soft,
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
        soft: NDArray[np.uint8] | None = None,
    ) -> None:
        """Add frames of one case from memory.

        Parameters
        ----------
        case_id : str
        image : array (T, Z, Y, X) floating
            Normalised (`napari_ssl.inference.intensity.normalise`), on its own grid.
        classes : array (T, Z, Y, X) uint8
            Class indices (not label values), on the same grid.
        frames : sequence of int, optional
            Frames to keep; all by default.
        weight : float
            Weight of the loss of these frames.
        subject_id : str, optional
            By default the case is its own subject.
        spacing_zyx_mm : tuple of three floats
            Only looked at when the preprocessing resamples.
        soft : array (F, K, Z, Y, X) uint8, optional
            Class probabilities of the kept frames, 255 = 1, that stand for the classes.

        Raises
        ------
        LabelError
            Shapes that differ, a class index beyond the scheme, or a frame that is not there.
        SpecError
            Soft labels beside hard ones.
        """
        if image.ndim != 4 or image.shape != classes.shape:
            raise LabelError(
                f"case {case_id}: image {image.shape} and labels {classes.shape} must both be (T, Z, Y, X)"
            )
        if self.sources and self.is_soft != (soft is not None):
            raise SpecError(f"case {case_id}: soft and hard labels cannot share one training set")
        self.is_soft = soft is not None
        for n, frame in enumerate(range(image.shape[0]) if frames is None else frames):
            self._check_frame(case_id, frame, classes)
            before = len(self)
            self._add_frame(
                torch.from_numpy(np.array(image[frame], np.float32)),
                torch.from_numpy(np.array(classes[frame], np.uint8)),
                None if soft is None else torch.from_numpy(soft[n]),
                weight,
                spacing_zyx_mm,
            )
            self.sources.append(
                Source(
                    case_id=case_id,
                    subject_id=subject_id or case_id,
                    frame=int(frame),
                    start=before,
                    stop=len(self),
                )
            )

    def _check_frame(self, case_id: str, frame: int, classes: NDArray[np.uint8]) -> None:
        if not 0 <= frame < classes.shape[0]:
            raise LabelError(f"case {case_id}: frame {frame} is not in the image, which has {classes.shape[0]} frames")
        highest = int(classes[frame].max(initial=0))
        if highest >= self.n_classes:
            raise LabelError(
                f"case {case_id}, frame {frame}: class index {highest}, the label scheme has {self.n_classes} "
                "classes; map label values with LabelScheme.to_classes first"
            )

    @abstractmethod
    def _add_frame(
        self,
        image_zyx: Tensor,
        classes_zyx: Tensor,
        soft_kzyx: Tensor | None,
        weight: float,
        spacing_zyx_mm: tuple[float, float, float],
    ) -> None:
        """Keep one frame: float32, uint8 and uint8."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of entries."""

    @property
    @abstractmethod
    def weights(self) -> Tensor:
        """Weights ``(N,)`` float32."""

    @property
    def n_weighted(self) -> int:
        """Number of entries that count: weight above 0. An epoch is one pass over these."""
        return int((self.weights > 0).sum()) if len(self) else 0


def floor_of(image: Tensor) -> float:
    """What lies outside an image: 0, its dark end, or its lowest value where that is below (z-scores)."""
    return min(0.0, float(image.min())) if image.numel() else 0.0
