"""Data-parallel training on one machine: the caller and helpers, one process a GPU (or a share of the CPU's cores).

::

    caller (rank 0)   builds the trainer, writes the order for helpers, meets them, trains; events, checkpoints
    helper (rank r)   python -m napari_ssl.training.parallel FOLDER RANK: reads the order, meets, trains the same steps

Every process draws and augments the same batch from the same seed and takes its share of it; the step's gradient is the
sum. With instance or group normalisation and a loss that is a mean over samples (cross-entropy) the result is that of
one process up to rounding. What looks at a batch as a whole, batch normalisation and the Dice of a batch, looks at each
share by itself, as in one process that accumulates gradients over as many parts; running statistics are averaged after
each step. Methods that train further networks beside the first cannot be shared.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import torch
from torch import nn

from napari_ssl.core.job import Event
from napari_ssl.errors import JobError, SpecError
from napari_ssl.training.peers import Group
from napari_ssl.training.trainer import FitOrder, FitResult, Trainer

__all__ = ["fit_together", "main"]

_ORDER = "order.pkl"
_MEETING = "meeting"
_END_S = 10.0
_POLL_S = 0.05
_OWN = ("network", "method", "new_network", "emit", "should_stop", "peers")
"""Of an order: what every process has for itself."""


def fit_together(order: FitOrder, n_processes: int) -> FitResult:
    """Train with `n_processes`, this one included; as `napari_ssl.training.loop.fit`.

    Raises
    ------
    SpecError
        More processes than GPUs, or a method that cannot be shared.
    JobError
        A helper was lost.
    """
    n_gpus = torch.cuda.device_count() if order.device.type == "cuda" else n_processes
    if n_processes > n_gpus:
        raise SpecError(f"{n_processes} processes were asked for, there are {n_gpus} GPUs; ask for {n_gpus} or fewer")
    import cloudpickle

    start = copy.deepcopy(order.network).cpu()
    method = cloudpickle.dumps(order.method)  # before it is attached to this process's network
    made: list[nn.Module] = []

    def new_network() -> nn.Module:
        network = order.new_network()
        made.append(copy.deepcopy(network).cpu())
        return network

    with tempfile.TemporaryDirectory(prefix="napari-ssl-") as name:  # for its owner alone
        folder = Path(name)
        device = _device_of(order.device, 0)
        group = Group(0, n_processes, folder / _MEETING, device)
        trainer = Trainer(dataclasses.replace(order, device=device, new_network=new_network, peers=group))
        if trainer.method.optimisers():
            raise SpecError(
                f"{type(order.method).__name__} trains further networks beside the first, which several processes "
                "cannot share; train it with one process"
            )
        _write_order(order, method, start, made, folder)
        with _Helpers(folder, n_processes, order.device) as helpers:
            try:
                helpers.wait_until_ready()
                group.open()
                return trainer.run()
            except RuntimeError as error:  # what gloo and NCCL raise when a peer is gone
                raise helpers.explain(error) from error
            finally:
                group.close()


def _device_of(device: torch.device, rank: int) -> torch.device:
    return torch.device("cuda", rank) if device.type == "cuda" else device


def _write_order(order: FitOrder, method: bytes, start: nn.Module, made: list[nn.Module], folder: Path) -> None:
    """Write what a helper needs; a private file that this user alone reads back, so that pickling is safe."""
    import cloudpickle

    shared = {f.name: getattr(order, f.name) for f in dataclasses.fields(order) if f.name not in _OWN}
    document = {
        "order": shared, "method": method, "network": start, "made": made, "threads": torch.get_num_threads(),
    }  # fmt: skip
    with open(folder / _ORDER, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        cloudpickle.dump(document, file)


class _Helpers:
    """The other processes; ended when the block ends."""

    def __init__(self, folder: Path, n_processes: int, device: torch.device) -> None:
        self._folder, self._n, self._device = folder, n_processes, device
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> _Helpers:
        for rank in range(1, self._n):
            with (self._folder / f"helper{rank}.log").open("wb") as log:
                self._processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", __name__, str(self._folder), str(rank), str(self._n)],
                        stdin=subprocess.PIPE,
                        stdout=log,
                        stderr=log,
                    )
                )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            if kind is not None:
                process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()

    def wait_until_ready(self) -> None:
        """Wait until every helper has read its order: one that is lost before would be waited for in vain.

        Raises
        ------
        JobError
            One was lost.
        """
        while not all((self._folder / f"ready{rank}").exists() for rank in range(1, self._n)):
            if any(process.poll() is not None for process in self._processes):
                raise self.explain(RuntimeError("a helper ended before it began"))
            time.sleep(_POLL_S)

    def explain(self, error: RuntimeError) -> Exception:
        """Return what ended a helper, or `error` itself when all are there."""
        for rank, process in enumerate(self._processes, start=1):
            with suppress(subprocess.TimeoutExpired):
                process.wait(1.0)
            if process.poll() not in (None, 0):
                log = self._folder / f"helper{rank}.log"
                words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                return JobError(
                    f"training process {rank + 1} of {self._n} was lost: {words[-1] if words else 'it left no word'}; "
                    "the last checkpoint is kept: resume, or train with fewer processes"
                )
        return error


def _ignore(event: Event) -> None:
    """Events are the first process's to tell."""


def _never() -> bool:
    """A stop is the first process's to ask for."""
    return False


def _end_with_parent() -> None:
    """The end of standard input means that the caller is gone."""
    while os.read(0, 64):
        pass
    os._exit(1)


def main(arguments: list[str]) -> int:
    """Train as a helper."""
    import cloudpickle

    from napari_ssl.training.device import deterministic

    folder, rank, size = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with (folder / _ORDER).open("rb") as file:
        document = cloudpickle.load(file)
    torch.set_num_threads(document["threads"])
    made = iter(document["made"])
    shared = document["order"]
    device = _device_of(shared["device"], rank)
    group = Group(rank, size, folder / _MEETING, device)
    order = FitOrder(
        **{**shared, "device": device},
        network=document["network"],
        method=cloudpickle.loads(document["method"]),
        new_network=lambda: copy.deepcopy(next(made)),
        emit=_ignore,
        should_stop=_never,
        peers=group,
    )
    with deterministic():
        trainer = Trainer(order)
        (folder / f"ready{rank}").touch()
        group.open()
        try:
            trainer.run()
        finally:
            group.close()
    return 0


if __name__ == "__main__":
    from napari_ssl.training.trainer import Stopped

    try:
        status = main(sys.argv[1:])
    except Stopped:
        status = 0
    sys.stdout.flush()
    os._exit(status)
