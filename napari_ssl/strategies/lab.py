"""The lab that a strategy works in: durable steps over data, network, loop, refinement and review.

Each step's result is stored in the run folder under the hash of what went into it::

    run folder/
      steps/<hash>/            weights.safetensors | <case>.nii.gz …, done.json when the step is complete
                   checkpoints/  of a fit that is under way
      decisions.json           what the clinician decided while the run was parked

A run that was killed finds its finished steps, goes on inside the unfinished one (a fit at its checkpoint, a labelling
at its next case) and ends with the same weights as an uninterrupted run.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_ssl.core.catalogue import CRFParameters, FitParameters
from napari_ssl.core.duration import Duration
from napari_ssl.core.job import Emit, Event, EventKind, ShouldStop
from napari_ssl.core.training import Role, TrainingItem, TrainingSpec
from napari_ssl.errors import ImageError, LabelError
from napari_ssl.inference.labelling import label_image
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.io.images import hash_file, hash_labels, read_header, read_image, read_labels, write_volume
from napari_ssl.networks import build_network, save_weights
from napari_ssl.refinement.crf import which_backend
from napari_ssl.strategies.frames import spread_frames
from napari_ssl.strategies.items import ItemSet
from napari_ssl.strategies.policies import make_policy
from napari_ssl.strategies.references import read_reference
from napari_ssl.strategies.reviewing import Parked, clinicians_judgements, document_key, judged, proposal_of
from napari_ssl.strategies.theta import Theta
from napari_ssl.training.dataset import SliceStore
from napari_ssl.training.loop import FitResult, fit

__all__ = ["Lab", "Parked", "SoftLabels", "Theta"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftLabels:
    """The softmax of Θ on some items. Computed case by case where it is used: a cohort's would not fit on a disk."""

    theta: Theta
    items: ItemSet


def _holds(path: Path, label_hash: str) -> bool:
    """Whether a label file is there, whole and unchanged."""
    try:
        return hash_labels(read_labels(path)) == label_hash
    except (ImageError, LabelError):
        return False


