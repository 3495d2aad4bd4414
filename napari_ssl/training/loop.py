"""The one training loop: every strategy trains through `fit`.

A run is a function of network, data, parameters, number of iterations and seed. Stopped, killed and resumed it ends
with the same bits as uninterrupted, on the same machine with the same number of threads: a checkpoint holds weights,
optimiser, gradient scaler, random states, the shuffled order and the place in it.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_ssl.core.catalogue import FitParameters
from napari_ssl.core.job import Emit, Event, EventKind, ShouldStop
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.errors import CheckpointError, JobError, SpecError
from napari_ssl.inference.predict import is_out_of_memory
from napari_ssl.networks.weights import weights_digest
from napari_ssl.training.augment import augment
from napari_ssl.training.checkpoints import latest_checkpoint, write_checkpoint
from napari_ssl.training.dataset import Batch, SliceOrder, SliceStore
from napari_ssl.training.device import deterministic, mixed_dtype
from napari_ssl.training.losses import choose_loss
from napari_ssl.training.optimise import build_optimiser, learning_rate
from napari_ssl.training.validation import ValidationResult, validate

__all__ = ["CHECKPOINT_SECONDS", "FitResult", "Stopped", "fit"]

CHECKPOINT_SECONDS = 20.0
_PROGRESS_SECONDS = 0.5
_LOSSES_AT_ONCE = 20
"""On CUDA losses are fetched in groups: fetching each would make the device wait."""


class Stopped(Exception):  # noqa: N818 - a request that was met, not an error
    """Training ended on request; a checkpoint was written. `iteration` steps are done."""

    def __init__(self, iteration: int) -> None:
        super().__init__(f"stopped on request after {iteration} iterations, checkpoint written")
        self.iteration = iteration


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """What training gave.

    Parameters
    ----------
    state_dict : dict
        Weights on the CPU: of the last step, or of the best validation where the parameters keep the best.
    history : list of dict
        One per validation: ``iteration, loss`` (mean of the training loss since the one before)``, learning_rate,
        validation_dice`` {structure: Dice or None where nothing was to be seen}``, validation_loss``.
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
    """

    state_dict: dict[str, Tensor]
    history: list[dict[str, Any]]
    last_validation: dict[str, Any] | None
    losses: list[float]
    iterations: int
    kept_iteration: int
    slices_at_once: int


@dataclass(kw_only=True)
class _State:
    """What a checkpoint holds besides tensors; plain numbers, lists and dicts."""

    iteration: int = 0
    slices_at_once: int
    losses: list[float] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    validated_at: int = 0
    best_dice: float = -1.0
    best_iteration: int = 0
    without_progress: int = 0
    finished: bool = False


def fit(
    network: nn.Module,
    dataset: SliceStore,
    *,
    parameters: FitParameters,
    iterations: int,
    validation: SliceStore | None,
    scheme: LabelScheme,
    seed: int,
    device: torch.device | str,
    emit: Emit,
    should_stop: ShouldStop,
    checkpoint_folder: Path,
    step_name: str,
) -> FitResult:
    """Train `network` in place, going on from the newest checkpoint in `checkpoint_folder` if there is one.

    Parameters
    ----------
    network : nn.Module
        Maps ``(B, 1, Y, X)`` to logits ``(B, K, Y, X)``; holds the weights to start from. At the end it holds those
        of the result.
    dataset : SliceStore
        Slices to learn from, with their weights (λ).
    parameters : FitParameters
    iterations : int
        Optimiser steps; 0 returns the weights as they are.
    validation : SliceStore or None
        Watched every ``parameters.validate_every`` steps and at the end; decides only where the parameters say so
        (``patience``, ``keep="best"``).
    scheme : LabelScheme
        Names the structures.
    seed : int
        Decides order, augmentation and dropout.
    device : torch.device or str
    emit : callable
        Takes events of kind progress (about twice a second and after each validation), checkpoint and notice.
        ``fraction`` counts this call alone.
    should_stop : callable
        Asked before every step and every validation batch.
    checkpoint_folder : Path
        Of this call alone.
    step_name : str
        What is being done, for people.

    Raises
    ------
    Stopped
        `should_stop` said yes; a checkpoint was written.
    JobError
        A loss that is not finite, or memory that does not suffice for one slice.
    CheckpointError
        The folder's checkpoints are damaged or belong to another run.
    SpecError
        Contradicting arguments.
    """
    if iterations < 0:
        raise SpecError(f"iterations must be 0 or more, got {iterations}")
    if parameters.keep == "best" and validation is None:
        raise SpecError("keep=best needs validation cases; import some into the validation split or use keep=last")
    with deterministic():
        trainer = _Trainer(
            network,
            dataset,
            parameters,
            iterations,
            validation,
            scheme,
            seed,
            torch.device(device),
            emit,
            should_stop,
            Path(checkpoint_folder),
            step_name,
        )
        return trainer.run()


class _Trainer:
    """The state of one call of `fit`."""

    def __init__(
        self,
        network: nn.Module,
        dataset: SliceStore,
        parameters: FitParameters,
        iterations: int,
        validation: SliceStore | None,
        scheme: LabelScheme,
        seed: int,
        device: torch.device,
        emit: Emit,
        should_stop: ShouldStop,
        folder: Path,
        step_name: str,
    ) -> None:
        self.dataset, self.validation, self.scheme = dataset, validation, scheme
        self.parameters, self.iterations, self.device = parameters, iterations, device
        self.emit, self.should_stop, self.folder, self.step_name = emit, should_stop, folder, step_name
        self.identity = self._identity(network, seed)
        self.network = network.to(device=device, memory_format=torch.channels_last).train()
        self.loss = choose_loss(parameters.loss)
        self.dtype = mixed_dtype(parameters.precision, device)
        if parameters.precision == "mixed" and self.dtype is None:
            self._notice("mixed arithmetic was asked for; this CPU is slower at it, so float32 is used")
        self.optimiser = build_optimiser(self.network, parameters)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype is torch.float16)
        self.order = SliceOrder(dataset.weights, seed)
        self.generator = torch.Generator().manual_seed(seed + 1)
        torch.manual_seed(seed)
        self.state = _State(slices_at_once=parameters.batch_size)
        self.best: dict[str, Tensor] = {}
        self.pending: list[Tensor] = []

    def _identity(self, network: nn.Module, seed: int) -> str:
        """Name the run by what decides its result; the place of the files and the device are left out."""
        document = {
            "parameters": asdict(self.parameters),
            "iterations": self.iterations,
            "seed": seed,
            "start": weights_digest(network.state_dict()),
            "training": self.dataset.digest(),
            "validation": self.validation.digest() if self.validation is not None else None,
        }
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def run(self) -> FitResult:
        self._resume()
        self.started_at = self.checkpoint_at = time.monotonic()
        self.started_iteration, self.progress_at = self.state.iteration, 0.0
        while not self.state.finished and self.state.iteration < self.iterations:
            self._stop_if_asked()
            self._validate_if_due()
            if self.state.finished:
                break
            self._step()
            now = time.monotonic()
            if now - self.progress_at >= _PROGRESS_SECONDS:
                self._flush()
                self._progress()
            if now - self.checkpoint_at >= CHECKPOINT_SECONDS:
                self._checkpoint()
        self._flush()
        self._validate_if_due()
        if not self.state.finished:
            self.state.finished = True
            self._checkpoint()
        self._progress()
        return self._result()

    # One step

    def _step(self) -> None:
        rate = learning_rate(self.parameters, self.state.iteration, self.iterations)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        batch = self.dataset.batch(self.order.next(self.parameters.batch_size)).to(self.device)
        images, classes = augment(
            batch.images, batch.classes, name=self.parameters.augmentation, generator=self.generator
        )
        loss = self._backward(Batch(images=images, classes=classes, weights=batch.weights))
        self.pending.append(loss)
        if self.device.type == "cpu":
            self._flush()  # before the optimiser, so that a loss that is not finite never reaches the weights
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.state.iteration += 1
        if len(self.pending) >= _LOSSES_AT_ONCE:
            self._flush()

    def _backward(self, batch: Batch) -> Tensor:
        """Leave the gradient of the whole batch in the parameters, in as many parts as memory asks for."""
        while True:
            try:
                return self._accumulate(batch)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                # Leaving the handler first frees what the traceback holds on to.
                reason = str(error).splitlines()[0]
            self._halve(len(batch.weights), reason)

    def _accumulate(self, batch: Batch) -> Tensor:
        self.optimiser.zero_grad(set_to_none=True)
        n = len(batch.weights)
        n_parts = math.ceil(n / self.state.slices_at_once)
        total = torch.zeros((), device=self.device)
        for part in torch.arange(n, device=self.device).tensor_split(n_parts):
            share = len(part) / n
            images = (batch.images[part] if n_parts > 1 else batch.images).contiguous(memory_format=torch.channels_last)
            with torch.autocast(self.device.type, self.dtype or torch.bfloat16, enabled=self.dtype is not None):
                logits = self.network(images)
            loss = self.loss(logits, batch.classes[part], batch.weights[part]) * share
            self.scaler.scale(loss).backward()
            total += loss.detach()
        return total

    def _halve(self, n: int, reason: str) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        before = min(n, self.state.slices_at_once)
        if before == 1:
            raise JobError(
                f"{self.step_name}: not enough memory on {self.device} for a single slice of "
                f"{tuple(self.dataset.preprocessing.crop_yx)} pixels ({reason}); close programs or take a smaller "
                "network or a study with a smaller crop"
            )
        self.state.slices_at_once = before // 2
        self._notice(
            f"{self.step_name}: out of memory with {before} slices at once; going on with "
            f"{self.state.slices_at_once} at once, an optimiser step still sees {n}"
        )

    def _flush(self) -> None:
        """Fetch losses from the device and refuse what is not finite."""
        values = torch.stack(self.pending).tolist() if self.pending else []
        self.pending.clear()
        for value in values:
            self.state.losses.append(value)
            if not math.isfinite(value):
                raise JobError(
                    f"{self.step_name}: the loss is {value} at iteration {len(self.state.losses)}; lower the learning "
                    f"rate (now {self.parameters.learning_rate:g}), use precision=float32, and look for damaged images "
                    "with the study's check"
                )

    # Validation

    def _validate_if_due(self) -> None:
        state = self.state
        is_due = state.iteration % self.parameters.validate_every == 0 or state.iteration == self.iterations
        if self.validation is None or state.iteration == state.validated_at or not is_due:
            return
        self._flush()
        result = validate(
            self.network, self.validation, loss=self.loss, scheme=self.scheme, device=self.device, dtype=self.dtype,
            batch_size=state.slices_at_once, should_stop=self.should_stop,
        )  # fmt: skip
        if result is None:
            self._stop()
        self._record(result)
        self._progress(result)

    def _record(self, result: ValidationResult) -> None:
        state = self.state
        since = state.losses[state.validated_at : state.iteration]
        entry = {
            "iteration": state.iteration,
            "loss": sum(since) / len(since),
            "learning_rate": learning_rate(self.parameters, state.iteration - 1, self.iterations),
            "validation_dice": _plain(result.dice),
            "validation_loss": result.loss,
        }
        state.history.append(entry)
        state.validated_at = state.iteration
        if result.mean_dice > state.best_dice:
            state.best_dice, state.best_iteration, state.without_progress = result.mean_dice, state.iteration, 0
            if self.parameters.keep == "best":
                self.best = _on_cpu(self.network.state_dict())
            return
        state.without_progress += 1
        if 0 < self.parameters.patience <= state.without_progress:
            self._notice(
                f"{self.step_name}: stopped early at iteration {state.iteration}, no better validation Dice than "
                f"{state.best_dice:.3f} at iteration {state.best_iteration}"
            )
            state.finished = True
            self._checkpoint()

    # Events, stop and resume

    def _notice(self, message: str) -> None:
        self.emit(Event(kind=EventKind.NOTICE, data={"message": message}))

    def _progress(self, validation: ValidationResult | None = None) -> None:
        self.progress_at = time.monotonic()
        state = self.state
        data: dict[str, Any] = {
            "fraction": 1.0 if state.finished else state.iteration / max(1, self.iterations),
            "step": self.step_name,
            "epoch": self.order.epoch,
            "epochs": max(1, math.ceil(self.iterations * self.parameters.batch_size / self.dataset.n_weighted)),
            "iteration": state.iteration,
            "iterations": self.iterations,
        }
        if state.losses:
            data["loss"] = state.losses[-1]
            data["learning_rate"] = self.optimiser.param_groups[0]["lr"]
        done = state.iteration - self.started_iteration
        if done and not state.finished:
            seconds = (self.progress_at - self.started_at) / done
            data["seconds_left"] = seconds * (self.iterations - state.iteration)
        if validation is not None:
            data["validation_dice"] = _plain(validation.dice)
            data["validation_loss"] = validation.loss
        self.emit(Event(kind=EventKind.PROGRESS, data=data))

    def _stop_if_asked(self) -> None:
        if self.should_stop():
            self._stop()

    def _stop(self) -> None:
        self._checkpoint()
        raise Stopped(self.state.iteration)

    def _checkpoint(self) -> None:
        self._flush()
        document = {
            "identity": self.identity,
            "threads": torch.get_num_threads(),
            "device": self.device.type,
            "network": self.network.state_dict(),
            "best": self.best,
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "order": self.order.state_dict(),
            "augmentation": self.generator.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
            "state": asdict(self.state),
        }
        path = write_checkpoint(self.folder, self.state.iteration, document)
        self.checkpoint_at = time.monotonic()
        self.emit(Event(kind=EventKind.CHECKPOINT, data={"iteration": self.state.iteration, "path": str(path)}))

    def _resume(self) -> None:
        document = latest_checkpoint(self.folder)
        if document is None:
            return
        if document["identity"] != self.identity:
            raise CheckpointError(
                f"{self.folder}: the checkpoint belongs to another run (other data, parameters, seed or weights); "
                "give this run a folder of its own, or remove that one"
            )
        if (document["threads"], document["device"]) != (torch.get_num_threads(), self.device.type):
            self._notice(
                f"{self.step_name}: resumed on {self.device.type} with {torch.get_num_threads()} threads after "
                f"{document['device']} with {document['threads']}: equal up to rounding only"
            )
        self.network.load_state_dict(document["network"])
        self.best = document["best"]
        self.optimiser.load_state_dict(document["optimiser"])
        self.scaler.load_state_dict(document["scaler"])
        self.order.load_state_dict(document["order"])
        self.generator.set_state(document["augmentation"])
        torch.set_rng_state(document["torch"])
        if document["cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(document["cuda"], self.device)
        self.state = _State(**document["state"])

    def _result(self) -> FitResult:
        state = self.state
        keeps_best = self.parameters.keep == "best" and bool(self.best)
        if keeps_best:
            self.network.load_state_dict(self.best)
        return FitResult(
            state_dict=_on_cpu(self.network.state_dict()),
            history=state.history,
            last_validation=state.history[-1] if state.history else None,
            losses=state.losses,
            iterations=state.iteration,
            kept_iteration=state.best_iteration if keeps_best else state.iteration,
            slices_at_once=state.slices_at_once,
        )


def _plain(dice: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: a structure that nowhere was to be seen has no Dice."""
    return {name: None if math.isnan(value) else value for name, value in dice.items()}


def _on_cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
