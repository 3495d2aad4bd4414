"""A teacher of three networks and one student.

M. Baldeon Calisto: Teacher-student semi-supervised approach for medical image segmentation. FLARE 2022.

Algorithm (Sec. 2, Fig. 1)::

    phase 1   cut L into five folds by subject; Θ_k ← training on L without fold k, minimising L_seg     3,000 epochs
              teacher = the three Θ_k that are best on their held-out folds
              ỹ_i = mean softmax of the teacher (soft voting), its arg max for hard labels,  i ∈ U
    phase 2   student Θ from random weights; in turn                                                       200 epochs
                a batch of L:             minimise L_seg
                a batch of U with ỹ:      minimise L_pseudo-seg

    L_seg        = β Dice(ŷ, y) + (1 − β) CE(ŷ, y)                                                            (Eq. 1)
    L_pseudo-seg = β Dice(ŷ, ỹ) + (1 − β) [CE(ŷ, ỹ) + Σ_c |ŷ_c − ỹ_c|]                                        (Eq. 2)

    with Dice the mean over the classes of 1 − 2 Σ_i ŷ_i y_i / (Σ_i ŷ_i + Σ_i y_i), and the same losses times 0.1 on
    the auxiliary output.

Defaults
    β = 0.65, deep supervision 0.1, five folds, three teachers: Sec. 2.1. Adam with β₁ = 0.5, learning rate 2e-4 with
    polynomial decay, batches of 40: Table 2. Augmentation of the labelled images alone: Sec. 3.4. ``--preset paper``
    brings the student's learning rate 1e-5 and batches of 20 (Table 3), the U-Net with Kaiming-uniform initialisation,
    its augmentations, and the preprocessing of Sec. 3.2: 1.5 mm pixels, 256×256, mean ± 3 SD to [0, 1].

Open in the paper, settled here
    Eq. 2 as printed has an unclosed parenthesis and would reward a large L1 distance: the sign is put right, the
    weight 1 − β kept (`l1_weight`). Sums over pixels are means, those of Dice over classes too, background included;
    were they sums, cross-entropy would drown Dice. The exponent of the polynomial is 0.9. The three networks were
    chosen by the challenge's validation set there; here by Dice on the fold that each has not seen. Whether ỹ is hard
    or soft: hard, `pseudo_labels`.

Departures
    By default the residual U-Net, the study's own preprocessing and augmentation without mirroring, since that suits
    hearts; the student's learning rate and batches are the teachers' unless they are given, so that one recipe can be
    set for every arm of a comparison. Durations count updates of the weights, so that 200 epochs of two updates each
    are 400 here. Slices keep the distance they have, and volumes are not cut to 123 of them: a 2D network never sees
    it.
    With fewer labelled subjects than folds there are as many folds as subjects, and they share the steps; a single
    subject's only teacher learns from all there is.
    In the clinician's version `lab.review` lets a policy decide about each pseudo-label, corrected ones count as
    labelled, and the student may begin with the study's promoted model (`warm_start`). The teachers may not: it has
    seen their held-out folds.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

from torch import Tensor, nn

from napari_ssl.core.catalogue.teacher_student import TeacherStudentParameters
from napari_ssl.core.training import Role
from napari_ssl.strategies.items import ItemSet
from napari_ssl.strategies.lab import Ensemble, Lab, Theta
from napari_ssl.training.dataset import Batch
from napari_ssl.training.losses import Loss, cross_entropy, one_hot_of, supervised_loss
from napari_ssl.training.method import Method, StepInfo

__all__ = ["Phase1", "Phase2", "TeacherStudent", "l1_distance", "weighted_dice_cross_entropy"]

_SMOOTH = 1e-5


def weighted_dice_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor, *, beta: float) -> Tensor:
    """Eq. 1: β Dice + (1 − β) cross-entropy.

    Parameters
    ----------
    logits : Tensor (B, K, …)
    target : Tensor (B, …) uint8 or (B, K, …) float32
        Class indices or probabilities.
    weights : Tensor (B,)
        A sample's share in both parts.
    beta : float
    """
    p = logits.float().softmax(dim=1)
    y = one_hot_of(target, p.shape[1])
    both = ((p * y).flatten(2).sum(dim=2) * weights[:, None]).sum(dim=0)
    sizes = ((p + y).flatten(2).sum(dim=2) * weights[:, None]).sum(dim=0)
    dice = (1 - (2 * both + _SMOOTH) / (sizes + _SMOOTH)).mean()
    return beta * weights.mean() * dice + (1 - beta) * cross_entropy(logits, target, weights)


def l1_distance(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Σ_c |ŷ_c − ỹ_c| of Eq. 2, mean over pixels; 0 to 2. Arguments as `weighted_dice_cross_entropy`."""
    p = logits.float().softmax(dim=1)
    distance = (p - one_hot_of(target, p.shape[1])).abs().sum(dim=1).flatten(1).mean(dim=1)
    return (distance * weights).mean()


class Phase1(Method):
    """Supervised training with Eq. 1.

    Parameters
    ----------
    parameters : TeacherStudentParameters
    """

    def __init__(self, parameters: TeacherStudentParameters) -> None:
        is_eq1 = parameters.loss == "weighted-dice-cross-entropy"
        # The table of losses does not hold Eq. 1, which has a parameter.
        super().__init__(dataclasses.replace(parameters, loss="cross-entropy") if is_eq1 else parameters)
        self.parameters = self.p = parameters
        if is_eq1:
            self.labelled_loss: Loss = partial(weighted_dice_cross_entropy, beta=parameters.beta)

    def identity(self) -> dict[str, Any]:
        """Add β."""
        return {**super().identity(), "beta": self.p.beta}


