"""One classifier on some rows of the examples: weighted loss, cosine schedule, early stop."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits

from napari_ssl.core.job import ShouldStop
from napari_ssl.core.quality import QcParameters
from napari_ssl.qc.classifier import CurveClassifier, new_classifier
from napari_ssl.qc.data import Examples, augment, balanced
from napari_ssl.training.loop import Stopped

__all__ = ["fit", "logits_of"]

_LARGEST_GRADIENT = 1.0
_SCORED_AT_ONCE = 2048


def logits_of(
    network: CurveClassifier, inputs: torch.Tensor, lengths: torch.Tensor | None = None
) -> NDArray[np.float64]:
    """Logits of being good, (N,), in evaluation mode and in portions."""
    network.eval()
    device = next(network.parameters()).device
    found = []
    with torch.inference_mode():
        for first in range(0, len(inputs), _SCORED_AT_ONCE):
            part = slice(first, first + _SCORED_AT_ONCE)
            sizes = None if lengths is None else lengths[part].to(device)
            found.append(network(inputs[part].to(device), sizes).cpu())
    return torch.cat(found).double().numpy() if found else np.zeros(0)


def fit(
    examples: Examples,
    rows: NDArray[np.intp],
    held_out: NDArray[np.intp] | None,
    parameters: QcParameters,
    *,
    seed: int,
    epochs: int,
    device: torch.device | str = "cpu",
    should_stop: ShouldStop | None = None,
) -> tuple[CurveClassifier, int, list[dict[str, float]]]:
    """Train on some rows; return the classifier, the epoch that it is of and the losses of every epoch.

    With `held_out` the weights of the epoch with the smallest loss there are kept, and training ends `patience` epochs
    after it; without, those of the last epoch.

    Raises
    ------
    Stopped
        `should_stop` said yes.
    """
    network = new_classifier(examples.inputs.shape[2], parameters.width, parameters.n_points, seed).to(device)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=parameters.learning_rate, weight_decay=parameters.weight_decay
    )
    generator = torch.Generator().manual_seed(seed)
    weight = np.zeros(len(examples))
    weight[rows] = balanced(examples.good[rows], examples.weight[rows])
    target, weights = torch.from_numpy(examples.good).float(), torch.from_numpy(weight).float()
    steps = epochs * -(-len(rows) // parameters.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=0.05 * parameters.learning_rate)
    history: list[dict[str, float]] = []
    best, best_epoch, state = np.inf, epochs, None
    for epoch in range(1, epochs + 1):
        network.train()
        total = 0.0
        for part in torch.from_numpy(rows)[torch.randperm(len(rows), generator=generator)].split(parameters.batch_size):
            if should_stop is not None and should_stop():
                raise Stopped(f"training of the classifier: stopped on request in epoch {epoch}")
            inputs = augment(examples.inputs[part], examples.lengths[part], generator).to(device)
            logits = network(inputs, examples.lengths[part].to(device))
            loss = binary_cross_entropy_with_logits(logits, target[part].to(device), weight=weights[part].to(device))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(part)
        entry = {"epoch": epoch, "loss": total / len(rows)}
        if held_out is not None:
            entry["validation_loss"] = _held_out_loss(network, examples, held_out)
            if entry["validation_loss"] < best:
                best, best_epoch = entry["validation_loss"], epoch
                state = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        history.append(entry)
        if held_out is not None and epoch - best_epoch >= parameters.patience and state is not None:
            break
    if state is not None:
        network.load_state_dict(state)
    return network.cpu().eval(), best_epoch, history


def _held_out_loss(network: CurveClassifier, examples: Examples, rows: NDArray[np.intp]) -> float:
    logit = logits_of(network, examples.inputs[rows], examples.lengths[rows])
    weight = balanced(examples.good[rows], examples.weight[rows])
    loss = np.logaddexp(0, logit) - examples.good[rows] * logit
    return float((weight * loss).sum() / weight.sum())
