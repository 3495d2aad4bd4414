"""A model from elsewhere becomes a candidate: its network is rebuilt from the catalogue, its weights are checked.

Nobody here knows what it was trained on: a test set that it has seen says nothing about it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from napari_ssl import __version__
from napari_ssl.core.label_order import LabelOrder
from napari_ssl.core.model import Model, ModelState
from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.errors import CheckpointError, LabelError, SpecError
from napari_ssl.io.bundles import ForeignModel, read_bundle
from napari_ssl.io.documents import write_document
from napari_ssl.io.hashing import hash_file
from napari_ssl.io.layouts.item import sanitise_id
from napari_ssl.networks import build_network, save_weights
from napari_ssl.networks.foreign_weights import read_foreign_weights
from napari_ssl.study.models import CARD_FILE, WEIGHTS_FILE
from napari_ssl.study.study import Study

__all__ = ["STRATEGY", "import_model"]

STRATEGY = "imported"
"""What stands in the place of a strategy in the records of such models."""


def import_model(
    study: Study, path: str | Path, *, labels: str | None = None, name: str | None = None
) -> tuple[Model, list[str]]:
    """Import a MONAI bundle, or safetensors with a card, as a candidate.

    Parameters
    ----------
    study : Study
    path : path
        Folder or zip of a bundle, or folder with ``card.json`` and ``weights.safetensors``.
    labels : str, optional
        What the classes are, ``1=LV,2=Myo,3=RV`` by their numbers, or ``study``; needed where the bundle does not say.
    name : str, optional
        Of the model; by default made of the folder's.

    Returns
    -------
    Model, list of str
        The candidate, and what its user should know.

    Raises
    ------
    CheckpointError
        As `io.bundles.read_bundle`; weights that do not fit the network, or hold NaN.
    LabelError
        Its classes are not the study's structures in the study's order, or nobody says what they are.
    StudyError
        The study cannot be written, or has another model of that name.
    """
    found = read_bundle(path)
    _check_classes(found, study, labels, str(path))
    preprocessing, notes = _preprocessing(found, study, str(path))
    network = build_network(
        found.network,
        in_channels=found.in_channels,
        n_classes=found.n_classes,
        parameters=found.network_parameters,
        dimensions=found.dimensions,
    )
    _load(network, found, str(path))
    model_id = sanitise_id(name or f"imported-{found.name}")
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / WEIGHTS_FILE
        save_weights(network, weights, {"network": found.network, "imported": True})
        card = _card(found, study, preprocessing, model_id, hash_file(weights))
        write_document(Path(folder) / CARD_FILE, card)
        model = Model(
            id=model_id,
            spec_hash=card["spec_hash"],
            strategy=STRATEGY,
            network=found.network,
            round=card["round"],
            parents=(),
            metrics={},
            state=ModelState.CANDIDATE,
            created_at=datetime.now(UTC),
        )
        return study.register_model(model, Path(folder)), notes


def _check_classes(found: ForeignModel, study: Study, labels: str | None, where: str) -> None:
    """Refuse a model whose classes are not the study's structures in their order."""
    scheme = study.label_scheme
    own = ", ".join(f"{i}={s.name}" for i, s in enumerate(scheme.structures, start=1))
    if found.in_channels != 1:
        raise CheckpointError(f"{where}: its network takes {found.in_channels} channels; napari-ssl gives one")
    if found.n_classes != scheme.n_classes:
        raise LabelError(
            f"{where}: has {found.n_classes} classes with background, the study {scheme.n_classes} ({own})"
        )
    if labels is not None:
        table: dict[int, int | None] = dict(LabelOrder.parse(labels, scheme).pairs)
        if labels.strip().lower() == "study":
            return
    elif found.labels is not None:
        table = dict(found.labels.suggested(scheme))
    else:
        raise LabelError(
            f"{where}: says nowhere what its classes are, and they are never guessed; the study's are {own}: say "
            f"--labels {own.replace(', ', ',')} if the model's are the same"
        )
    expected = dict(enumerate(scheme.values, start=1))
    if table != expected:
        told = labels or f"{found.labels.source} says {found.labels.text()}"
        raise LabelError(
            f"{where}: its classes ({told}) are not the study's in their order ({own}); make a study whose scheme "
            "has them in the model's order, or say --labels if the names alone differ"
        )


def _preprocessing(found: ForeignModel, study: Study, where: str) -> tuple[Preprocessing, list[str]]:
    notes = ["what it was trained on is not known: a test set that it has seen says nothing about it"]
    if found.preprocessing is None:
        notes.append("the bundle's own transforms are a program and not run; images reach it as the study's do")
        return dataclasses.replace(study.preprocessing, dimensions=found.dimensions), notes
    try:
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in found.preprocessing.items()}
        return Preprocessing(**values), notes
    except (TypeError, SpecError) as error:
        raise CheckpointError(f"{where}: its preprocessing is damaged ({error}); export the model again") from error


def _load(network: torch.nn.Module, found: ForeignModel, where: str) -> None:
    state = read_foreign_weights(found.weights, found.weights_name, where)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = " ".join(str(error).splitlines()[1:2]).strip()[:200]
        raise CheckpointError(
            f"{where}: the weights do not fit network {found.network!r} with {dict(found.network_parameters)} and "
            f"{found.n_classes} classes ({first}); the configuration is not that of these weights"
        ) from error
    bad = next((k for k, v in network.state_dict().items() if v.is_floating_point() and not v.isfinite().all()), None)
    if bad is not None:
        raise CheckpointError(f"{where}: weight {bad} holds NaN or infinite values; the training went wrong")


def _card(
    found: ForeignModel, study: Study, preprocessing: Preprocessing, model_id: str, weights_hash: str
) -> dict[str, Any]:
    described = json.dumps([found.network, dict(found.network_parameters), weights_hash], sort_keys=True)
    return {
        "format": 1,
        "model_id": model_id,
        "spec_hash": hashlib.sha256(described.encode()).hexdigest(),
        "weights_hash": weights_hash,
        "strategy": STRATEGY,
        "parameters": {},
        "network": found.network,
        "network_parameters": dict(found.network_parameters),
        "preprocessing": dataclasses.asdict(preprocessing),
        "label_scheme": study.label_scheme.to_dict(),
        "round": study.next_round(),
        "started_from": None,
        "parents": [],
        "napari_ssl": __version__,
        **found.card,
    }
