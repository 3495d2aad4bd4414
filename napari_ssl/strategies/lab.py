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
import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_ssl.core.catalogue import CRFParameters, FitParameters
from napari_ssl.core.decision import Verdict
from napari_ssl.core.duration import Duration
from napari_ssl.core.job import Emit, Event, EventKind, ShouldStop
from napari_ssl.core.training import Role, TrainingItem, TrainingSpec
from napari_ssl.errors import ImageError
from napari_ssl.inference.labelling import label_image
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.io.images import hash_file, hash_labels, read_header, read_image, read_labels, write_volume
from napari_ssl.networks import build_network, load_weights, save_weights
from napari_ssl.strategies.items import ItemSet
from napari_ssl.strategies.policies import Judgement, Proposal, make_policy
from napari_ssl.strategies.references import read_reference
from napari_ssl.training.dataset import SliceStore
from napari_ssl.training.loop import FitResult, fit

__all__ = ["Lab", "Parked", "SoftLabels", "Theta"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Theta:
    """Network weights Θ on disk."""

    path: Path
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftLabels:
    """The softmax of Θ on some items. Computed case by case where it is used: a cohort's would not fit on a disk."""

    theta: Theta
    items: ItemSet


class Parked(Exception):  # noqa: N818 (no error: the run waits)
    """The run waits for a clinician's decisions about these cases."""

    def __init__(self, message: str, case_ids: tuple[str, ...]) -> None:
        super().__init__(message)
        self.case_ids = case_ids


def spread_frames(frames: tuple[int, ...], n: int, ed_frame: int | None, es_frame: int | None) -> tuple[int, ...]:
    """Choose `n` of the frames (0 or more than there are: all).

    ED and ES come first where they are known; where they are not, the first frame and the one at a third of the
    cycle, where a heart at rest is near end-systole, stand for them. The others are spread evenly.
    """
    if n <= 0 or n >= len(frames):
        return frames
    first = ed_frame if ed_frame in frames else frames[0]
    second = es_frame if es_frame in frames else frames[len(frames) // 3]
    chosen = list(dict.fromkeys((first, second)))[:n]
    for position in np.linspace(0, len(frames) - 1, 2 * n + 1).round().astype(int).tolist():
        if len(chosen) == n:
            break
        if frames[position] not in chosen:
            chosen.append(frames[position])
    return tuple(sorted(chosen))


def _key(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


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

    # ── what a strategy calls ────────────────────────────────────────────────────────────────────────────────────
    def plan(self, *fit_iterations: int) -> None:
        """Say how many iterations each fit to come takes, so that progress and time left are of the whole run."""
        self._planned = max(1, sum(fit_iterations))

    def iterations(self, items: ItemSet, duration: str, batch_size: int) -> int:
        """Number of optimiser steps that a duration means on these items."""
        return Duration.parse(duration).iterations(sum(self._n_slices(i) for i in items), batch_size)

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
        key = self._step_key("refine", soft.items, dataclasses.asdict(crf) if crf else None, [soft.theta.hash])
        folder = self.folder / "steps" / key[:16]
        folder.mkdir(parents=True, exist_ok=True)
        network: torch.nn.Module | None = None
        pseudo: list[TrainingItem] = []
        for n, item in enumerate(soft.items):
            path, note = folder / f"{item.case_id}.nii.gz", folder / f"{item.case_id}.json"
            done = read_document(note)
            if done is None:
                network = network if network is not None else self.network(soft.theta)
                done = {"label_hash": self._label(network, item, crf, path)}
                write_document(note, done)
            pseudo.append(
                dataclasses.replace(item, role=Role.PSEUDO, label_path=str(path), label_hash=done["label_hash"])
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
        if self.spec.policy == "clinician":
            judgements = self._clinician(labels, step)
        else:
            references = self.spec.policy_parameters.get("references")
            values = {k: v for k, v in self.spec.policy_parameters.items() if k != "references"}
            policy = make_policy(
                self.spec.policy,
                values,
                scheme=self.spec.label_scheme,
                reference_of=None if references is None else lambda case: read_reference(references, case),
            )
            judgements = policy.judge([self._proposal(i) for i in labels]) if policy else {}
        kept = ItemSet(k for item in labels if (k := self._judged(item, judgements.get(item.case_id))))
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
        network.load_state_dict(load_weights(theta.path)[0])
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
        return _key(
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

    def _proposal(self, item: TrainingItem) -> Proposal:
        return Proposal(
            case_id=item.case_id,
            labels=read_labels(item.label_path),
            frames=item.frames,
            ed_frame=item.ed_frame,
            es_frame=item.es_frame,
        )

    def _judged(self, item: TrainingItem, judgement: Judgement | None) -> TrainingItem | None:
        if judgement is None or judgement.verdict not in (Verdict.ACCEPT, Verdict.CORRECT):
            return None
        if judgement.verdict is Verdict.ACCEPT or judgement.labels is None:
            return item
        digest = hash_labels(judgement.labels)
        path = self.folder / "steps" / "corrected" / f"{item.case_id}-{digest[:16]}.nii.gz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_volume(path, judgement.labels, read_header(item.image_path).geometry)
        return dataclasses.replace(
            item, role=Role.CORRECTED, frames=judgement.frames, label_path=str(path), label_hash=digest
        )

    def _clinician(self, labels: ItemSet, step: str) -> Mapping[str, Judgement]:
        """Read what was decided about exactly these labels; park when nothing was."""
        key = _key(labels.identity())
        decided = (read_document(self.folder / "decisions.json") or {}).get(key)
        if decided is None:
            proposals = [
                {"case_id": i.case_id, "label_path": i.label_path, "label_hash": i.label_hash, "frames": list(i.frames)}
                for i in labels
            ]
            write_document(self.folder / "parked.json", {"key": key, "step": step, "proposals": proposals})
            raise Parked(f"{step}: {len(labels)} pseudo-labels wait for decisions", tuple(i.case_id for i in labels))
        judgements = {}
        for case_id, entry in decided.items():
            corrected = read_labels(entry["label_path"]) if entry["verdict"] == Verdict.CORRECT else None
            judgements[case_id] = Judgement(
                verdict=Verdict(entry["verdict"]), labels=corrected, frames=tuple(entry.get("frames", ()))
            )
        return judgements

    def _run_fit(
        self, items: ItemSet, parameters: FitParameters, iterations: int, start: Theta | None, step: str, folder: Path
    ) -> FitResult:
        network = self.new_network()
        if start is not None:
            network.load_state_dict(load_weights(start.path)[0])
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
