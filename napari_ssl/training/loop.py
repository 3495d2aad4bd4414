"""The one training loop: every strategy trains through `fit`.

A run is a function of network, data, parameters, number of iterations and seed. Stopped, killed and resumed it ends
with the same bits as uninterrupted, on the same machine with the same number of threads: a checkpoint holds weights,
optimiser, gradient scaler, random states, the shuffled order and the place in it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from napari_ssl.core.catalogue import FitParameters
from napari_ssl.core.job import Emit, ShouldStop
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.errors import SpecError
from napari_ssl.training.dataset import Store
from napari_ssl.training.device import deterministic
from napari_ssl.training.method import Method
from napari_ssl.training.trainer import FitOrder, FitResult, Stopped, Trainer

__all__ = ["FitResult", "Stopped", "fit"]


def fit(
    network: nn.Module,
    dataset: Store,
    *,
    parameters: FitParameters,
    iterations: int,
    validation: Store | None,
    scheme: LabelScheme,
    seed: int,
    device: torch.device | str,
    emit: Emit,
    should_stop: ShouldStop,
    checkpoint_folder: Path,
    step_name: str,
    unlabelled: Store | None = None,
    method: Method | None = None,
    new_network: Callable[[], nn.Module] | None = None,
    processes: int = 1,
) -> FitResult:
    """Train `network` in place, going on from the newest checkpoint in `checkpoint_folder` if there is one.

    Parameters
    ----------
    network : nn.Module
        Maps ``(B, 1, [Z,] Y, X)`` to logits ``(B, K, [Z,] Y, X)``; holds the weights to start from, at the end those
        of the result.
    dataset : SliceStore or VolumeStore
        Slices or patches to learn from, with their weights (λ).
    parameters : FitParameters
    iterations : int
        Optimiser steps; 0 returns the weights as they are.
    validation : SliceStore, VolumeStore or None
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
    unlabelled : SliceStore, VolumeStore or None
        What the method learns from besides.
    method : Method, optional
        What a step minimises; by default supervised training with the loss of the parameters.
    new_network : callable, optional
        Returns another network of the same kind with random weights, for methods that need one.

    processes : int
        So many processes of this machine share every batch, one a GPU (`napari_ssl.training.parallel`).

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
    method = method or Method(parameters)
    if (unlabelled is not None) != (method.n_unlabelled > 0):
        raise SpecError(
            f"{type(method).__name__} draws {method.n_unlabelled} unlabelled images a step, and unlabelled cases were "
            f"{'not ' if unlabelled is None else ''}given"
        )
    with deterministic():
        order = FitOrder(
            network=network,
            dataset=dataset,
            unlabelled=unlabelled,
            method=method,
            new_network=new_network or (lambda: copy.deepcopy(network)),
            parameters=parameters,
            iterations=iterations,
            validation=validation,
            scheme=scheme,
            seed=seed,
            device=torch.device(device),
            emit=emit,
            should_stop=should_stop,
            folder=Path(checkpoint_folder),
            step_name=step_name,
        )
        if processes > 1:
            from napari_ssl.training.parallel import fit_together

            return fit_together(order, processes)
        return Trainer(order).run()