class Lab:
    """What a strategy can use. `labelled` and `unlabelled` are the items of the order, `start` the promoted model."""

    def __init__(
        self, spec: TrainingSpec, run_folder: Path, device: torch.device, emit: Emit, should_stop: ShouldStop
    ) -> None:
        self.spec = spec
        self.folder = run_folder
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
        self._validation: SliceStore | None = None
        self._slices: dict[str, int] = {}
        self._verified: set[str] = set()
        self.has_used_start = False
        self.crf_backend: str | None = None

    # ── what a strategy calls ────────────────────────────────────────────────────────────────────────────────────
    def plan(self, *fit_iterations: int) -> None:
        """Say how many iterations each fit to come takes, so that progress and time left are of the whole run."""
        self._planned = max(1, sum(fit_iterations))

    def iterations(self, items: ItemSet, duration: str, batch_size: int) -> int:
        """Number of optimiser steps that a duration means on these items; those of weight 0 count for nothing."""
        return Duration.parse(duration).iterations(sum(self._n_slices(i) for i in items if i.weight > 0), batch_size)

    def begin_with_start(self, wanted: bool) -> Theta | None:
        """Return the promoted model's weights if they are wanted; None, with a notice, when there are none that fit."""
        if not wanted:
            return None
        if self.start is None:
            message = "no promoted model of this network and preprocessing to begin with: training from random weights"
            self.emit(Event(kind=EventKind.NOTICE, data={"message": message}))
            return None
        self.has_used_start = True
        return self.start

    def choose_frames(self, items: ItemSet, n: int) -> ItemSet:
        """Keep `n` frames of each item: ED and ES first when known, else frame 0 and one third of the cycle."""
        return ItemSet(dataclasses.replace(i, frames=spread_frames(i.frames, n, i.ed_frame, i.es_frame)) for i in items)

    def fit(
        self, items: ItemSet, *, duration: str, parameters: FitParameters, step: str, start: Theta | None = None
    ) -> Theta:
        """Train on items with labels, from `start` or from random weights; durable.

        Raises
        ------
        Stopped
            On request, after a checkpoint was written.
        """
        iterations = self.iterations(items, duration, parameters.batch_size)
        self._n_fits += 1
        settings = {f.name: getattr(parameters, f.name) for f in dataclasses.fields(FitParameters)}
        key = self._step_key("fit", items, settings, [iterations, start.hash if start else None, self._n_fits])
        folder = self.folder / "steps" / key[:16]
        weights = folder / "weights.safetensors"
        done = read_document(folder / "done.json")
        if done is None:
            result = self._run_fit(items, parameters, iterations, start, step, folder / "checkpoints")
            save_weights(result.state_dict, weights, {"network": self.spec.network, "step": step})
            done = {"step": step, "weights_hash": hash_file(weights), "history": result.history}
            write_document(folder / "done.json", done)
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        self._done += iterations
        return Theta(path=weights, hash=done["weights_hash"])

    def predict(self, theta: Theta, items: ItemSet) -> SoftLabels:
        """Return the softmax of Θ on the items."""
        return SoftLabels(theta=theta, items=items)

    def refine(self, soft: SoftLabels, *, crf: CRFParameters | None, step: str) -> ItemSet:
        """Turn softmax maps into label maps: the CRF, or the arg-max for `crf` None; durable case by case."""
        settings = None
        if crf is not None:
            self.crf_backend = which_backend(crf)
            settings = {**dataclasses.asdict(crf), "backend": self.crf_backend}
        key = self._step_key("refine", soft.items, settings, [soft.theta.hash])
        proposed_by = self.spec.start.model_id if self.spec.start and soft.theta == self.start else None
        folder = self.folder / "steps" / key[:16]
        folder.mkdir(parents=True, exist_ok=True)
        network: torch.nn.Module | None = None
        pseudo: list[TrainingItem] = []
        for n, item in enumerate(soft.items):
            path, note = folder / f"{item.case_id}.nii.gz", folder / f"{item.case_id}.json"
            done = read_document(note)
            if done is None or not _holds(path, done["label_hash"]):
                network = network if network is not None else self.network(soft.theta)
                done = {"label_hash": self._label(network, item, crf, path)}
                write_document(note, done)
            pseudo.append(
                dataclasses.replace(
                    item,
                    role=Role.PSEUDO,
                    label_path=str(path),
                    label_hash=done["label_hash"],
                    proposed_by=proposed_by,
                )
            )
            self._progress(step, 0, {"message": f"{n + 1} of {len(soft.items)} cases"})
        return ItemSet(pseudo)

    def review(self, labels: ItemSet, *, step: str) -> ItemSet:
        """Let the order's policy judge pseudo-labels; only accepted and corrected ones come back.

        Raises
        ------
        Parked
            With the policy ``clinician``, until decisions about this very set of labels have been handed in. Cases
            that are still undecided then are left out of this step.
        """
        if not len(labels):
            return labels
        if self.spec.policy == "clinician":
            judgements = clinicians_judgements(self.folder, labels, step)
        else:
            references = self.spec.policy_parameters.get("references")
            values = {k: v for k, v in self.spec.policy_parameters.items() if k != "references"}
            policy = make_policy(
                self.spec.policy,
                values,
                scheme=self.spec.label_scheme,
                reference_of=None if references is None else lambda case: read_reference(references, case),
            )
            judgements = policy.judge([proposal_of(i, self.spec.label_scheme) for i in labels]) if policy else {}
        corrected = self.folder / "steps" / "corrected"
        kept = ItemSet(k for item in labels if (k := judged(item, judgements.get(item.case_id), corrected)))
        self.emit(
            Event(
                kind=EventKind.NOTICE,
                data={"message": f"{step} ({self.spec.policy}): {len(kept)} of {len(labels)} pseudo-labels are used"},
            )
        )
        return kept

    # ── what rounds and tests use besides ────────────────────────────────────────────────────────────────────────
    def network(self, theta: Theta) -> torch.nn.Module:
        """Return the network with weights Θ on the device, ready to predict."""
        network = self.new_network()
        network.load_state_dict(theta.weights())
        return network.to(self.device).eval()

    def new_network(self) -> torch.nn.Module:
        """Return the network of the order with random weights that the order's seed decides."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.spec.seed)
            return build_network(
                self.spec.network, n_classes=self.spec.label_scheme.n_classes, parameters=self.spec.network_parameters
            )

    def image(self, item: TrainingItem) -> NDArray[np.generic]:
        """Read an item's image ``(T, Z, Y, X)``; ImageError when the file has changed since it was imported."""
        self._verify(item)
        return read_image(item.image_path).data

    # ── the steps' insides ───────────────────────────────────────────────────────────────────────────────────────
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
            self._slices[item.case_id] = read_header(item.image_path).shape_tzyx[1]
        return self._slices[item.case_id] * len(item.frames)

    def _label(self, network: torch.nn.Module, item: TrainingItem, crf: CRFParameters | None, path: Path) -> str:
        labelling = label_image(
            network,
            self.image(item),
            preprocessing=self.spec.preprocessing,
            spacing_zyx_mm=item.spacing_zyx_mm,
            scheme=self.spec.label_scheme,
            frames=item.frames,
            device=self.device,
            crf=crf,
            should_stop=self.should_stop,
        )
        write_volume(path, labelling.labels, read_header(item.image_path).geometry)
        return hash_labels(labelling.labels)

    def _run_fit(
        self, items: ItemSet, parameters: FitParameters, iterations: int, start: Theta | None, step: str, folder: Path
    ) -> FitResult:
        network = self.new_network()
        if start is not None:
            network.load_state_dict(start.weights())
        return fit(
            network,
            self._store(items),
            parameters=parameters,
            iterations=iterations,
            validation=self._validation_store(),
            scheme=self.spec.label_scheme,
            seed=1000 * self.spec.seed + self._n_fits,
            device=self.device,
            emit=self._of_the_whole_run,
            should_stop=self.should_stop,
            checkpoint_folder=folder,
            step_name=step,
        )

    def _store(self, items: Iterable[TrainingItem]) -> SliceStore:
        store = SliceStore(self.spec.preprocessing, self.spec.label_scheme.n_classes)
        for item in items:
            self._verify(item)
            store.add_item(item, self.spec.label_scheme)
        return store

    def _validation_store(self) -> SliceStore | None:
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
