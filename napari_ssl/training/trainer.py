"""What one call of `napari_ssl.training.loop.fit` does and holds."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_ssl.core.catalogue import FitParameters
from napari_ssl.core.job import Emit, Event, EventKind, ShouldStop
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.errors import CheckpointError, JobError
from napari_ssl.networks.weights import weights_digest
from napari_ssl.training.checkpoints import latest_checkpoint, write_checkpoint
from napari_ssl.training.dataset import SliceOrder, Store
from napari_ssl.training.method import Method, StepInfo
from napari_ssl.training.peers import Alone, Peers
from napari_ssl.training.stepper import Stepper, place
from napari_ssl.training.validation import ValidationResult, validate

__all__ = ["CHECKPOINT_SECONDS", "FitOrder", "FitResult", "Stopped", "Trainer"]

CHECKPOINT_SECONDS = 20.0
_PROGRESS_SECONDS = 0.5
_LOSSES_AT_ONCE = 20
"""On CUDA losses are fetched in groups: fetching each would make the device wait."""


class Stopped(Exception):  # noqa: N818 - a request that was met, not an error
    """Work ended on request; what is needed to go on was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOrder:
    """The arguments of `napari_ssl.training.loop.fit`."""

    network: nn.Module
    dataset: Store
    unlabelled: Store | None
    parameters: FitParameters
    method: Method
    new_network: Callable[[], nn.Module]
    iterations: int
    validation: Store | None
    scheme: LabelScheme
    seed: int
    device: torch.device
    emit: Emit
    should_stop: ShouldStop
    folder: Path
    step_name: str
    peers: Peers = field(default_factory=Alone)

    def identity(self) -> str:
        """Name the run by what decides its result; folder and device are left out."""
        document = {
            "parameters": asdict(self.parameters),
            "method": self.method.identity(),
            "iterations": self.iterations,
            "seed": self.seed,
            "start": weights_digest(self.network.state_dict()),
            "training": self.dataset.digest(),
            "unlabelled": self.unlabelled.digest() if self.unlabelled is not None else None,
            "validation": self.validation.digest() if self.validation is not None else None,
        }
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """What training gave.

    Parameters
    ----------
    state_dict : dict
        Weights on the CPU: of the last step, or of the best validation where the parameters keep the best.
    history : list of dict
        One per validation: ``iteration``, ``loss`` (mean of the training loss since the one before),
        ``learning_rate``, ``validation_dice`` {structure: Dice, or None where it was nowhere to be seen},
        ``validation_loss``.
    last_validation : dict or None
        Last entry of the history; None without validation.
    losses : list of float
        Training loss of every iteration.
    iterations : int
        Steps done: fewer than asked for after an early stop.
    kept_iteration : int
        Step that `state_dict` is from.
    slices_at_once : int
        Slices that went through the network at once; below the batch size after running out of memory.
    extras : dict
        State dicts of networks to keep beside it, by name.
    """

    state_dict: dict[str, Tensor]
    history: list[dict[str, Any]]
    last_validation: dict[str, Any] | None
    losses: list[float]
    iterations: int
    kept_iteration: int
    slices_at_once: int
    extras: dict[str, dict[str, Tensor]]


@dataclass(kw_only=True)
class _State:
    """Where a run stands; plain numbers, lists and dicts."""

    iteration: int = 0
    losses: list[float] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    validated_at: int = 0
    best_dice: float = -1.0
    best_iteration: int = 0
    without_progress: int = 0
    finished: bool = False


