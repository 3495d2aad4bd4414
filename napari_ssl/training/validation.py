"""Validation while training: loss, and Dice per structure by subject, on the cropped slices or on volumes.

Volumes are measured whole, by sliding windows that overlap by a quarter at most.

These are quick figures to watch a run by. What is reported about a model is measured on whole images by
`napari_ssl.measures`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_ssl.core.job import ShouldStop
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.inference.runner import Runner
from napari_ssl.inference.volumes import StoppedInside, slide
from napari_ssl.training.losses import Loss
from napari_ssl.training.store import Store, floor_of

__all__ = ["ValidationResult", "counts", "dice_by_subject", "validate"]

_OVERLAP = 0.25
_SMALLEST = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationResult:
    """`dice` maps a structure's name to its mean over subjects; NaN where no subject shows it."""

    dice: dict[str, float]
    loss: float

    @property
    def mean_dice(self) -> float:
        """Mean over the structures that were seen; 0 when none was."""
        seen = [d for d in self.dice.values() if not math.isnan(d)]
        return sum(seen) / len(seen) if seen else 0.0


def counts(predicted: Tensor, classes: Tensor, n_classes: int) -> Tensor:
    """Count pixels per slice (or volume) and structure: ``(B, [Z,] Y, X)`` twice → ``(B, 3, K − 1)`` int64.

    The three are: in both, in `predicted`, in `classes`; background is left out.
    """
    n = len(predicted)
    pair = predicted.reshape(n, -1).long() * n_classes + classes.reshape(n, -1).long()
    pair += torch.arange(n, device=pair.device)[:, None] * n_classes**2
    table = torch.bincount(pair.reshape(-1), minlength=n * n_classes**2).reshape(n, n_classes, n_classes)
    both = table.diagonal(dim1=1, dim2=2)
    return torch.stack([both, table.sum(dim=2), table.sum(dim=1)], dim=1)[:, :, 1:]


def dice_by_subject(store: Store, counted: Tensor) -> Tensor:
    """Mean Dice over subjects ``(K − 1,)`` from counts per slice ``(N, 3, K − 1)``.

    Dice of a frame is that of its volume; a subject's is the mean over its cases' frames. A structure that is absent
    from both prediction and reference of a frame leaves that frame out.
    """
    subjects: dict[str, list[Tensor]] = {}
    for source in store.sources:
        both, first, second = counted[source.start : source.stop].sum(dim=0).double()
        subjects.setdefault(source.subject_id, []).append(2 * both / (first + second))  # 0/0 is NaN
    return torch.stack([torch.stack(frames).nanmean(dim=0) for frames in subjects.values()]).nanmean(dim=0)


def validate(
    network: nn.Module,
    store: Store,
    *,
    loss: Loss,
    scheme: LabelScheme,
    device: torch.device,
    dtype: torch.dtype | None,
    batch_size: int,
    should_stop: ShouldStop,
) -> ValidationResult | None:
    """Measure the network on all slices or volumes of `store`; None when it was asked to stop before the end.

    The network is in evaluation mode inside and in its former mode afterwards.
    """
    was_training = network.training
    network.eval()
    counted, losses = [], 0.0
    try:
        with torch.inference_mode():
            for whole in store.whole(batch_size):
                if should_stop():
                    return None
                if whole.images.ndim == 5:
                    runner = Runner(network, device, batch_size)
                    batch, logits = whole, _of_volume(runner, whole.images, store, should_stop)
                else:
                    batch = whole.to(device)
                    images = batch.images.contiguous(memory_format=torch.channels_last)
                    with torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
                        logits = network(images)
                losses += float(loss(logits, batch.classes, torch.ones_like(batch.weights))) * len(batch.weights)
                counted.append(counts(logits.argmax(dim=1), batch.classes, store.n_classes).cpu())
    except StoppedInside:
        return None
    finally:
        network.train(was_training)
    dice = dice_by_subject(store, torch.cat(counted))
    return ValidationResult(dice=dict(zip(scheme.names, dice.tolist(), strict=True)), loss=losses / len(store))


def _of_volume(runner: Runner, volume: Tensor, store: Store, should_stop: ShouldStop) -> Tensor:
    """Logits ``(1, K, Z, Y, X)`` whose softmax is the blended one of the windows over a volume ``(1, 1, Z, Y, X)``."""
    probabilities = slide(
        runner,
        volume,
        store.preprocessing.patch_zyx,
        overlap=min(_OVERLAP, store.preprocessing.overlap),
        outside=floor_of(volume),
        should_stop=should_stop,
    )
    return probabilities.clamp_min(_SMALLEST).log()
