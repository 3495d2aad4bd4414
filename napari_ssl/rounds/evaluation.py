"""Comparing a network with expert labels, on the validation and test cases of an order."""

from __future__ import annotations

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
from napari_ssl.inference.labelling import label_image
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.io.images import read_labels
from napari_ssl.measures.evaluation import case_document, summarise
from napari_ssl.refinement.crf import which_backend

__all__ = ["evaluate_items"]


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
    on_case: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Label the items' reference frames and compare; durable case by case in `folder`.

    Returns
    -------
    dict
        What `measures.evaluation.summarise` makes, and ``postprocessing``: the CRF's parameters and which program ran.
    """
    documents = []
    for n, item in enumerate(items):
        path = folder / f"{item.case_id}.json"
        document = read_document(path)
        if document is None:
            labelling = label_image(
                network,
                image_of(item),
                preprocessing=preprocessing,
                spacing_zyx_mm=item.spacing_zyx_mm,
                scheme=scheme,
                frames=item.frames,
                device=device,
                crf=crf,
                should_stop=should_stop,
            )
            document = case_document(
                item.case_id,
                labelling.labels,
                read_labels(item.label_path),
                scheme,
                item.spacing_zyx_mm,
                frames=item.frames,
                subject_id=item.subject_id,
                ed_frame=item.ed_frame,
                es_frame=item.es_frame,
            )
            write_document(path, document)
        documents.append(document)
        if on_case is not None:
            on_case(n + 1)
    summary = summarise(documents)
    summary["postprocessing"] = None if crf is None else {"crf": _plain(crf), "backend": which_backend(crf)}
    return summary


def _plain(crf: CRFParameters) -> dict[str, Any]:
    return {name: getattr(crf, name) for name in crf.__dataclass_fields__}
