from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_ssl.core.catalogue import SupervisedParameters
from napari_ssl.training.optimise import build_optimiser, learning_rate


@pytest.mark.parametrize(
    ("schedule", "halfway", "last"), [("constant", 1.0, 1.0), ("poly", 0.5**0.9, 0.01**0.9), ("cosine", 0.5, 0.000247)]
)
def test_schedules_have_their_closed_form(schedule, halfway, last):
    parameters = SupervisedParameters(schedule=schedule, learning_rate=1.0)
    assert learning_rate(parameters, 0, 100) == 1.0
    assert learning_rate(parameters, 50, 100) == pytest.approx(halfway)
    assert learning_rate(parameters, 99, 100) == pytest.approx(last, rel=1e-2)


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_each_optimiser_lowers_a_loss(name, kind):
    torch.manual_seed(0)
    layer = nn.Linear(3, 1)
    optimiser = build_optimiser(layer, SupervisedParameters(optimiser=name, learning_rate=0.05, momentum=0.5))
    assert type(optimiser) is kind
    x = torch.randn(20, 3)
    losses = []
    for _ in range(50):
        optimiser.zero_grad()
        loss = (layer(x) - x.sum(1, keepdim=True)).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
