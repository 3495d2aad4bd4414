"""Bidirectional copy-paste against closed forms; the teacher's average against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from recording_lab import RecordingLab
from torch import nn

from napari_ssl.core.catalogue.mean_teacher_copy_paste import MeanTeacherCopyPasteParameters
from napari_ssl.strategies.mean_teacher_copy_paste import (
    CopyPaste,
    LabelledPairs,
    MeanTeacherCopyPaste,
    box_mask,
    mixed_loss,
)
from napari_ssl.training.dataset import Batch
from napari_ssl.training.method import StepInfo

SIZE = (12, 9)


class Pixelwise(nn.Module):
    """A network of one 1×1 convolution and a batch norm."""

    def __init__(self, n_classes: int = 3) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.layer = nn.Conv2d(1, n_classes, 1)

    def forward(self, x):
        return self.layer(self.norm(x))


def step(seed: int = 0) -> StepInfo:
    return StepInfo(
        iteration=0, iterations=10, generator=torch.Generator().manual_seed(seed), forward=lambda module, x: module(x)
    )


def batch(n: int, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(
        images=torch.rand(n, 1, *SIZE, generator=generator),
        classes=torch.randint(0, 3, (n, *SIZE), generator=generator).to(torch.uint8),
        weights=torch.ones(n),
    )


def attached(**values) -> tuple[CopyPaste, nn.Module]:
    torch.manual_seed(0)
    network = Pixelwise()
    method = CopyPaste(MeanTeacherCopyPasteParameters(augmentation="none", **values))
    method.attach(network, device=torch.device("cpu"), iterations=10, n_classes=3, new_network=Pixelwise)
    return method, network


@pytest.mark.parametrize("share", [0.25, 2 / 3])
def test_the_box_has_its_share_of_each_side_and_lies_inside(share):
    for seed in range(20):
        mask = box_mask((30, 24), share, torch.Generator().manual_seed(seed)).numpy()
        rows, columns = np.where(mask == 0)
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (int(30 * share), int(24 * share))
        assert (mask == 0).sum() == int(30 * share) * int(24 * share)


def test_mixed_loss_is_the_weighted_sum_over_the_two_parts():
    """Against loops in numpy over L_seg = (Dice + cross-entropy) / 2 with squared denominators."""
    torch.manual_seed(1)
    logits = torch.randn(2, 3, *SIZE, dtype=torch.float64)
    outer, inner = batch(2, 1).classes, batch(2, 2).classes
    mask = box_mask(SIZE, 2 / 3, torch.Generator().manual_seed(3)).expand(2, *SIZE)
    p = logits.softmax(dim=1).numpy()

    def part(classes, m):
        cross_entropy, dice = 0.0, []
        one_hot = np.stack([classes.numpy() == k for k in range(3)], axis=1)
        cross_entropy = -(np.log(p) * one_hot).sum(axis=1)[m].mean()
        for k in range(3):
            a, b = p[:, k][m], one_hot[:, k][m]
            dice.append(1 - 2 * (a * b).sum() / ((a**2).sum() + b.sum()))
        return 0.5 * (np.mean(dice) + cross_entropy)

    inside = mask.numpy() == 0
    expected = 1.0 * part(outer, ~inside) + 0.5 * part(inner, inside)
    assert float(mixed_loss(logits, outer, inner, mask, (1.0, 0.5))) == pytest.approx(expected, rel=1e-6)


def test_the_unsupervised_part_reaches_the_student_and_never_the_teacher():
    method, network = attached(unlabelled_weight=0.5)
    labelled, unlabelled = batch(4, 1), batch(4, 2)
    method.loss(network, labelled, unlabelled, step()).backward()
    with_unlabelled = network.layer.weight.grad.clone()
    network.zero_grad()
    weightless, _ = attached(unlabelled_weight=0.0)
    weightless.loss(network, labelled, unlabelled, step()).backward()
    assert not torch.allclose(with_unlabelled, network.layer.weight.grad)
    assert all(p.grad is None and not p.requires_grad for p in method.teacher.parameters())


def test_the_teacher_is_the_moving_average_batch_norm_included():
    method, network = attached(ema=0.9)
    before = {k: v.clone() for k, v in method.teacher.module.state_dict().items()}
    with torch.no_grad():
        network.layer.weight += 1.0
        network.norm.running_mean += 2.0
    method.after_step(network, step())
    after = method.teacher.module.state_dict()
    for name in ("layer.weight", "norm.running_mean"):
        expected = 0.9 * before[name] + 0.1 * network.state_dict()[name]
        assert torch.allclose(after[name], expected)
    assert method.deployed(network) is method.teacher.module
    student, other = attached(deployed="student")
    assert student.deployed(other) is other


def test_labelled_pairs_take_image_and_label_from_the_same_place():
    """With the image equal to its label, every pixel must still agree after pasting."""
    method = LabelledPairs(MeanTeacherCopyPasteParameters(augmentation="none"))
    source = batch(4, 5)
    source = Batch(images=source.classes[:, None].float(), classes=source.classes, weights=source.weights)
    mixed, _ = method.augment(source, None, step())
    assert torch.equal(mixed.images[:, 0].to(torch.uint8), mixed.classes)
    assert not torch.equal(mixed.classes, source.classes)


def test_largest_components_of_the_teacher_are_kept_alone():
    method, _ = attached()
    classes = torch.zeros(1, *SIZE, dtype=torch.uint8)
    classes[0, 1:5, 1:5] = 1
    classes[0, 8:10, 6:8] = 1
    logits = torch.stack([(classes == k).float() * 9 for k in range(3)], dim=1)
    info = StepInfo(iteration=0, iterations=1, generator=torch.Generator(), forward=lambda module, x: logits)
    kept = method.pseudo_classes(torch.zeros(1, 1, *SIZE), info)
    assert kept[0, 1:5, 1:5].eq(1).all() and int(kept.sum()) == 16


@pytest.mark.parametrize(
    ("unlabelled", "start", "expected"),
    [
        ("cd", False, ["training on labelled pairs", "training with the teacher"]),
        ("cd", True, ["training with the teacher"]),
        ("", False, ["training on labelled pairs"]),
        ("", True, ["training on labelled pairs"]),
    ],
)
def test_a_model_to_begin_with_replaces_the_pairs_unless_there_is_nothing_else_to_learn_from(
    unlabelled, start, expected
):
    lab = RecordingLab("ab", unlabelled, start=start)
    MeanTeacherCopyPaste(MeanTeacherCopyPasteParameters(warm_start=start)).run(lab)
    assert [fit["step"] for fit in lab.fits] == expected
    assert (lab.fits[0]["start"] is not None) is start
    assert len(lab.planned) == len(expected)
