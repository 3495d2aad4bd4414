"""The lab's labels: softmax, label maps, Dice and curves."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_ssl.core.catalogue import CRFParameters
from napari_ssl.core.curve import VolumeCurve
from napari_ssl.core.training import Role, TrainingItem
from napari_ssl.errors import ImageError, LabelError
from napari_ssl.inference.labelling import label_image
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.io.images import hash_labels, read_header, read_labels, write_volume
from napari_ssl.measures.agreement import mean_dice
from napari_ssl.measures.curves import volume_curves
from napari_ssl.qc.predicted_dice import disagreement
from napari_ssl.refinement.crf import which_backend
from napari_ssl.strategies.items import ItemSet
from napari_ssl.strategies.lab_core import LabCore
from napari_ssl.strategies.theta import Ensemble, Theta
from napari_ssl.training.item_labels import read_item_labels, write_soft_labels

__all__ = ["LabLabels", "SoftLabels"]


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


def _bare(items: ItemSet) -> ItemSet:
    """The same images without their labels."""
    none = dict.fromkeys(("label_path", "label_hash", "soft_path", "soft_hash"))
    return ItemSet(dataclasses.replace(i, role=Role.UNLABELLED, **none) for i in items)


class LabLabels(LabCore):
    """From weights to label maps, and what is read from them."""

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

    def dice(self, theta: Theta, items: ItemSet, *, step: str) -> float:
        """Mean Dice of Θ (arg-max) on items with labels: over structures, then frames, then subjects; durable."""
        key = self._step_key("dice", items, None, [theta.hash])
        note = self.steps_folder / key[:16] / "done.json"
        done = read_document(note)
        if done is None:
            labels = self.refine(self.predict(theta, _bare(items)), crf=None, step=step)
            by_subject: dict[str, list[float]] = {}
            for item, found in zip(items, labels, strict=True):
                frames, scheme = list(item.frames), self.spec.label_scheme
                predicted, truth = read_item_labels(found, scheme), read_item_labels(item, scheme)
                dice = mean_dice(predicted[frames], truth[frames], scheme)
                by_subject.setdefault(item.subject_id, []).append(dice)
            done = {"step": step, "dice": float(np.mean([np.mean(d) for d in by_subject.values()]))}
            write_document(note, done)
        return done["dice"]

    def agreement(self, labels: ItemSet, theta: Theta, *, step: str) -> dict[str, float]:
        """Mean Dice over the structures between label maps and what another Θ says of the same frames, by case."""
        others = self.refine(self.predict(theta, _bare(labels)), crf=None, step=step)
        scheme, found = self.spec.label_scheme, {}
        for item, other in zip(labels, others, strict=True):
            frames = list(item.frames)
            maps = [read_item_labels(i, scheme)[frames] for i in (item, other)]
            found[item.case_id] = float(disagreement(maps, scheme)[0])
        return found

    def mean_confidence(self, labels: ItemSet) -> dict[str, float]:
        """Mean confidence of the network in the label maps that `refine` made, by case."""
        notes = {i.case_id: read_document(Path(i.label_path).with_name(f"{i.case_id}.json")) for i in labels}
        return {case_id: note["mean_confidence"] for case_id, note in notes.items() if note}

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
        return {
            "label_hash": hash_labels(labelling.labels),
            "soft_hash": soft_hash,
            "mean_confidence": float(labelling.confidence[list(item.frames)].mean()) / 255,
        }
