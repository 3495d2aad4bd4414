"""A classifier on disk: ``weights.safetensors`` and ``card.json``; nothing in them is ever executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.parameters import from_mapping
from napari_ssl.core.quality import CURVE_ROLES, QcParameters
from napari_ssl.errors import CatalogueError, CheckpointError, SchemeError
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.io.hashing import hash_file
from napari_ssl.networks.weights import load_weights, save_weights
from napari_ssl.qc.classifier import CurveClassifier
from napari_ssl.qc.evaluate import Calibration
from napari_ssl.qc.inputs import N_PER_STRUCTURE

__all__ = ["CARD_FILE", "WEIGHTS_FILE", "Classifier", "load_classifier", "read_classifier", "save_classifier"]

WEIGHTS_FILE = "weights.safetensors"
CARD_FILE = "card.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Classifier:
    """A classifier that is ready to score: network, calibration, threshold and what its curves are called."""

    network: CurveClassifier
    kind: str
    parameters: QcParameters
    label_scheme: LabelScheme
    calibration: Calibration
    threshold: float
    card: Mapping[str, Any]


def save_classifier(network: CurveClassifier, card: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write weights and card into a folder and return the card with ``weights_hash``; StorageError as its writers."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / WEIGHTS_FILE
    save_weights(network, weights, {"id": card["id"], "kind": card["kind"]})
    card = {**card, "weights_hash": hash_file(weights)}
    write_document(folder / CARD_FILE, card)
    return card


def read_classifier(weights_path: str | Path, weights_hash: str | None, card: Mapping[str, Any]) -> Classifier:
    """Build a classifier from its weights file and its card.

    Raises
    ------
    CheckpointError
        Weights that are absent, damaged or not those of `weights_hash`, or a card that does not describe them.
    """
    path = Path(weights_path)
    state, _ = load_weights(path)
    if weights_hash is not None and hash_file(path) != weights_hash:
        raise CheckpointError(f"{path}: not the weights of classifier {card.get('id')}; restore the file from a backup")
    try:
        kind = card["kind"]
        parameters = from_mapping(QcParameters, card["parameters"])
        network = CurveClassifier(N_PER_STRUCTURE * len(CURVE_ROLES[kind]), parameters.width, parameters.n_points)
        network.load_state_dict(state)
        return Classifier(
            network=network.eval().requires_grad_(False),
            kind=kind,
            parameters=parameters,
            label_scheme=LabelScheme.from_dict(card["label_scheme"]),
            calibration=Calibration(**{name: float(value) for name, value in card["calibration"].items()}),
            threshold=float(card["threshold"]),
            card=card,
        )
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, CatalogueError, SchemeError) as error:
        why = " ".join(str(error).split())  # torch writes several lines
        raise CheckpointError(
            f"{path}: weights and card of classifier {card.get('id')} do not fit ({type(error).__name__}: {why}); "
            "restore both, or train it again"
        ) from error


def load_classifier(folder: Path) -> Classifier:
    """Read a classifier from the folder that `save_classifier` wrote."""
    card = read_document(folder / CARD_FILE)
    if not isinstance(card, dict):
        raise CheckpointError(f"{folder / CARD_FILE}: absent or damaged; restore it, or train the classifier again")
    return read_classifier(folder / WEIGHTS_FILE, card.get("weights_hash"), card)
