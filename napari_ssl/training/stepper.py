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
from napari_ssl.training.losses import choose_loss
from napari_ssl.training.optimise import build_optimiser

__all__ = ["Stepper"]


class Stepper:
    """Network, loss, optimiser and arithmetic.

    Parameters
    ----------
    network : nn.Module
        On `device`, in training mode.
    parameters : FitParameters
    device : torch.device
    notice : callable
        Takes a message for people.

    Attributes
    ----------
    slices_at_once : int
        Halved whenever memory does not suffice; gradients are then added up over parts of the batch.
    """

    def __init__(
        self, network: nn.Module, parameters: FitParameters, device: torch.device, notice: Callable[[str], None]
    ) -> None:
        self.network, self.device, self._notice = network, device, notice
        self.loss = choose_loss(parameters.loss)
        self.dtype = mixed_dtype(parameters.precision, device)
        if parameters.precision == "mixed" and self.dtype is None:
            notice("mixed arithmetic was asked for; this CPU is slower at it, so float32 is used")
        self.optimiser = build_optimiser(network, parameters)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype is torch.float16)
        self.slices_at_once = parameters.batch_size

    def backward(self, batch: Batch) -> Tensor:
        """Leave the gradient of the whole batch in the parameters and return its loss, a scalar on the device.

        Raises
        ------
        JobError
            Memory does not suffice for a single slice.
        """
        while True:
            try:
                return self._accumulate(batch)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).splitlines()[0]
            # Only after the handler is what the traceback held on to free again.
            self._halve(batch, reason)

    def update(self, rate: float) -> None:
        """Change the weights by the gradient at a learning rate."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.scaler.step(self.optimiser)
        self.scaler.update()

    def _accumulate(self, batch: Batch) -> Tensor:
        self.optimiser.zero_grad(set_to_none=True)
        n = len(batch.weights)
        n_parts = math.ceil(n / self.slices_at_once)
        total = torch.zeros((), device=self.device)
        for part in torch.arange(n, device=self.device).tensor_split(n_parts):
            images = (batch.images[part] if n_parts > 1 else batch.images).contiguous(memory_format=torch.channels_last)
            with torch.autocast(self.device.type, self.dtype or torch.bfloat16, enabled=self.dtype is not None):
                logits = self.network(images)
            loss = self.loss(logits, batch.classes[part], batch.weights[part]) * (len(part) / n)
            self.scaler.scale(loss).backward()
            total += loss.detach()
        return total

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
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.slices_at_once = int(state["slices_at_once"])
