"""Comparing a network with expert labels, on the validation and test cases of an order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_ssl.core.catalogue import CRFParameters
from napari_ssl.core.job import ShouldStop
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.training import Preprocessing, TrainingItem
from napari_ssl.inference.efficiency import Meter, summarise_efficiency
from napari_ssl.inference.labelling import label_image
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.io.images import read_header, write_volume
from napari_ssl.measures.evaluation import case_document, summarise
from napari_ssl.measures.overlap import VOXEL_METRICS
from napari_ssl.refinement.crf import which_backend
from napari_ssl.training.item_labels import read_item_labels

__all__ = ["evaluate_items", "label_file"]


def evaluate_items(
    network: torch.nn.Module,
    items: Sequence[TrainingItem],
    *,
    image_of: Callable[[TrainingItem], NDArray[np.generic]],
    preprocessing: Preprocessing,
    scheme: LabelScheme,
    crf: CRFParameters | None,
    device: torch.device,
    folder: Path,
    should_stop: ShouldStop,
    largest_component: bool = False,
    in_voxels: bool = False,
    on_case: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Label the items' reference frames and compare; durable case by case in `folder`, which is of one network.

    Returns
    -------
    dict
        What `measures.evaluation.summarise` makes, and ``postprocessing``: the CRF's parameters and which program ran,
        and whether components were filtered; and ``efficiency``, what the labelling cost.
    """
    postprocessing = {
        "crf": None if crf is None else dataclasses.asdict(crf),
        "backend": None if crf is None else which_backend(crf),
        "largest_component": largest_component,
    }
    folder.mkdir(parents=True, exist_ok=True)
    documents, efficiencies = [], []
    for n, item in enumerate(items):
        path = folder / f"{item.case_id}.json"
        kept = read_document(path)
        if kept is not None and kept["postprocessing"] == postprocessing and _suffices(kept, in_voxels):
            document, efficiency = kept["scores"], kept.get("efficiency")
        else:
            image = image_of(item)
            with Meter(device) as meter:
                labelling = label_image(
                    network,
                    image,
                    preprocessing=preprocessing,
                    spacing_zyx_mm=item.spacing_zyx_mm,
                    scheme=scheme,
                    frames=item.frames,
                    device=device,
                    crf=crf,
                    largest_component=largest_component,
                    should_stop=should_stop,
                )
            efficiency = meter.efficiency.to_dict() if meter.efficiency else None
            document = case_document(
                item.case_id,
                labelling.labels,
                read_item_labels(item, scheme),
                scheme,
                item.spacing_zyx_mm,
                frames=item.frames,
                subject_id=item.subject_id,
                ed_frame=item.ed_frame,
                es_frame=item.es_frame,
                in_voxels=in_voxels,
            )
            write_volume(label_file(folder, item.case_id), labelling.labels, read_header(item.image_path).geometry)
            write_document(path, {"postprocessing": postprocessing, "scores": document, "efficiency": efficiency})
        documents.append(document)
        efficiencies.extend([efficiency] if efficiency else [])
        if on_case is not None:
            on_case(n + 1)
    return {
        **summarise(documents),
        "postprocessing": postprocessing,
        "efficiency": summarise_efficiency(efficiencies),
    }


def label_file(folder: Path, case_id: str) -> Path:
    """Where an evaluation in `folder` keeps the label map that it judged."""
    return folder / f"{case_id}.labels.nii.gz"


def _suffices(kept: dict[str, Any], in_voxels: bool) -> bool:
    """Whether an earlier attempt measured all that is asked for."""
    return not in_voxels or all(metric in kept["scores"] for metric in VOXEL_METRICS)
