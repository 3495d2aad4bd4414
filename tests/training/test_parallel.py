"""Two processes that share every batch train what one process trains."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from napari_ssl.core.catalogue import SupervisedParameters
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.errors import JobError, SpecError
from napari_ssl.training.loop import Stopped, fit
from napari_ssl.training.method import Method

SCHEME = LabelScheme.parse("1=Ring,2=Disc")


class Small(nn.Module):
    """Convolutions with instance normalisation: samples do not know of each other."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4, affine=True), nn.ReLU(), nn.Conv2d(4, 3, 1)
        )

    def forward(self, x):
        return self.layers(x)


@pytest.fixture
def train(store, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)  # helpers read `Small`
    torch.manual_seed(3)
    first = Small()

    def run(name, *, processes, iterations=6, method=None, stop=lambda: False, network=None, validation=None):
        return fit(
            network or copy.deepcopy(first),
            store,
            parameters=SupervisedParameters(
                batch_size=5, validate_every=3, augmentation="strong", loss="cross-entropy", optimiser="sgd"
            ),
            iterations=iterations,
            validation=validation,
            scheme=SCHEME,
            seed=0,
            device="cpu",
            emit=lambda event: None,
            should_stop=stop,
            checkpoint_folder=tmp_path / name,
            step_name="training",
            method=method,
            processes=processes,
        )

    return run


def close(first, second) -> bool:
    return torch.allclose(torch.tensor(first.losses), torch.tensor(second.losses), atol=1e-6) and all(
        torch.allclose(first.state_dict[k], second.state_dict[k], atol=1e-6) for k in first.state_dict
    )


def test_two_processes_train_what_one_trains_and_go_on_where_they_were_stopped(train, store):
    alone = train("alone", processes=1, validation=store)
    asked = 0

    def stop():
        nonlocal asked
        asked += 1
        return asked > 4

    with pytest.raises(Stopped):
        train("together", processes=2, stop=stop, validation=store)
    together = train("together", processes=2, validation=store)
    assert len(together.losses) == 6 and close(alone, together)
    assert [h["iteration"] for h in together.history] == [3, 6]
    assert len(set(alone.losses)) == 6  # it learns something at every step


class Lost(Small):
    """Ends the helper's process at its third step."""

    def forward(self, x):
        self.n = getattr(self, "n", 0) + 1
        if self.n == 3 and torch.distributed.is_initialized() and torch.distributed.get_rank() == 1:
            os._exit(5)
        return super().forward(x)


def test_a_helper_that_is_lost_is_told_and_nothing_waits_for_it(train):
    with pytest.raises(JobError, match=r"process 2 of 2 was lost.*the last checkpoint is kept"):
        train("lost", processes=2, network=Lost())


class WithAdversary(Method):
    def attach(self, network, **_):
        self.other = nn.Linear(1, 1)

    def optimisers(self):
        return {"other": torch.optim.SGD(self.other.parameters(), 0.1)}


def test_a_method_with_networks_of_its_own_is_refused(train):
    with pytest.raises(SpecError, match="WithAdversary trains further networks"):
        train("refused", processes=2, method=WithAdversary(SupervisedParameters()))
