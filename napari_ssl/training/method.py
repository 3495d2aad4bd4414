"""What one optimiser step minimises. The base class is supervised training; a strategy that learns from unlabelled
images while it trains (a moving teacher, an adversary, a consistency) subclasses it in its own file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from napari_ssl.core.catalogue import FitParameters
from napari_ssl.errors import SpecError
from napari_ssl.training.augment import augment
from napari_ssl.training.dataset import Batch
from napari_ssl.training.losses import Loss, choose_loss, supervised_loss
from napari_ssl.training.optimise import learning_rate

__all__ = ["Method", "StepInfo", "augment_batch", "main_output"]

Outputs = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInfo:
    """What a method needs to know about the step under way.

    Parameters
    ----------
    iteration, iterations : int
        This step, counted from 0, of so many.
    generator : torch.Generator
        On the CPU; its state is part of every checkpoint, so that draws repeat exactly.
    forward : callable
        ``forward(module, images)`` runs a network in the run's arithmetic and returns float32 logits: one tensor, or
        in training mode of a network with deep supervision a tuple, the main output first.
    """

    iteration: int
    iterations: int
    generator: torch.Generator
    forward: Callable[[nn.Module, Tensor], Any]


class Method:
    """Supervised training on labelled slices: Bai 2017, Eq. 1, with the loss that the parameters name.

    Everything random comes from torch's global generator or the step's, everything that changes lies in `modules`,
    `optimisers` or plain `numbers`: a resumed run is then exact without a line in the subclass.

    Parameters
    ----------
    parameters : FitParameters
    """

    n_unlabelled = 0
    """Unlabelled slices or patches drawn for each step; 0: none."""

    def __init__(self, parameters: FitParameters) -> None:
        self.parameters = parameters
        self.labelled_loss: Loss = choose_loss(parameters.loss)
        self._log: dict[str, Tensor] = {}

    # ── before training ──────────────────────────────────────────────────────────────────────────────────────────
    def attach(
        self,
        network: nn.Module,
        *,
        device: torch.device,
        iterations: int,
        n_classes: int,
        new_network: Callable[[], nn.Module],
    ) -> None:
        """Make what stands beside the trained network; called once, `network` holds its first weights.

        Parameters
        ----------
        new_network : callable
            Returns another network of the same kind on the CPU with random weights.
        """

    def identity(self) -> dict[str, Any]:
        """Plain JSON that, with the parameters, decides the result."""
        return {"method": type(self).__name__}

    # ── in each step ─────────────────────────────────────────────────────────────────────────────────────────────
    def learning_rate(self, iteration: int, iterations: int) -> float:
        """Learning rate of step `iteration`, counted from 0."""
        return learning_rate(self.parameters, iteration, iterations)

    def augment(self, labelled: Batch, unlabelled: Batch | None, step: StepInfo) -> tuple[Batch, Batch | None]:
        """Transform both batches by the recipe of the parameters."""
        return self.augmented(labelled, step), None if unlabelled is None else self.augmented(unlabelled, step)

    def augmented(self, batch: Batch, step: StepInfo, name: str | None = None) -> Batch:
        """Transform one batch by a recipe, by default that of the parameters."""
        return augment_batch(batch, name=name or self.parameters.augmentation, generator=step.generator)

    def begin_step(self) -> None:
        """Forget what was collected for this step; called before its first part, again when memory ran out."""
        self._log = {}

    def loss(self, network: nn.Module, labelled: Batch, unlabelled: Batch | None, step: StepInfo) -> Tensor:
        """Return the scalar whose gradient moves `network`; called once per part of the batch."""
        return self.supervised(step.forward(network, labelled.images), labelled)

    def supervised(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The labelled loss of a batch, auxiliary outputs weighted (deep supervision)."""
        return supervised_loss(
            outputs, batch.target, batch.weights, loss=self.labelled_loss, auxiliary=self.parameters.deep_supervision
        )

    def after_step(self, network: nn.Module, step: StepInfo) -> None:
        """Follow the network's update: move a teacher, train an adversary."""

    def note(self, name: str, value: Tensor) -> None:
        """Remember a part of the loss for the log."""
        self._log[name] = value.detach()

    def log(self) -> dict[str, float]:
        """Named parts of the newest loss."""
        return {name: float(value) for name, value in self._log.items()}

    # ── what is kept ─────────────────────────────────────────────────────────────────────────────────────────────
    def deployed(self, network: nn.Module) -> nn.Module:
        """The network that is validated and kept: the trained one, or its teacher."""
        return network

    def extras(self) -> dict[str, nn.Module]:
        """Networks to save beside the weights, by name."""
        return {}

    def modules(self) -> dict[str, nn.Module]:
        """Networks besides the trained one, by name; part of every checkpoint."""
        return {}

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Optimisers besides the trained network's, by name; part of every checkpoint."""
        return {}

    def numbers(self) -> dict[str, Any]:
        """Plain numbers, lists and tensors that change while training; part of every checkpoint."""
        return {}

    def set_numbers(self, numbers: dict[str, Any]) -> None:
        """Continue with what `numbers` returned."""

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` goes on from exactly."""
        return {
            "modules": {name: module.state_dict() for name, module in self.modules().items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers().items()},
            "numbers": self.numbers(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        for name, module in self.modules().items():
            module.load_state_dict(state["modules"][name])
        for name, optimiser in self.optimisers().items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.set_numbers(state["numbers"])


def main_output(outputs: Outputs) -> Tensor:
    """The logits of the main output, with or without deep supervision."""
    return outputs if isinstance(outputs, Tensor) else outputs[0]


def augment_batch(batch: Batch, *, name: str, generator: torch.Generator) -> Batch:
    """Transform a batch by a recipe.

    Raises
    ------
    SpecError
        The batch has soft labels, which only ``none`` leaves in place.
    """
    if name == "none":
        return batch
    if batch.soft is not None:
        raise SpecError(f"soft pseudo-labels cannot be augmented by {name!r}; use hard ones or augmentation none")
    images, classes = augment(batch.images, batch.classes, name=name, generator=generator)
    return Batch(images=images, classes=classes, weights=batch.weights)
