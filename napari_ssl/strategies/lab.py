"""The lab that a strategy works in: durable steps over data, network, loop, refinement and review.

Each step's result is stored in the run folder under the hash of what went into it::

    run folder/
      steps/<hash>/            weights.safetensors | <case>.nii.gz …, done.json when the step is complete
                   checkpoints/  of a fit that is under way
      decisions.json           what the clinician decided while the run was parked

Runs that share what they can, as the arms of a comparison do, are given one ``steps`` folder: the same step, such as
the baseline that all begin with, is then carried out once.

A run that was killed finds its finished steps, goes on inside the unfinished one (a fit at its checkpoint, a labelling
at its next case) and ends with the same weights as an uninterrupted run.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_ssl.core.catalogue import CRFParameters, FitParameters
from napari_ssl.core.curve import VolumeCurve
from napari_ssl.core.duration import Duration
from napari_ssl.core.job import Emit, Event, EventKind, ShouldStop
from napari_ssl.core.training import Role, TrainingItem, TrainingSpec
from napari_ssl.errors import ImageError, LabelError, SpecError
from napari_ssl.inference.labelling import label_image
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.io.images import hash_file, hash_labels, read_header, read_image, read_labels, write_volume
from napari_ssl.measures.agreement import mean_dice
from napari_ssl.measures.curves import volume_curves
from napari_ssl.networks import build_network, save_weights
from napari_ssl.networks.ensemble import EnsembleNetwork
from napari_ssl.refinement.crf import which_backend
from napari_ssl.strategies.frames import spread_frames
from napari_ssl.strategies.items import ItemSet
from napari_ssl.strategies.judgement import cost_of
from napari_ssl.strategies.policies import make_policy
from napari_ssl.strategies.references import read_reference
from napari_ssl.strategies.reviewing import Parked, clinicians_judgements, document_key, judged, proposal_of
from napari_ssl.strategies.steps import StepWork, working_in
from napari_ssl.strategies.theta import Ensemble, Theta
from napari_ssl.training.dataset import SliceStore, VolumeStore, entries_per_frame, make_store
from napari_ssl.training.item_labels import read_item_labels, write_soft_labels
from napari_ssl.training.loop import FitResult, fit
from napari_ssl.training.method import Method

__all__ = ["Ensemble", "Lab", "Parked", "SoftLabels", "Theta"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftLabels:
    """The softmax of Θ on some items. Computed case by case where it is used: a cohort's would not fit on a disk."""

    theta: Theta | Ensemble
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
        self._scorer: Any = None
        self._work: dict[str, StepWork] = {}
        self.reviewed: list[dict[str, Any]] = []

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
            self.notice(
                "no promoted model of this network and preprocessing to begin with: training from random weights"
            )
            return None
        self.has_used_start = True
        return self.start

    def notice(self, message: str) -> None:
        """Tell people something about the run."""
        self.emit(Event(kind=EventKind.NOTICE, data={"message": message}))

    def choose_frames(self, items: ItemSet, n: int) -> ItemSet:
        """Keep `n` frames of each item: ED and ES first when known, else frame 0 and one third of the cycle."""
        return ItemSet(dataclasses.replace(i, frames=spread_frames(i.frames, n, i.ed_frame, i.es_frame)) for i in items)

    def fit(
        self,
        items: ItemSet,
        *,
        duration: str,
        parameters: FitParameters,
        step: str,
        start: Theta | None = None,
        unlabelled: ItemSet | None = None,
        method: Method | None = None,
        initialisation: int = 0,
    ) -> Theta:
        """Train on items with labels, from `start` or from random weights; durable.

        Parameters
        ----------
        items : ItemSet
            With labels.
        duration : str
            Epochs are counted over `items`.
        step : str
            What is being done, for people.
        unlabelled : ItemSet, optional
            What `method` sees of the unlabelled cases in each step, with their pseudo-labels if they have some.
        method : Method, optional
            What a step minimises; by default the labelled loss.
        initialisation : int
            Another number gives other random first weights.

        Raises
        ------
        Stopped
            On request, after a checkpoint was written.
        """
        iterations = self.iterations(items, duration, parameters.batch_size)
        method = method or Method(parameters)
        self._n_fits += 1
        settings = {f.name: getattr(parameters, f.name) for f in dataclasses.fields(FitParameters)}
        others = None if unlabelled is None else unlabelled.identity()
        rest = [iterations, start.hash if start else None, self._n_fits, initialisation, method.identity(), others]
        folder = self.steps_folder / self._step_key("fit", items, settings, rest)[:16]
        weights = folder / "weights.safetensors"
        with self._working_in(folder) as work:
            done = read_document(folder / "done.json")
            if done is None:
                work.worked = True
                network = self.new_network(initialisation)
                if start is not None:
                    network.load_state_dict(start.weights())
                result = fit(
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
                    checkpoint_folder=folder / "checkpoints",
                    step_name=step,
                    unlabelled=None if unlabelled is None else self._unlabelled_store(unlabelled),
                    method=method,
                    new_network=lambda: self.new_network(initialisation + 1),
                )
                done = self._keep_fit(result, weights, step)
        self._done += iterations
        return Theta(path=weights, hash=done["weights_hash"])

    def _keep_fit(self, result: FitResult, weights: Path, step: str) -> dict[str, Any]:
        save_weights(result.state_dict, weights, {"network": self.spec.network, "step": step})
        done = {"step": step, "weights_hash": hash_file(weights), "history": result.history}
        for name, state in result.extras.items():
            save_weights(
                state, weights.with_name(f"{name}.safetensors"), {"step": step, "beside": done["weights_hash"]}
            )
        write_document(weights.with_name("done.json"), done)
        shutil.rmtree(weights.with_name("checkpoints"), ignore_errors=True)
        return done

    def predict(self, theta: Theta | Ensemble, items: ItemSet) -> SoftLabels:
        """Return the softmax of Θ, or the mean softmax of several, on the items."""
        return SoftLabels(theta=theta, items=items)

    def refine(self, soft: SoftLabels, *, crf: CRFParameters | None, step: str, keep_soft: bool = False) -> ItemSet:
        """Turn softmax maps into label maps: the CRF, or the arg-max for `crf` None; durable case by case.

        With `keep_soft` the items also bring the class probabilities, in 8 bits, and those are what is learnt from.
        """
        settings = None
        if crf is not None:
            self.crf_backend = which_backend(crf)
            settings = {**dataclasses.asdict(crf), "backend": self.crf_backend}
        key = self._step_key("refine", soft.items, settings, [soft.theta.hash, keep_soft])
        proposed_by = self.spec.start.model_id if self.spec.start and soft.theta == self.start else None
        folder = self.steps_folder / key[:16]
        network: torch.nn.Module | None = None
        pseudo: list[TrainingItem] = []
        with self._working_in(folder) as work:
            for n, item in enumerate(soft.items):
                path, note = folder / f"{item.case_id}.nii.gz", folder / f"{item.case_id}.json"
                soft_path = folder / f"{item.case_id}.soft.npz" if keep_soft else None
                done = read_document(note)
                if done is None or not _holds(path, done["label_hash"]):
                    work.worked = True
                    network = network if network is not None else self.network(soft.theta)
                    done = self._label(network, item, crf, path, soft_path)
                    write_document(note, done)
                pseudo.append(
                    dataclasses.replace(
                        item,
                        role=Role.PSEUDO,
                        label_path=str(path),
                        label_hash=done["label_hash"],
                        soft_path=str(soft_path) if soft_path else None,
                        soft_hash=done["soft_hash"],
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
                score_of=None if self.spec.qc is None else lambda proposals: self.score(labels),
                operating_point=self.spec.qc.card["threshold"] if self.spec.qc else 0.5,
                seed=self.spec.seed,
            )
            judgements = policy.judge([proposal_of(i, self.spec.label_scheme) for i in labels]) if policy else {}
        self.reviewed.append({"step": step, **cost_of(judgements)})
        corrected = self.steps_folder / "corrected"
        kept = ItemSet(k for item in labels if (k := judged(item, judgements.get(item.case_id), corrected)))
        self.notice(f"{step} ({self.spec.policy}): {len(kept)} of {len(labels)} pseudo-labels are used")
        return kept

    def folds(self, items: ItemSet, k: int) -> list[tuple[ItemSet, ItemSet]]:
        """Cut items into `k` folds by subject, shuffled by the order's seed: (train, held out) for each.

        Raises
        ------
        SpecError
            Fewer subjects than folds.
        """
        subjects = sorted({i.subject_id for i in items})
        if len(subjects) < k:
            raise SpecError(
                f"{k} folds need at least {k} labelled subjects, there are {len(subjects)}; lower the folds"
            )
        order = np.random.default_rng(self.spec.seed).permutation(len(subjects))
        fold_of = {subjects[s]: n % k for n, s in enumerate(order)}
        return [
            (
                ItemSet(i for i in items if fold_of[i.subject_id] != fold),
                ItemSet(i for i in items if fold_of[i.subject_id] == fold),
            )
            for fold in range(k)
        ]

    def dice(self, theta: Theta, items: ItemSet, *, step: str) -> float:
        """Mean Dice of Θ (arg-max) on items with labels: over structures, then frames, then subjects; durable."""
        key = self._step_key("dice", items, None, [theta.hash])
        note = self.steps_folder / key[:16] / "done.json"
        done = read_document(note)
        if done is None:
            bare = ItemSet(
                dataclasses.replace(i, role=Role.UNLABELLED, label_path=None, label_hash=None) for i in items
            )
            labels = self.refine(self.predict(theta, bare), crf=None, step=step)
            by_subject: dict[str, list[float]] = {}
            for item, found in zip(items, labels, strict=True):
                frames, scheme = list(item.frames), self.spec.label_scheme
                predicted, truth = read_item_labels(found, scheme), read_item_labels(item, scheme)
                dice = mean_dice(predicted[frames], truth[frames], scheme)
                by_subject.setdefault(item.subject_id, []).append(dice)
            done = {"step": step, "dice": float(np.mean([np.mean(d) for d in by_subject.values()]))}
            write_document(note, done)
        return done["dice"]

    def measure(self, labels: ItemSet) -> dict[str, dict[str, VolumeCurve]]:
        """Volume of every structure over the frames of every case: ``{case: {structure: curve}}``."""
        return {
            i.case_id: volume_curves(
                i.case_id,
                read_item_labels(i, self.spec.label_scheme),
                self.spec.label_scheme,
                i.spacing_zyx_mm,
                frames=i.frames,
                frame_interval_ms=i.frame_interval_ms,
            )
            for i in labels
        }

    def score(self, labels: ItemSet) -> dict[str, float]:
        """Probability that each case's curves are those of a good segmentation, by the order's classifier.

        Raises
        ------
        SpecError
            The order has no classifier.
        """
        if self.spec.qc is None:
            raise SpecError(
                "quality control needs a classifier of curves; rate some curves and train one first (napari-ssl qc train)"
            )
        if self._scorer is None:
            from napari_ssl.qc.score import Scorer

            self._scorer = Scorer(self.spec.qc.weights_path, self.spec.qc.weights_hash, self.spec.qc.card)
        curves = self.measure(labels)
        return dict(zip(curves, self._scorer.probabilities(list(curves.values())), strict=True))

    def draw(self, items: ItemSet, n: int) -> ItemSet:
        """Draw `n` cases at random, by the order's seed and the cases that there are; all when there are no more."""
        ids = sorted(i.case_id for i in items)
        drawn = {ids[k] for k in np.random.default_rng(self.spec.seed).permutation(len(ids))[:n].tolist()}
        return ItemSet(i for i in items if i.case_id in drawn)

    def validation_loss(self, theta: Theta) -> float | None:
        """Validation loss at the end of the fit that gave Θ; None without validation cases."""
        done = read_document(theta.path.with_name("done.json")) or {}
        history = done.get("history") or []
        return history[-1]["validation_loss"] if history else None

    # ── what rounds and tests use besides ────────────────────────────────────────────────────────────────────────
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

    def image(self, item: TrainingItem) -> NDArray[np.generic]:
        """Read an item's image ``(T, Z, Y, X)``; ImageError when the file has changed since it was imported."""
        self._verify(item)
        return read_image(item.image_path).data

    # ── the steps' insides ───────────────────────────────────────────────────────────────────────────────────────
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

    def _label(
        self,
        network: torch.nn.Module,
        item: TrainingItem,
        crf: CRFParameters | None,
        path: Path,
        soft_path: Path | None,
    ) -> dict[str, Any]:
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
            keep_probabilities=soft_path is not None,
        )
        soft_hash = None
        if soft_path is not None and labelling.probabilities is not None:
            soft_hash = write_soft_labels(soft_path, labelling.probabilities)
        write_volume(path, labelling.labels, read_header(item.image_path).geometry)
        return {"label_hash": hash_labels(labelling.labels), "soft_hash": soft_hash}

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
