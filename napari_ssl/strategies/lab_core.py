"""What the lab stands on: order, folder, device, networks, stores, durable steps and progress."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_ssl.core.duration import Duration
from napari_ssl.core.job import Emit, Event, EventKind, ShouldStop
from napari_ssl.core.training import TrainingItem, TrainingSpec
from napari_ssl.errors import ImageError
from napari_ssl.io.images import hash_file, read_header, read_image
from napari_ssl.networks import build_network
from napari_ssl.networks.ensemble import EnsembleNetwork
from napari_ssl.qc.score import Scorer
from napari_ssl.strategies.items import ItemSet
from napari_ssl.strategies.reviewing import document_key
from napari_ssl.strategies.steps import StepWork, working_in
from napari_ssl.strategies.theta import Ensemble, Theta
from napari_ssl.training.dataset import SliceStore, VolumeStore, entries_per_frame, make_store

__all__ = ["LabCore"]


class LabCore:
    """The insides of `napari_ssl.strategies.lab.Lab`."""

    def __init__(
        self,
        spec: TrainingSpec,
        run_folder: Path,
        device: torch.device,
        emit: Emit,
        should_stop: ShouldStop,
        *,
        steps_folder: Path | None = None,
    ) -> None:
        self.spec = spec
        self.folder = run_folder
        self.steps_folder = steps_folder or run_folder / "steps"
        self.device = device
        self.emit = emit
        self.should_stop = should_stop
        self.labelled = ItemSet(i for i in spec.items if i.role.has_labels)
        self.unlabelled = ItemSet(i for i in spec.items if not i.role.has_labels)
        self.start = (
            Theta(path=Path(spec.start.weights_path), hash=spec.start.weights_hash) if spec.start is not None else None
        )
        self._planned = 1
        self._done = 0
        self._n_fits = 0
        self._validation: SliceStore | VolumeStore | None = None
        self._slices: dict[str, int] = {}
        self._verified: set[str] = set()
        self.has_used_start = False
        self.crf_backend: str | None = None
        self._scorer: Scorer | None = None
        self._work: dict[str, StepWork] = {}
        self.selections: list[dict[str, Any]] = []
        self.reviewed: list[dict[str, Any]] = []

    def plan(self, *fit_iterations: int) -> None:
        """Say how many iterations each fit to come takes, so that progress and time left are of the whole run."""
        self._planned = max(1, sum(fit_iterations))

    def iterations(self, items: ItemSet, duration: str, batch_size: int) -> int:
        """Number of optimiser steps that a duration means on these items; those of weight 0 count for nothing."""
        return Duration.parse(duration).iterations(sum(self._n_slices(i) for i in items if i.weight > 0), batch_size)

    def notice(self, message: str) -> None:
        """Tell people something about the run."""
        self.emit(Event(kind=EventKind.NOTICE, data={"message": message}))

    @property
    def n_steps(self) -> int:
        """Optimiser steps of all fits so far."""
        return self._done

    @property
    def seconds(self) -> float:
        """What the steps so far have cost, in this run, earlier attempts, or other runs that share them."""
        return sum(work.seconds for work in self._work.values())

    @property
    def peak_memory_mib(self) -> float:
        """Highest memory of a process, or on CUDA of the device, that was at work on the steps so far."""
        return max((work.peak_memory_mib for work in self._work.values()), default=0.0)

    def network(self, theta: Theta | Ensemble) -> torch.nn.Module:
        """Return the network with weights Θ, or the ensemble of several, on the device, ready to predict."""
        if isinstance(theta, Ensemble):
            return EnsembleNetwork([self.network(member) for member in theta.members]).to(self.device).eval()
        network = self.new_network()
        network.load_state_dict(theta.weights())
        return network.to(self.device).eval()

    def new_network(self, initialisation: int = 0) -> torch.nn.Module:
        """Return the network of the order with random weights that the order's seed and a number decide."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.spec.seed + 7919 * initialisation)
            return build_network(
                self.spec.network,
                n_classes=self.spec.label_scheme.n_classes,
                parameters=self.spec.network_parameters,
                dimensions=self.spec.preprocessing.dimensions,
            )

    def image(self, item: TrainingItem) -> NDArray[np.generic]:
        """Read an item's image ``(T, Z, Y, X)``; ImageError when the file has changed since it was imported."""
        self._verify(item)
        return read_image(item.image_path).data

    @contextmanager
    def _working_in(self, folder: Path) -> Iterator[StepWork]:
        with working_in(folder, self.should_stop, self.device) as work:
            yield work
        self._work[folder.name] = work

    def _step_key(self, kind: str, items: ItemSet, settings: Any, rest: list[Any]) -> str:
        spec = self.spec
        return document_key(
            [
                kind,
                items.identity(),
                settings,
                rest,
                spec.network,
                spec.network_parameters,
                spec.seed,
                spec.label_scheme.to_dict(),
                dataclasses.asdict(spec.preprocessing),
                ItemSet(spec.validation).identity() if kind == "fit" else None,
            ]
        )

    def _n_slices(self, item: TrainingItem) -> int:
        if item.case_id not in self._slices:
            shape = read_header(item.image_path).shape_tzyx[1:]
            self._slices[item.case_id] = entries_per_frame(shape, item.spacing_zyx_mm, self.spec.preprocessing)
        return self._slices[item.case_id] * len(item.frames)

    def _store(self, items: Iterable[TrainingItem]) -> SliceStore | VolumeStore:
        store = make_store(self.spec.preprocessing, self.spec.label_scheme.n_classes)
        for item in items:
            self._verify(item)
            store.add_item(item, self.spec.label_scheme)
        return store

    def _unlabelled_store(self, items: Iterable[TrainingItem]) -> SliceStore | VolumeStore:
        store = make_store(self.spec.preprocessing, self.spec.label_scheme.n_classes)
        for item in items:
            self._verify(item)
            if item.role.has_labels:
                store.add_item(item, self.spec.label_scheme)
            else:
                store.add_unlabelled_item(item)
        return store

    def _validation_store(self) -> SliceStore | VolumeStore | None:
        if self._validation is None and self.spec.validation:
            self._validation = self._store(self.spec.validation)
        return self._validation

    def _verify(self, item: TrainingItem) -> None:
        if item.image_path not in self._verified:
            if hash_file(item.image_path) != item.image_hash:
                raise ImageError(
                    f"case {item.case_id}: {item.image_path} has changed since it was imported; restore the file or "
                    "import it again under another case id"
                )
            self._verified.add(item.image_path)

    def _of_the_whole_run(self, event: Event) -> None:
        """Pass a fit's event on, its progress and time left counted over the whole run."""
        if event.kind is EventKind.PROGRESS:
            data = dict(event.data)
            left = data.pop("seconds_left", None)
            ahead = self._planned - self._done - data["iteration"]
            if left is not None and data["iteration"] < data["iterations"]:
                data["seconds_left"] = left / (data["iterations"] - data["iteration"]) * max(0, ahead)
            self._progress(data.pop("step"), data["iteration"], data)
        else:
            self.emit(event)

    def _progress(self, step: str, iteration: int, data: Mapping[str, Any]) -> None:
        fraction = min(0.97, 0.97 * (self._done + iteration) / self._planned)
        self.emit(Event(kind=EventKind.PROGRESS, data={**data, "step": step, "fraction": fraction}))
