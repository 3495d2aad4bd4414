"""Processes that train one network together: each takes its share of every batch, gradients are summed.

A process alone is a group of one (`Alone`): the loop is written once for both. Between several (`Group`) the sums go
through torch.distributed: NCCL between GPUs, gloo between CPUs, met at a file in a private folder, not at a port.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

__all__ = ["Alone", "Group", "Peers"]

T = TypeVar("T")
_TIMEOUT = timedelta(minutes=30)


class Peers(Protocol):
    """What the loop asks of the others. Every process must ask the same, in the same order."""

    rank: int
    size: int

    def add_up(self, network: nn.Module, loss: Tensor) -> Tensor:
        """Sum the gradients of a network over all processes, and return the sum of their losses."""

    def level(self, network: nn.Module) -> None:
        """Replace running statistics (batch normalisation) by their mean over all processes."""

    def any(self, flag: bool) -> bool:
        """Whether any process says yes."""

    def from_first(self, make: Callable[[], T]) -> T:
        """Let the first process make something and give it to all."""

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, by rank."""


class Alone:
    """One process."""

    rank = 0
    size = 1

    def add_up(self, network: nn.Module, loss: Tensor) -> Tensor:
        """Nothing to add."""
        return loss

    def level(self, network: nn.Module) -> None:
        """Nothing to level."""

    def any(self, flag: bool) -> bool:
        """Its own answer."""
        return flag

    def from_first(self, make: Callable[[], T]) -> T:
        """Make it."""
        return make()

    def gather(self, value: T) -> list[T]:
        """Its own value."""
        return [value]


class Group:
    """One of several processes.

    Parameters
    ----------
    rank, size : int
        This process, from 0, of so many.
    meeting_place : Path
        A file that does not exist yet, in a folder of the user's alone.
    device : torch.device
        Of this process.
    """

    def __init__(self, rank: int, size: int, meeting_place: Path, device: torch.device) -> None:
        self.rank, self.size, self._device = rank, size, device
        self._meeting_place = meeting_place
        self._is_open = False

    def open(self) -> None:
        """Meet the others; returns when all are there."""
        import torch.distributed as dist

        if sys.platform.startswith("linux"):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all are on this machine
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if self._device.type == "cuda" else "gloo",
            init_method=self._meeting_place.absolute().as_uri(),
            rank=self.rank,
            world_size=self.size,
            timeout=_TIMEOUT,
        )
        self._is_open = True

    def close(self) -> None:
        """Leave the group."""
        import torch.distributed as dist

        if self._is_open:
            self._is_open = False
            dist.destroy_process_group()

    def add_up(self, network: nn.Module, loss: Tensor) -> Tensor:
        """Sum the gradients of a network over all processes, in one message, and return the sum of their losses."""
        import torch.distributed as dist

        parameters = [p for p in network.parameters() if p.requires_grad]
        flat = torch.cat([loss.reshape(1), *(_gradient(p).reshape(-1) for p in parameters)])
        dist.all_reduce(flat)
        place = 1
        for parameter in parameters:
            gradient = flat[place : place + parameter.numel()].view(parameter.shape)
            place += parameter.numel()
            if parameter.grad is None:
                parameter.grad = gradient.clone()
            else:
                parameter.grad.copy_(gradient)
        return flat[0]

    def level(self, network: nn.Module) -> None:
        """Replace running statistics by their mean."""
        import torch.distributed as dist

        for buffer in network.buffers():
            if buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer /= self.size

    def any(self, flag: bool) -> bool:
        """Whether any process says yes."""
        import torch.distributed as dist

        asked = torch.tensor(int(flag))
        dist.all_reduce(asked, op=dist.ReduceOp.MAX)
        return bool(asked)

    def from_first(self, make: Callable[[], T]) -> T:
        """Let the first process make something and give it to all."""
        import torch.distributed as dist

        box: list[Any] = [make() if self.rank == 0 else None]
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, by rank."""
        import torch.distributed as dist

        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
