"""One optimiser step, in as many parts as the device's memory asks for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from napari_ssl.core.catalogue import FitParameters
from napari_ssl.errors import JobError
from napari_ssl.inference.predict import is_out_of_memory
from napari_ssl.training.dataset import Batch
from napari_ssl.training.device import mixed_dtype
from napari_ssl.training.method import Method, StepInfo
from napari_ssl.training.optimise import build_optimiser
from napari_ssl.training.peers import Alone, Peers

__all__ = ["Stepper", "place"]


def place(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to a device, its planes laid out as convolutions like them (2D: channels last)."""
    is_2d = all(p.ndim != 5 for p in network.parameters())
    return network.to(device=device, memory_format=torch.channels_last) if is_2d else network.to(device)


class Stepper:
    """Network, method, optimiser and arithmetic.

    Parameters
    ----------
    network : nn.Module
        On `device`, in training mode.
    parameters : FitParameters
    method : Method
        What is minimised; attached to the network already.
    device : torch.device
    notice : callable
        Takes a message for people.
    peers : Peers, optional
        Other processes that share every batch.

    Attributes
    ----------
    slices_at_once : int
        Halved whenever memory does not suffice; gradients are then added up over parts of the batch.
    """

    def __init__(
        self,
        network: nn.Module,
        parameters: FitParameters,
        method: Method,
        device: torch.device,
        notice: Callable[[str], None],
        peers: Peers | None = None,
    ) -> None:
        self.network, self.method, self.device, self._notice = network, method, device, notice
        self.peers: Peers = peers or Alone()
        self.dtype = mixed_dtype(parameters.precision, device)
        if parameters.precision == "mixed" and self.dtype is None:
            notice("mixed arithmetic was asked for; this CPU is slower at it, so float32 is used")
        self.optimiser = build_optimiser(network, parameters)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype is torch.float16)
        self.slices_at_once = parameters.batch_size

    def forward(self, module: nn.Module, images: Tensor) -> Any:
        """Run a network in the run's arithmetic; float32 logits, or a tuple of them with deep supervision."""
        if images.ndim == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.dtype or torch.bfloat16, enabled=self.dtype is not None):
            outputs = module(images)
        return outputs.float() if isinstance(outputs, Tensor) else tuple(o.float() for o in outputs)

    def backward(self, labelled: Batch, unlabelled: Batch | None, step: StepInfo) -> Tensor:
        """Leave the gradient of the whole step in the parameters and return its loss, a scalar on the device.

        Raises
        ------
        JobError
            Memory does not suffice for a single slice.
        """
        while True:
            try:
                return self._accumulate(labelled, unlabelled, step)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).splitlines()[0]
            # Only after the handler is what the traceback held on to free again.
            self._halve(labelled, reason)

    def update(self, step: StepInfo) -> None:
        """Change the weights by the gradient, and let the method follow."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.method.learning_rate(step.iteration, step.iterations)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.peers.level(self.network)
        self.method.after_step(self.network, step)

    def _accumulate(self, labelled: Batch, unlabelled: Batch | None, step: StepInfo) -> Tensor:
        self.optimiser.zero_grad(set_to_none=True)
        self.method.begin_step()
        n = len(labelled.weights)
        labelled = labelled.split(self.peers.size)[self.peers.rank]
        unlabelled = None if unlabelled is None else unlabelled.split(self.peers.size)[self.peers.rank]
        n_parts = math.ceil(len(labelled.weights) / self.slices_at_once)  # 0 where there are fewer samples than peers
        total = torch.zeros((), device=self.device)
        if n_parts == 0:
            return total
        others = [None] * n_parts if unlabelled is None else unlabelled.split(n_parts)
        for part, other in zip(labelled.split(n_parts), others, strict=True):
            loss = self.method.loss(self.network, part, other, step) * (len(part.weights) / n)
            self.scaler.scale(loss).backward()
            total += loss.detach()
        return total

    def share(self, loss: Tensor) -> Tensor:
        """Add up gradients and losses of all processes; after `backward`."""
        return self.peers.add_up(self.network, loss)

    def _halve(self, batch: Batch, reason: str) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        n = len(batch.weights)
        before = min(n, self.slices_at_once)
        if before == 1:
            raise JobError(
                f"not enough memory on {self.device} for a single slice of {tuple(batch.classes.shape[1:])} pixels "
                f"({reason}); close other programs, or take a smaller network or a study with a smaller crop"
            )
        self.slices_at_once = before // 2
        self._notice(
            f"out of memory with {before} slices at once; going on with {self.slices_at_once} at once, an optimiser "
            f"step still sees {n}"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` goes on from exactly."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "slices_at_once": self.slices_at_once,
            "method": self.method.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.slices_at_once = int(state["slices_at_once"])
        self.method.load_state_dict(state["method"])
