"""What each arm of asdnet minimises, and which network a gradient moves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_ssl.core.catalogue.asdnet import ARMS, AsdNetParameters
from napari_ssl.errors import SpecError
from napari_ssl.strategies.asdnet import AsdNet
from napari_ssl.strategies.asdnet_losses import (
    discriminator_loss,
    fooling_loss,
    region_attention_loss,
    sample_attention,
)
from napari_ssl.strategies.asdnet_methods import AdversarialMethod, AttentionMethod, EmbeddingMethod
from napari_ssl.training.dataset import Batch
from napari_ssl.training.generalised_dice import generalised_dice_loss_per_sample
from napari_ssl.training.losses import one_hot_of
from napari_ssl.training.method import StepInfo

K = 3


class Small(nn.Module):
    """Two convolutions in 2D or 3D, with the features in front of the last."""

    def __init__(self, dimensions: int = 2) -> None:
        super().__init__()
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        self.first, self.last = convolution(1, 6, 3, padding=1), convolution(6, K, 1)

    def features(self, x):
        embedding = self.first(x).relu()
        return self.last(embedding), embedding

    def forward(self, x):
        return self.features(x)[0]


def batch(n=3, size=(16, 16), seed=0, labelled=True):
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(K, (n, *size), generator=generator, dtype=torch.uint8)
    images = (classes.float()[:, None] + 0.3 * torch.randn(n, 1, *size, generator=generator)) / K
    return Batch(images=images, classes=classes if labelled else torch.zeros_like(classes), weights=torch.ones(n))


def step(iteration=50, iterations=100):
    return StepInfo(
        iteration=iteration,
        iterations=iterations,
        generator=torch.Generator().manual_seed(5),
        forward=lambda module, x: module(x),
    )


def parameters(**values):
    return AsdNetParameters(**{"discriminator_channels": 2, "gamma": 0.1, **values})


def attached(method, dimensions=2):
    torch.manual_seed(1)
    network = Small(dimensions).train()
    method.attach(
        network, device=torch.device("cpu"), iterations=100, n_classes=K, new_network=lambda: Small(dimensions)
    )
    method.begin_step()
    return network


def adversarial(n_unlabelled=3, kind="fcn", lambda_1=0.03, lambda_2=0.3, **values):
    return AdversarialMethod(
        parameters(**values),
        beta=2.0,
        initialise=False,
        discriminator=kind,
        lambda_1=lambda_1,
        lambda_2=lambda_2,
        n_unlabelled=n_unlabelled,
    )


def attention_dice(network, labelled):
    p, target = network(labelled.images).softmax(dim=1), one_hot_of(labelled.classes, K)
    return (generalised_dice_loss_per_sample(p, target) * sample_attention(p, target, 2.0)).mean()


def gradients(module):
    return [None if w.grad is None else w.grad.clone() for w in module.parameters()]


def weights(module):
    return [w.detach().clone() for w in module.parameters()]


def test_eq_2_attention_scales_the_gradient_of_each_sample_and_adds_none():
    method = AttentionMethod(parameters(), beta=2.0, initialise=False)
    network, labelled = attached(method), batch()
    method.loss(network, labelled, None, step()).backward()
    found = gradients(network)
    network.zero_grad()
    p, target = network(labelled.images).softmax(dim=1), one_hot_of(labelled.classes, K)
    constants = sample_attention(p, target, 2.0).tolist()
    sum(c * d for c, d in zip(constants, generalised_dice_loss_per_sample(p, target), strict=True)).div(3).backward()
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(found, gradients(network), strict=True))


def test_attention_is_computed_anew_in_each_step():
    method = AttentionMethod(parameters(), beta=2.0, initialise=False)
    network, labelled = attached(method), batch()
    before = float(method.loss(network, labelled, None, step()))
    with torch.no_grad():
        network.last.bias.add_(torch.tensor([5.0, 0.0, 0.0]))
    assert float(method.loss(network, labelled, None, step())) == pytest.approx(
        float(attention_dice(network, labelled))
    )
    assert float(method.loss(network, labelled, None, step())) != pytest.approx(before)


def test_eq_7_is_the_weighted_sum_of_its_terms():
    method = adversarial()
    network, labelled, unlabelled = attached(method), batch(), batch(seed=1, labelled=False)
    total = method.loss(network, labelled, unlabelled, step())
    p_u = network(unlabelled.images).softmax(dim=1)
    d = method.discriminator
    both = torch.cat([network(labelled.images).softmax(dim=1), p_u])
    expected = (
        attention_dice(network, labelled)
        + 0.03 * fooling_loss(d(both))
        + 0.3 * region_attention_loss(p_u, d(p_u), torch.ones(3), 0.1)
    )
    assert float(total) == pytest.approx(float(expected), rel=1e-5)
    assert set(method.log()) == {"segmentation", "adversarial", "semi-supervised", "confident share"}


def test_the_semi_supervised_term_begins_after_the_warm_up():
    method = adversarial(lambda_1=0.0, warm_up=0.5)
    network, labelled, unlabelled = attached(method), batch(), batch(seed=1, labelled=False)
    supervised = float(attention_dice(network, labelled))
    assert float(method.loss(network, labelled, unlabelled, step(49))) == pytest.approx(supervised)
    assert float(method.loss(network, labelled, unlabelled, step(50))) > supervised + 1e-4


@pytest.mark.parametrize(("lambda_1", "lambda_2"), [(0.03, 0.0), (0.0, 0.3)])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_unsupervised_losses_reach_the_segmentation_network_and_not_the_discriminator(
    lambda_1, lambda_2, dimensions
):
    size = (16, 16) if dimensions == 2 else (4, 16, 16)
    method = adversarial(lambda_1=lambda_1, lambda_2=lambda_2)
    network = attached(method, dimensions)
    labelled = batch(2, size)
    weightless = Batch(images=labelled.images, classes=labelled.classes, weights=torch.zeros(2))
    method.loss(network, weightless, batch(2, size, seed=1, labelled=False), step()).backward()
    assert all(g is not None and g.abs().sum() > 0 for g in gradients(network))
    assert all(g is None for g in gradients(method.discriminator))


@pytest.mark.parametrize("kind", ["fcn", "cnn"])
def test_the_discriminator_moves_in_its_own_step_alone_and_the_segmentation_network_does_not(kind):
    method = adversarial(kind=kind, lambda_2=0.0)
    network, labelled = attached(method), batch()
    own = weights(method.discriminator)
    method.loss(network, labelled, batch(seed=1, labelled=False), step()).backward()
    assert all(torch.equal(a, b) for a, b in zip(own, weights(method.discriminator), strict=True))
    segmenting, before = gradients(network), weights(network)
    method.after_step(network, step())
    assert all(torch.equal(a, b) for a, b in zip(before, weights(network), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(segmenting, gradients(network), strict=True))
    assert all(not torch.equal(a, b) for a, b in zip(own, weights(method.discriminator), strict=True))


def test_eq_3_the_discriminators_step_is_on_labels_and_predictions_of_the_labelled_batch():
    method = adversarial()
    network, labelled = attached(method), batch()
    d, p = method.discriminator, network(labelled.images).softmax(dim=1).detach()
    expected = discriminator_loss(d(one_hot_of(labelled.classes, K)), d(p))
    expected.backward()
    wanted = gradients(d)
    d.zero_grad()
    for part in labelled.split(2):  # as after running out of memory: two parts, one step
        method.loss(network, part, None, step())
    method.after_step(network, step())
    assert method.log()["discriminator"] == pytest.approx(float(expected), rel=1e-5)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(wanted, gradients(d), strict=True))


def test_label_smoothing_takes_certainty_off_what_the_discriminator_sees():
    seen = []
    method = adversarial(label_smoothing=0.3)
    network, labelled = attached(method), batch()
    method.discriminator.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    method.loss(network, labelled, None, step())
    method.after_step(network, step())
    labels = next(s for s in seen if s.min() > 0 and len(s.unique()) == 2)
    assert labels.unique().tolist() == pytest.approx([0.1, 0.8])


def test_an_empty_mask_leaves_a_finite_supervised_loss():
    method = adversarial(lambda_1=0.0, gamma=1.0)
    network, labelled = attached(method), batch()
    loss = method.loss(network, labelled, batch(seed=1, labelled=False), step())
    assert float(loss) == pytest.approx(float(attention_dice(network, labelled)))
    assert method.log()["semi-supervised"] == 0
    assert method.log()["confident share"] == 0


def test_more_parts_than_unlabelled_samples_are_no_obstacle():
    method = adversarial()
    network = attached(method)
    parts = batch(3).split(3), batch(1, seed=1, labelled=False).split(3)
    for labelled, unlabelled in zip(*parts, strict=True):
        assert torch.isfinite(method.loss(network, labelled, unlabelled, step()))


@pytest.mark.parametrize(("iteration", "rate"), [(0, 1e-3), (29, 1e-3), (30, 1e-4), (60, 1e-5), (90, 1e-6)])
def test_rates_of_both_networks_fall_to_a_tenth_every_three_epochs_of_patches(iteration, rate):
    """Epochs of 80 patches in batches of 8: a tenth after every 30 steps."""
    method = adversarial(patches_per_epoch=80, batch_size=8, decay_epochs=3)
    network, labelled = attached(method), batch()
    assert method.learning_rate(iteration, 1000) == pytest.approx(rate)
    method.loss(network, labelled, None, step(iteration))
    method.after_step(network, step(iteration))
    assert method.optimiser.param_groups[0]["lr"] == pytest.approx(rate / 10)
    assert method.optimiser.param_groups[0]["weight_decay"] == 1e-4


def test_only_the_confidence_network_is_kept_beside_the_weights():
    for kind, names in (("fcn", ["confidence"]), ("cnn", [])):
        method = adversarial(kind=kind)
        attached(method)
        assert list(method.extras()) == names
        assert list(method.modules()) == list(method.optimisers()) == ["discriminator"]


def test_random_weights_are_drawn_after_xavier_and_a_start_is_left_alone():
    for initialise in (True, False):
        method = AttentionMethod(parameters(), beta=2.0, initialise=initialise)
        torch.manual_seed(1)
        fresh = Small()
        network = attached(method)
        assert torch.equal(fresh.first.weight, network.first.weight) is not initialise
        assert bool(network.first.bias.any()) is not initialise


def test_the_draw_of_weights_leaves_later_random_numbers_as_they_are():
    drawn = []
    for method in (AttentionMethod(parameters(), beta=2.0, initialise=True), adversarial()):
        attached(method)
        drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_embedding_loss_reaches_the_features_through_both_sets(dimensions):
    size = (16, 16) if dimensions == 2 else (4, 16, 16)
    method = EmbeddingMethod(parameters(embed_weight=2.0), beta=2.0, initialise=False, n_unlabelled=2)
    network = attached(method, dimensions)
    labelled, unlabelled = batch(2, size), batch(2, size, seed=1, labelled=False)
    total = method.loss(network, labelled, unlabelled, step())
    expected = float(attention_dice(network, labelled)) + 2 * method.log()["embedding"]
    assert float(total) == pytest.approx(expected, rel=1e-5)
    unlabelled.images.requires_grad_()
    labelled.images.requires_grad_()
    method.loss(network, labelled, unlabelled, step()).backward()
    assert unlabelled.images.grad.abs().sum() > 0
    assert network.first.weight.grad.abs().sum() > 0
    assert float(method.loss(network, labelled, unlabelled, step(0))) == pytest.approx(
        float(attention_dice(network, labelled))
    )


def test_embedding_needs_a_network_that_hands_out_its_features():
    class Without(nn.Module):
        pass

    method = EmbeddingMethod(parameters(), beta=2.0, initialise=False, n_unlabelled=2)
    with pytest.raises(SpecError, match="Without does not hand out"):
        method.attach(Without(), device=torch.device("cpu"), iterations=1, n_classes=K, new_network=Without)


@pytest.mark.parametrize(
    ("arm", "kind", "beta", "lambdas", "n"),
    [
        ("dice", AttentionMethod, 0.0, None, 0),
        ("attention", AttentionMethod, 2.0, None, 0),
        ("attention+cnn", AdversarialMethod, 2.0, (0.03, 0.0), 0),
        ("attention+fcn", AdversarialMethod, 2.0, (0.03, 0.0), 0),
        ("semi-fcn", AttentionMethod, 2.0, None, 0),
        ("semi-embed", EmbeddingMethod, 2.0, None, 8),
        ("semi-without-adversarial", AdversarialMethod, 2.0, (0.0, 0.3), 8),
        ("proposed", AdversarialMethod, 2.0, (0.03, 0.3), 8),
    ],
)
def test_each_arm_of_table_2_is_what_the_paper_says(arm, kind, beta, lambdas, n):
    method = AsdNet(AsdNetParameters(arm=arm))._method(True, 8)
    assert type(method) is kind
    assert (method.beta, method.n_unlabelled) == (beta, n)
    if lambdas is not None:
        assert (method.lambda_1, method.lambda_2) == lambdas
        assert method.kind == ("cnn" if arm.endswith("cnn") else "fcn")


def test_every_arm_has_an_identity_of_its_own():
    made = [str(AsdNet(AsdNetParameters(arm=arm))._method(True, 8).identity()) for arm in ARMS if arm != "semi-fcn"]
    assert len(set(made)) == len(made)
