"""A training that is killed at random steps, again and again, ends with the weights of one that was left alone.

``NAPARI_SSL_KILLS=50 pytest tests/training/test_kill_training.py`` kills fifty times.
"""

from __future__ import annotations

import os
import random
import signal

import pytest
import torch

from napari_ssl.core.catalogue import SupervisedParameters
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.networks import build_network
from napari_ssl.training import trainer
from napari_ssl.training.loop import fit

N_KILLS = int(os.environ.get("NAPARI_SSL_KILLS", "3"))
ITERATIONS = 12 * N_KILLS


def _train(store, folder, on_step=lambda: None):
    torch.manual_seed(0)
    network = build_network("res-unet", n_classes=3, parameters={"base_channels": 2, "levels": 3}, dimensions=2)

    def stop():
        on_step()
        return False

    return fit(
        network,
        store,
        parameters=SupervisedParameters(batch_size=2, validate_every=1000, augmentation="strong"),
        iterations=ITERATIONS,
        validation=None,
        scheme=LabelScheme.parse("1=Ring,2=Disc"),
        seed=0,
        device="cpu",
        emit=lambda event: None,
        should_stop=stop,
        checkpoint_folder=folder,
        step_name="training",
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are made with fork")
def test_killed_at_random_steps_the_weights_are_those_of_an_undisturbed_run(store, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    undisturbed = _train(store, tmp_path / "alone")
    chance = random.Random(0)
    for _ in range(N_KILLS):
        pid = os.fork()
        if pid == 0:
            left = [chance.randint(2, 12)]

            def count(left=left):
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)

            try:
                _train(store, tmp_path / "killed", count)
            finally:
                os._exit(3)
        chance.random()
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    resumed = _train(store, tmp_path / "killed")
    assert resumed.losses == undisturbed.losses and len(resumed.losses) == ITERATIONS
    for name, weights in undisturbed.state_dict.items():
        assert torch.equal(weights, resumed.state_dict[name]), name
