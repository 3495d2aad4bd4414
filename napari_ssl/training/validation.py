"""Validation while training: loss, and Dice per structure by subject, on the cropped slices.

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
from napari_ssl.training.dataset import SliceStore
from napari_ssl.training.losses import Loss

__all__ = ["ValidationResult", "counts", "dice_by_subject", "validate"]


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
    """Count pixels per slice and structure: ``(B, Y, X)`` twice → ``(B, 3, K − 1)`` int64.

    The three are: in both, in `predicted`, in `classes`; background is left out.
    """
    n = len(predicted)
    pair = predicted.reshape(n, -1).long() * n_classes + classes.reshape(n, -1).long()
    pair += torch.arange(n, device=pair.device)[:, None] * n_classes**2
    table = torch.bincount(pair.reshape(-1), minlength=n * n_classes**2).reshape(n, n_classes, n_classes)
    both = table.diagonal(dim1=1, dim2=2)
    return torch.stack([both, table.sum(dim=2), table.sum(dim=1)], dim=1)[:, :, 1:]


def dice_by_subject(store: SliceStore, counted: Tensor) -> Tensor:
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
    store: SliceStore,
    *,
    loss: Loss,
    scheme: LabelScheme,
    device: torch.device,
    dtype: torch.dtype | None,
    batch_size: int,
    should_stop: ShouldStop,
) -> ValidationResult | None:
    """Measure the network on all slices of `store`; None when it was asked to stop before the end.

    The network is in evaluation mode inside and in its former mode afterwards.
    """
    was_training = network.training
    network.eval()
    counted, losses = [], 0.0
    try:
        with torch.inference_mode():
            for indices in torch.arange(len(store)).split(batch_size):
                if should_stop():
                    return None
                batch = store.batch(indices).to(device)
                images = batch.images.contiguous(memory_format=torch.channels_last)
                with torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
                    logits = network(images)
                losses += float(loss(logits, batch.classes, torch.ones_like(batch.weights))) * len(indices)
                counted.append(counts(logits.argmax(dim=1), batch.classes, store.n_classes).cpu())
    finally:
        network.train(was_training)
    dice = dice_by_subject(store, torch.cat(counted))
    return ValidationResult(dice=dict(zip(scheme.names, dice.tolist(), strict=True)), loss=losses / len(store))
