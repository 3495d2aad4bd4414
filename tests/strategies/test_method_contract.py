"""What every step that learns from unlabelled images promises; test_strategy_contract.py holds the promises of runs."""

from __future__ import annotations

import pytest
import torch

from napari_ssl.core.catalogue import STRATEGIES
from napari_ssl.core.catalogue.asdnet import AsdNetParameters
from napari_ssl.core.catalogue.mean_teacher_copy_paste import MeanTeacherCopyPasteParameters
from napari_ssl.core.catalogue.teacher_student import TeacherStudentParameters
from napari_ssl.core.catalogue.weak_to_strong import WeakToStrongParameters
from napari_ssl.networks import build_network
from napari_ssl.strategies.asdnet_methods import AdversarialMethod, EmbeddingMethod
from napari_ssl.strategies.mean_teacher_copy_paste import CopyPaste
from napari_ssl.strategies.teacher_student import Phase2
from napari_ssl.strategies.weak_to_strong import WeakToStrongMethod
from napari_ssl.training.dataset import Batch
from napari_ssl.training.method import Method, StepInfo

K = 3
_ASDNET = {"beta": 2.0, "initialise": False, "n_unlabelled": 4}


def _adversarial(lambda_1: float, lambda_2: float, **values: float) -> Method:
    parameters = AsdNetParameters(discriminator_channels=2, **values)
    return AdversarialMethod(parameters, discriminator="fcn", lambda_1=lambda_1, lambda_2=lambda_2, **_ASDNET)


METHODS = {
    "weak-to-strong": lambda: WeakToStrongMethod(WeakToStrongParameters(threshold=0.0)),
    "mean-teacher-copy-paste": lambda: CopyPaste(MeanTeacherCopyPasteParameters(ema=0.9)),
    "teacher-student": lambda: Phase2(TeacherStudentParameters()),
    "asdnet": lambda: _adversarial(0.03, 0.3, gamma=0.0),
    "asdnet: adversarial term alone": lambda: _adversarial(0.03, 0.0),
    "asdnet: region attention alone": lambda: _adversarial(0.0, 0.3, gamma=0.0),
    "asdnet: embedding": lambda: EmbeddingMethod(AsdNetParameters(), **_ASDNET),
}
"""A step in which unlabelled images change the gradient, whatever the network thinks of them."""
NOTHING_COUNTS = {
    "weak-to-strong": lambda: WeakToStrongMethod(WeakToStrongParameters(threshold=0.9999)),
    "asdnet": lambda: _adversarial(0.0, 0.3, gamma=0.999),
}
"""Methods that choose pixels, with a threshold that none passes."""
WITH_TEACHER = {"mean-teacher-copy-paste"}
"""Methods with networks beside the trained one that no optimiser moves."""
BY_PSEUDO_LABELS = {"alternating-crf", "self-labelling", "semi-qc-seg"}
"""Supervised steps on a training set that holds pseudo-labels: nothing else but the labelled loss."""


def batch(seed: int, n: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(K, (n, 32, 32), generator=generator, dtype=torch.uint8)
    images = (classes.float()[:, None] + 0.3 * torch.randn(n, 1, 32, 32, generator=generator)) / K
    return Batch(images=images, classes=classes, weights=torch.ones(n))


def begun(make) -> tuple[Method, torch.nn.Module]:
    torch.manual_seed(0)
    small = {"base_channels": 4, "levels": 3}
    network = build_network("res-unet", n_classes=K, parameters=small).train()
    method = make()
    method.attach(
        network,
        device=torch.device("cpu"),
        iterations=100,
        n_classes=K,
        new_network=lambda: build_network("res-unet", n_classes=K, parameters=small),
    )
    return method, network


def gradient(make, unlabelled: Batch | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradient of a step on the same labelled images, with the same random numbers."""
    method, network = begun(make)
    step = StepInfo(
        iteration=51,  # past any warm-up, the student's turn for unlabelled images
        iterations=100,
        generator=torch.Generator().manual_seed(5),
        forward=lambda module, x: module(x),
    )
    method.begin_step()
    loss = method.loss(network, batch(1), unlabelled, step)
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


def test_every_strategy_with_unlabelled_images_is_held_to_a_contract():
    semi = {name for name, entry in STRATEGIES.items() if entry.uses_unlabelled}
    assert semi == {name.split(":")[0] for name in METHODS} | BY_PSEUDO_LABELS


@pytest.mark.parametrize("name", METHODS)
def test_the_gradient_of_the_unsupervised_loss_reaches_the_trained_network(name):
    _, first = gradient(METHODS[name], batch(2))
    _, again = gradient(METHODS[name], batch(2))
    _, other = gradient(METHODS[name], batch(3))
    assert torch.isfinite(first).all()
    assert torch.equal(first, again)
    assert float((first - other).norm()) > 1e-4 * float(first.norm())


@pytest.mark.parametrize("name", METHODS)
def test_a_teacher_moves_with_its_student_and_needs_no_gradient(name):
    method, network = begun(METHODS[name])
    trained = {id(p) for o in method.optimisers().values() for group in o.param_groups for p in group["params"]}
    followers = [p for m in method.modules().values() for p in m.parameters() if id(p) not in trained]
    assert bool(followers) == (name in WITH_TEACHER)
    if not followers:
        return
    assert not any(p.requires_grad for p in followers)
    before = [p.clone() for p in followers]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.5)
    method.after_step(network, None)
    for old, new in zip(before, followers, strict=True):
        assert torch.allclose(new, old + 0.05, atol=1e-5)


@pytest.mark.parametrize("name", NOTHING_COUNTS)
def test_where_no_pixel_counts_the_unsupervised_part_is_a_finite_zero(name):
    loss, with_unlabelled = gradient(NOTHING_COUNTS[name], batch(2))
    without_loss, without = gradient(NOTHING_COUNTS[name], None)
    assert torch.isfinite(loss)
    assert float(loss) == pytest.approx(float(without_loss), abs=1e-6)
    assert torch.allclose(with_unlabelled, without, atol=1e-6)
