"""Mean teacher with bidirectional copy-paste.

Y. Bai, D. Chen, Q. Li, W. Shen, Y. Wang: Bidirectional copy-paste for semi-supervised medical image segmentation.
CVPR 2023.

Algorithm (Sec. 3)::

    M = 0 in a box of β·H × β·W at a random place, 1 outside

    pre-training on labelled pairs a, b:
        X = X_a ⊙ M + X_b ⊙ (1 − M),   Y = Y_a ⊙ M + Y_b ⊙ (1 − M);   Θs ← minimise L_seg(F(X; Θs), Y)

    self-training, from Θs = Θt:
        Ỹ_u   = largest components of arg max F(X_u; Θt)
        X_in  = X_l ⊙ M + X_p ⊙ (1 − M)        an unlabelled box in a labelled image
        X_out = X_q ⊙ M + X_k ⊙ (1 − M)        a labelled box in an unlabelled image
        L_in  = L_seg(Q_in, Y_in) ⊙ M + α · L_seg(Q_in, Y_in) ⊙ (1 − M)
        L_out = L_seg(Q_out, Y_out) ⊙ (1 − M) + α · L_seg(Q_out, Y_out) ⊙ M
        Θs ← minimise L_in + L_out;            Θt ← λ·Θt + (1 − λ)·Θs

    L_seg = (Dice + cross-entropy) / 2; l, k are labelled slices (host, donor), p, q unlabelled ones (pasted, around).

Defaults
    β = 2/3, α = 0.5, λ = 0.99, 10,000 and 30,000 iterations, half of each batch labelled, 12 slices a half: Sec. 4.1
    and the authors' program. ``--preset paper`` takes SGD with learning rate 0.01, momentum 0.9 and keeps the student.

Departures
    The pre-training minimises the loss of the parameters, as every strategy begins with the same supervised recipe, the
    self-training L_seg; deep supervision is for the pre-training alone.
    The residual U-Net, AdamW with polynomial decay and the strong augmentation by default, as every strategy here
    begins with the same supervised recipe; anatomy is never mirrored. Both mixtures pass through the network as one
    batch. The teacher labels in evaluation mode, and its moving average includes the batch-norm statistics. By default
    the teacher is what is kept: it is the smoother of the two. The box may lie anywhere inside the image.
    The first step of the self-training starts the optimiser anew.
    With α = 0 the unlabelled images still surround the labelled boxes: this is augmentation, not supervised training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_ssl.core.catalogue.mean_teacher_copy_paste import MeanTeacherCopyPasteParameters
from napari_ssl.refinement.components import keep_largest_component
from napari_ssl.strategies.lab import Lab, Theta
from napari_ssl.training.dataset import Batch
from napari_ssl.training.losses import masked_cross_entropy, masked_dice
from napari_ssl.training.method import Method, StepInfo, main_output

__all__ = ["CopyPaste", "LabelledPairs", "MeanTeacherCopyPaste", "box_mask", "mixed_loss"]


def box_mask(size_yx: tuple[int, ...], share: float, generator: torch.Generator) -> Tensor:
    """M: ``(…) float32`` that is 0 in a box of `share` of each side at a random place, 1 outside."""
    mask = torch.ones(size_yx)
    place = []
    for n in size_yx:
        side = max(1, min(n - 1, int(n * share))) if n > 1 else 1
        start = int(torch.randint(0, n - side + 1, (1,), generator=generator))
        place.append(slice(start, start + side))
    mask[tuple(place)] = 0
    return mask


def segmentation_loss(logits: Tensor, classes: Tensor, mask: Tensor) -> Tensor:
    """L_seg over the pixels of a mask: (Dice + cross-entropy) / 2."""
    dice = masked_dice(logits.softmax(dim=1), classes, mask)
    return 0.5 * (dice + masked_cross_entropy(logits, classes, mask))


def mixed_loss(logits: Tensor, outer: Tensor, inner: Tensor, mask: Tensor, weights: tuple[float, float]) -> Tensor:
    """Loss of a mixture: `outer` classes where `mask` is 1, `inner` where it is 0, each with its weight.

    Parameters
    ----------
    logits : Tensor (B, K, …)
    outer, inner : Tensor (B, …) uint8
    mask : Tensor (B, …) float32
    weights : tuple of float
        Of the outer and of the inner part.
    """
    parts = ((outer, mask, weights[0]), (inner, 1 - mask, weights[1]))
    return sum((w * segmentation_loss(logits, c, m) for c, m, w in parts if w > 0), logits.sum() * 0)


def mix(outer: Tensor, inner: Tensor, mask: Tensor) -> Tensor:
    """``outer ⊙ M + inner ⊙ (1 − M)`` for images or classes."""
    return torch.where(mask.bool(), outer, inner)


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """Two halves of a batch, of equal size; a single sample is paired with itself."""
    n = len(batch.weights)
    if n == 1:
        return batch, batch
    return batch.take(torch.arange(n // 2)), batch.take(torch.arange(n // 2, 2 * (n // 2)))


class LabelledPairs(Method):
    """Pre-training: boxes of one labelled slice in another."""

    def __init__(self, parameters: MeanTeacherCopyPasteParameters) -> None:
        super().__init__(parameters)
        self.box = parameters.box

    def identity(self) -> dict[str, Any]:
        """Add the size of the box."""
        return {**super().identity(), "box": self.box}

    def augment(self, labelled: Batch, unlabelled: Batch | None, step: StepInfo) -> tuple[Batch, Batch | None]:
        """Transform, then paste."""
        batch = self.augmented(labelled, step)
        order = torch.roll(torch.arange(len(batch.weights), device=batch.weights.device), 1)
        mask = box_mask(tuple(batch.classes.shape[1:]), self.box, step.generator).to(batch.images.device)
        mixed = Batch(
            images=mix(batch.images, batch.images[order], mask),
            classes=mix(batch.classes, batch.classes[order], mask),
            weights=0.5 * (batch.weights + batch.weights[order]),
        )
        return mixed, None


class CopyPaste(Method):
    """Self-training: boxes pasted both ways, unlabelled pixels labelled by the teacher.

    Parameters
    ----------
    parameters : MeanTeacherCopyPasteParameters
    """

    def __init__(self, parameters: MeanTeacherCopyPasteParameters) -> None:
        super().__init__(parameters)
        self.p = parameters
        self.n_unlabelled = parameters.unlabelled_batch
        self.teacher: AveragedModel | None = None
        self.n_classes = 0

    def identity(self) -> dict[str, Any]:
        """Add what decides the mixtures and the teacher."""
        p = self.p
        return {
            **super().identity(),
            "values": [p.unlabelled_batch, p.unlabelled_weight, p.box, p.ema, p.largest_component, p.deployed],
        }

    def attach(
        self,
        network: nn.Module,
        *,
        device: torch.device,
        iterations: int,
        n_classes: int,
        new_network: Callable[[], nn.Module],
    ) -> None:
        """The teacher begins with the student's weights."""
        del device, iterations, new_network
        self.n_classes = n_classes
        self.teacher = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(self.p.ema), use_buffers=True)
        self.teacher.n_averaged += 1  # an average already: the first update moves it, it does not replace it
        self.teacher.requires_grad_(False).eval()

    def pseudo_classes(self, images: Tensor, step: StepInfo) -> Tensor:
        """Ỹ_u ``(B, …) uint8`` by the teacher."""
        with torch.no_grad():
            classes = step.forward(self.teacher.module.eval(), images).argmax(dim=1).to(torch.uint8)
        if not self.p.largest_component:
            return classes
        maps = classes.cpu().numpy()
        kept = [keep_largest_component(m if m.ndim == 3 else m[None], self.n_classes).reshape(m.shape) for m in maps]
        return torch.from_numpy(np.stack(kept)).to(images.device)

    def loss(self, network: nn.Module, labelled: Batch, unlabelled: Batch | None, step: StepInfo) -> Tensor:
        """L_in + L_out."""
        (donor, host), (pasted, around) = halves(labelled), halves(unlabelled)
        n = min(len(donor.weights), len(pasted.weights))
        pseudo = self.pseudo_classes(torch.cat([pasted.images[:n], around.images[:n]]), step)
        mask = box_mask(tuple(labelled.classes.shape[1:]), self.p.box, step.generator).to(labelled.images.device)
        x_in = mix(host.images[:n], pasted.images[:n], mask)
        x_out = mix(around.images[:n], donor.images[:n], mask)
        q_in, q_out = main_output(step.forward(network, torch.cat([x_in, x_out]))).split(n)
        whole, alpha = mask.expand(n, *mask.shape), self.p.unlabelled_weight
        inwards = mixed_loss(q_in, host.classes[:n], pseudo[:n], whole, (1.0, alpha))
        outwards = mixed_loss(q_out, pseudo[n:], donor.classes[:n], whole, (alpha, 1.0))
        self.note("unlabelled box in labelled image", inwards)
        self.note("labelled box in unlabelled image", outwards)
        return inwards + outwards

    def after_step(self, network: nn.Module, step: StepInfo) -> None:
        """Θt ← λ·Θt + (1 − λ)·Θs."""
        self.teacher.update_parameters(network)

    def deployed(self, network: nn.Module) -> nn.Module:
        """The teacher, unless the student was asked for."""
        return self.teacher.module if self.p.deployed == "teacher" else network

    def modules(self) -> dict[str, nn.Module]:
        """The teacher."""
        return {"teacher": self.teacher}


class MeanTeacherCopyPaste:
    """Bai 2023 over the durable steps of the lab."""

    def __init__(self, parameters: MeanTeacherCopyPasteParameters) -> None:
        self.parameters = parameters

    def run(self, lab: Lab) -> Theta:
        """Pre-train on labelled pairs, then train with the teacher."""
        p = self.parameters
        unlabelled = lab.choose_frames(lab.unlabelled, p.frames_per_case)
        warm = lab.begin_with_start(p.warm_start)
        first = [] if warm and len(unlabelled) else [lab.iterations(lab.labelled, p.initial, p.batch_size)]
        later = [lab.iterations(lab.labelled, p.duration, p.batch_size)] if len(unlabelled) else []
        lab.plan(*first, *later)

        theta = warm
        if first:
            theta = lab.fit(
                lab.labelled,
                duration=p.initial,
                parameters=p,
                step="training on labelled pairs",
                start=warm,
                method=LabelledPairs(p),
            )
        if not later:
            lab.notice("no unlabelled case: training on pairs of labelled ones alone")
            return theta
        return lab.fit(
            lab.labelled,
            duration=p.duration,
            parameters=p,
            step="training with the teacher",
            start=theta,
            unlabelled=unlabelled,
            method=CopyPaste(p),
        )