class Phase2(Phase1):
    """The student: labelled batches with Eq. 1 and unlabelled ones with Eq. 2, in turn.

    Parameters
    ----------
    parameters : TeacherStudentParameters
    """

    def __init__(self, parameters: TeacherStudentParameters) -> None:
        super().__init__(parameters)
        self.n_unlabelled = parameters.batch_size if parameters.unlabelled_weight > 0 else 0

    def identity(self) -> dict[str, Any]:
        """Add what weighs the unlabelled batches."""
        return {**super().identity(), "values": [self.p.l1_weight, self.p.unlabelled_weight]}

    def augment(self, labelled: Batch, unlabelled: Batch | None, step: StepInfo) -> tuple[Batch, Batch | None]:
        """Labelled images alone, in their turn (Sec. 3.4)."""
        return (labelled if _is_unlabelled_turn(unlabelled, step) else self.augmented(labelled, step)), unlabelled

    def loss(self, network: nn.Module, labelled: Batch, unlabelled: Batch | None, step: StepInfo) -> Tensor:
        """Eq. 1 of the labelled batch or, in its turn, Eq. 2 of the unlabelled one."""
        if unlabelled is None or not _is_unlabelled_turn(unlabelled, step):
            loss = super().loss(network, labelled, None, step)
            self.note("labelled", loss)
            return loss
        loss = supervised_loss(
            step.forward(network, unlabelled.images),
            unlabelled.target,
            unlabelled.weights,
            loss=self.pseudo_loss,
            auxiliary=self.p.deep_supervision,
        )
        self.note("unlabelled", loss)
        return self.p.unlabelled_weight * loss

    def pseudo_loss(self, logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
        """Eq. 2. Arguments as `weighted_dice_cross_entropy`."""
        return self.labelled_loss(logits, target, weights) + self.p.l1_weight * l1_distance(logits, target, weights)


def _is_unlabelled_turn(unlabelled: Batch | None, step: StepInfo) -> bool:
    return unlabelled is not None and len(unlabelled.weights) > 0 and step.iteration % 2 == 1


def _share(total: int, k: int, n: int) -> int:
    """Part k of n nearly equal whole parts that sum to `total`."""
    return total * (k + 1) // n - total * k // n


class TeacherStudent:
    """Baldeon Calisto 2022 over the durable steps of the lab."""

    def __init__(self, parameters: TeacherStudentParameters) -> None:
        self.parameters = parameters

    def run(self, lab: Lab) -> Theta:
        """Carry out Sec. 2."""
        p = self.parameters
        student = dataclasses.replace(
            p,
            batch_size=p.student_batch_size or p.batch_size,
            learning_rate=p.student_learning_rate or p.learning_rate,
        )
        unlabelled = lab.choose_frames(lab.unlabelled, p.frames_per_case)
        folds = self._folds(lab)
        steps = [
            _share(lab.iterations(t, p.teacher_duration, p.batch_size) * p.folds, k, len(folds))
            for k, (t, _) in enumerate(folds)
        ]
        n_student = lab.iterations(lab.labelled, p.student_duration, student.batch_size)
        lab.plan(*steps, n_student)

        teacher = self._teacher(lab, folds, steps)  # Sec. 2.1
        soft = lab.predict(teacher, unlabelled)
        labels = lab.refine(soft, crf=None, step="pseudo-labels", keep_soft=p.pseudo_labels == "soft")
        labels = lab.review(labels, step="review of the pseudo-labels")
        corrected = ItemSet(i for i in labels if i.role is Role.CORRECTED)
        pseudo = ItemSet(i for i in labels if i.role is not Role.CORRECTED)
        if not len(pseudo):
            student = dataclasses.replace(student, unlabelled_weight=0.0)
        method = Phase2(student)
        return lab.fit(  # Sec. 2.2
            lab.labelled + corrected,
            unlabelled=pseudo if method.n_unlabelled else None,
            method=method,
            start=lab.begin_with_start(p.warm_start),
            initialisation=len(folds),
            duration=f"{n_student} iterations",
            step="phase 2: student",
            parameters=student,
        )

    def _folds(self, lab: Lab) -> list[tuple[ItemSet, ItemSet]]:
        """(Training, held out) of every network of phase 1."""
        n_subjects = len({i.subject_id for i in lab.labelled})
        n = min(self.parameters.folds, n_subjects)
        if n < self.parameters.folds:
            lab.notice(f"{n_subjects} labelled subjects for {self.parameters.folds} folds: {n} teachers are trained")
        return lab.folds(lab.labelled, n) if n > 1 else [(lab.labelled, ItemSet())]

    def _teacher(self, lab: Lab, folds: list[tuple[ItemSet, ItemSet]], steps: list[int]) -> Ensemble:
        """Train a network on each fold and keep the best on what they have not seen."""
        p, scored = self.parameters, []
        for k, ((training, held_out), n) in enumerate(zip(folds, steps, strict=True)):
            name = f"phase 1: fold {k + 1} of {len(folds)}"
            theta = lab.fit(
                training,
                method=Phase1(p),
                initialisation=k,
                duration=f"{n} iterations",
                step=name,
                parameters=p,
            )
            scored.append((lab.dice(theta, held_out, step=f"{name}, held out") if len(held_out) else 1.0, -k, theta))
        scored.sort(key=lambda entry: entry[:2], reverse=True)
        return Ensemble(members=tuple(theta for _, _, theta in scored[: p.best]))