class Trainer:
    """Runs one order to its end, from its newest checkpoint if there is one."""

    def __init__(self, order: FitOrder) -> None:
        self.order, self.parameters, self.device = order, order.parameters, order.device
        self.identity = order.identity()
        self.network = place(order.network, order.device).train()
        self.method = order.method
        self.slices = SliceOrder(order.dataset.weights, order.seed)
        self.others = SliceOrder(order.unlabelled.weights, order.seed + 2) if order.unlabelled is not None else None
        self.generator = torch.Generator().manual_seed(order.seed + 1)
        torch.manual_seed(order.seed)
        self.method.attach(
            self.network,
            device=order.device,
            iterations=order.iterations,
            n_classes=order.dataset.n_classes,
            new_network=order.new_network,
        )
        self.peers = order.peers
        if self.peers.rank:
            torch.manual_seed(order.seed + 7919 * self.peers.rank)  # each drops other features of its share
        self.stepper = Stepper(self.network, order.parameters, order.method, order.device, self._notice, self.peers)
        self.state = _State()
        self.best: dict[str, Tensor] = {}
        self._pending: list[Tensor] = []
        self._progress_at = 0.0

    def run(self) -> FitResult:
        """Train to the end; raises as `napari_ssl.training.loop.fit` says."""
        self._resume()
        self._started_at = self._checkpoint_at = time.monotonic()
        self._started_iteration = self.state.iteration
        while not self.state.finished:
            if self.peers.any(self.order.should_stop()):
                self._stop()
            self._validate_if_due()
            if self.state.finished:
                break
            if self.state.iteration >= self.order.iterations:
                self._finish()
                break
            self._step()
            now = time.monotonic()
            if now - self._progress_at >= _PROGRESS_SECONDS:
                self._flush()
                self._progress()
            if self.peers.any(now - self._checkpoint_at >= CHECKPOINT_SECONDS):
                self._checkpoint()
        self._progress()
        return self._result()

    def _step(self) -> None:
        order, state = self.order, self.state
        step = StepInfo(
            iteration=state.iteration,
            iterations=order.iterations,
            generator=self.generator,
            forward=self.stepper.forward,
        )
        drawn = order.dataset.batch(self.slices.next(self.parameters.batch_size), self.generator)
        labelled, unlabelled = drawn.to(self.device), None
        if order.unlabelled is not None and self.others is not None:
            drawn = order.unlabelled.batch(self.others.next(self.method.n_unlabelled), self.generator)
            unlabelled = drawn.to(self.device)
        labelled, unlabelled = self.method.augment(labelled, unlabelled, step)
        self._pending.append(self.stepper.share(self.stepper.backward(labelled, unlabelled, step)))
        if self.device.type == "cpu" or len(self._pending) >= _LOSSES_AT_ONCE:
            self._flush()  # before the update: on a CPU a loss that is not finite never reaches the weights
        self.stepper.update(step)
        state.iteration += 1

    def _flush(self) -> None:
        """Fetch losses from the device and refuse what is not finite."""
        values = torch.stack(self._pending).tolist() if self._pending else []
        self._pending.clear()
        for value in values:
            self.state.losses.append(value)
            if not math.isfinite(value):
                raise JobError(
                    f"{self.order.step_name}: the loss is {value} at iteration {len(self.state.losses)}; lower the "
                    f"learning rate (now {self.parameters.learning_rate:g}), use precision=float32, and look for "
                    "damaged images with the study's check"
                )

    # Validation

    def _validate_if_due(self) -> None:
        state, order = self.state, self.order
        is_due = state.iteration % self.parameters.validate_every == 0 or state.iteration == order.iterations
        if order.validation is None or state.iteration == state.validated_at or not is_due:
            return
        self._flush()
        validation = order.validation
        result = self.peers.from_first(
            lambda: validate(
                self.method.deployed(self.network),
                validation,
                loss=self.method.labelled_loss,
                scheme=order.scheme,
                device=self.device,
                dtype=self.stepper.dtype,
                batch_size=self.stepper.slices_at_once,
                should_stop=order.should_stop,
            )
        )
        if result is None:
            self._stop()
        else:
            self._record(result)

    def _record(self, result: ValidationResult) -> None:
        state = self.state
        since = state.losses[state.validated_at : state.iteration]
        entry = {
            "iteration": state.iteration,
            "loss": sum(since) / len(since),
            "learning_rate": self.method.learning_rate(state.iteration - 1, self.order.iterations),
            "validation_dice": _plain(result.dice),
            "validation_loss": result.loss,
        }
        state.history.append(entry)
        state.validated_at = state.iteration
        if result.mean_dice > state.best_dice:
            state.best_dice, state.best_iteration, state.without_progress = result.mean_dice, state.iteration, 0
            if self.parameters.keep == "best":
                self.best = _on_cpu(self.method.deployed(self.network).state_dict())
        else:
            state.without_progress += 1
        self._progress(result)
        if 0 < self.parameters.patience <= state.without_progress and state.iteration < self.order.iterations:
            self._notice(
                f"stopped early at iteration {state.iteration}: no better validation Dice than {state.best_dice:.3f} "
                f"at iteration {state.best_iteration}"
            )
            self._finish()

    # Events

    def _notice(self, message: str) -> None:
        self.order.emit(Event(kind=EventKind.NOTICE, data={"message": f"{self.order.step_name}: {message}"}))

    def _progress(self, validation: ValidationResult | None = None) -> None:
        self._progress_at = time.monotonic()
        state, order = self.state, self.order
        data: dict[str, Any] = {
            "fraction": 1.0 if state.finished else state.iteration / max(1, order.iterations),
            "step": order.step_name,
            "epoch": self.slices.epoch,
            "epochs": max(1, math.ceil(order.iterations * self.parameters.batch_size / order.dataset.n_weighted)),
            "iteration": state.iteration,
            "iterations": order.iterations,
        }
        if state.losses:
            data["loss"] = state.losses[-1]
            if losses := self.method.log():
                data["losses"] = losses
            data["learning_rate"] = self.method.learning_rate(max(0, state.iteration - 1), order.iterations)
        done = state.iteration - self._started_iteration
        if done and not state.finished:
            seconds = (self._progress_at - self._started_at) / done
            data["seconds_left"] = seconds * (order.iterations - state.iteration)
        if validation is not None:
            data["validation_dice"] = _plain(validation.dice)
            data["validation_loss"] = validation.loss
        order.emit(Event(kind=EventKind.PROGRESS, data=data))

    # Stop, checkpoint, resume, result

    def _stop(self) -> None:
        self._checkpoint()
        raise Stopped(f"{self.order.step_name}: stopped on request after {self.state.iteration} iterations")

    def _finish(self) -> None:
        self._flush()
        self.state.finished = True
        self._checkpoint()

    def _checkpoint(self) -> None:
        self._flush()
        document = {
            "identity": self.identity,
            "threads": torch.get_num_threads(),
            "device": self.device.type,
            "stepper": self.stepper.state_dict(),
            "slices": self.slices.state_dict(),
            "others": self.others.state_dict() if self.others is not None else None,
            "augmentation": self.generator.get_state(),
            "torch": self.peers.gather(torch.get_rng_state()),
            "cuda": self.peers.gather(torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None),
            "best": self.best,
            "state": asdict(self.state),
        }
        self._checkpoint_at = time.monotonic()
        if self.peers.rank:
            return
        path = write_checkpoint(self.order.folder, self.state.iteration, document)
        self.order.emit(Event(kind=EventKind.CHECKPOINT, data={"iteration": self.state.iteration, "path": str(path)}))

    def _resume(self) -> None:
        document = latest_checkpoint(self.order.folder)
        if document is None:
            return
        if document.get("identity") != self.identity:
            raise CheckpointError(
                f"{self.order.folder}: the checkpoint belongs to another run (other data, parameters, seed or start "
                "weights); give this run a folder of its own, or remove that one"
            )
        if (document["threads"], document["device"]) != (torch.get_num_threads(), self.device.type):
            self._notice(
                f"resumed on {self.device.type} with {torch.get_num_threads()} threads after {document['device']} with "
                f"{document['threads']}: the result is equal up to rounding only"
            )
        self.stepper.load_state_dict(document["stepper"])
        self.slices.load_state_dict(document["slices"])
        if self.others is not None:
            self.others.load_state_dict(document["others"])
        self.generator.set_state(document["augmentation"])
        self._restore_randomness(_list(document["torch"]), _list(document["cuda"]))
        self.best = document["best"]
        self.state = _State(**document["state"])

    def _restore_randomness(self, states: list[Tensor], on_cuda: list[Tensor | None]) -> None:
        if len(states) != self.peers.size:
            self._notice(
                f"resumed with {self.peers.size} processes after {len(states)}: the result is equal up to rounding and "
                "to what dropout leaves to chance"
            )
            if self.peers.rank >= len(states):
                return  # keeps the seed of its rank
        torch.set_rng_state(states[self.peers.rank])
        on_device = on_cuda[self.peers.rank]
        if on_device is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(on_device, self.device)

    def _result(self) -> FitResult:
        state = self.state
        deployed = self.method.deployed(self.network)
        kept = self.best or _on_cpu(deployed.state_dict())
        if self.best or deployed is not self.network:
            self.network.load_state_dict(kept)
        return FitResult(
            state_dict=kept,
            history=state.history,
            last_validation=state.history[-1] if state.history else None,
            losses=state.losses,
            iterations=state.iteration,
            kept_iteration=state.best_iteration if self.best else state.iteration,
            slices_at_once=self.stepper.slices_at_once,
            extras={name: _on_cpu(module.state_dict()) for name, module in self.method.extras().items()},
        )


def _list(value: Any) -> list[Any]:
    """Checkpoints of before there were several processes hold one value."""
    return value if isinstance(value, list) else [value]


def _plain(dice: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: a structure that was nowhere to be seen has no Dice."""
    return {name: None if math.isnan(value) else value for name, value in dice.items()}


def _on_cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
