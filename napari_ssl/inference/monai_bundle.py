"""A model as MONAI bundle: what MONAI's own loader and runner take.

Format: MONAI Bundle Specification (https://docs.monai.io/en/stable/mb_specification.html): ``configs/metadata.json``,
``configs/inference.json``, ``models/``. MONAI reads weights from ``model.pt`` (`monai.bundle.load`), so that file is
written beside the safetensors; it holds tensors only and is never read back here. The network and what surrounds it are
napari-ssl's, which the metadata name as a required package.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from numpy.typing import NDArray

from napari_ssl import __version__
from napari_ssl.core.catalogue import NETWORKS, CRFParameters
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.errors import CheckpointError
from napari_ssl.inference.labelling import label_image
from napari_ssl.io.export_folder import ExportFolder
from napari_ssl.io.images import read_image, write_volume
from napari_ssl.networks import load_weights

__all__ = ["BundleEvaluator", "SeriesInferer", "write_bundle"]

_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
_ROOM = "napari_ssl.inference.monai_bundle"


class SeriesInferer:
    """Labels a series ``(T, Z, Y, X)`` with a network as napari-ssl proposes labels.

    Parameters
    ----------
    preprocessing, label_scheme : mapping
        As in the model's card.
    device : torch.device or str
    use_crf : bool
        Refine with the dense CRF.
    """

    def __init__(
        self,
        *,
        preprocessing: Mapping[str, Any],
        label_scheme: Mapping[str, Any],
        device: torch.device | str = "cpu",
        use_crf: bool = True,
    ) -> None:
        self.preprocessing = Preprocessing(**preprocessing)
        self.scheme = LabelScheme.from_dict(dict(label_scheme))
        self.device = torch.device(device)
        self.crf = CRFParameters() if use_crf else None

    def __call__(
        self, series: NDArray[np.generic], network: torch.nn.Module, spacing_zyx_mm: tuple[float, float, float]
    ) -> NDArray[np.uint8]:
        """Return labels ``(T, Z, Y, X)`` in the values of the scheme."""
        return label_image(
            network,
            series,
            preprocessing=self.preprocessing,
            spacing_zyx_mm=spacing_zyx_mm,
            scheme=self.scheme,
            frames=range(series.shape[0]),
            device=self.device,
            crf=self.crf,
        ).labels


class BundleEvaluator:
    """What ``python -m monai.bundle run`` runs: labels each image file of a folder on its own grid.

    Parameters
    ----------
    dataset : iterable of path
    network : nn.Module
    inferer : SeriesInferer
    output_dir : path
        Made when absent; gets ``<image>_seg.nii.gz``.
    weights : path, optional
        ``model.safetensors`` to load into the network first.
    """

    def __init__(
        self,
        *,
        dataset: Iterable[str],
        network: torch.nn.Module,
        inferer: SeriesInferer,
        output_dir: str,
        weights: str | None = None,
    ) -> None:
        self.dataset, self.network, self.inferer = list(dataset), network, inferer
        self.output_dir = Path(output_dir)
        if weights is not None:
            network.load_state_dict(load_weights(weights)[0])

    def run(self) -> None:
        """Label all images."""
        self.output_dir.mkdir(parents=True, exist_ok=True)
        for name in self.dataset:
            image = read_image(name)
            labels = self.inferer(image.data, self.network, image.geometry.spacing_zyx_mm)
            stem = Path(name).name.split(".nii")[0]
            write_volume(self.output_dir / f"{stem}_seg.nii.gz", labels, image.geometry)


def write_bundle(target: ExportFolder, weights: Path, card: Mapping[str, Any]) -> None:
    """Write ``<model>/configs/*.json``, ``<model>/models/model.{pt,safetensors}`` and ``<model>/docs/README.md``.

    Raises
    ------
    CheckpointError
        The weights are damaged, or the model is no network (one of atlases holds the patients' images themselves).
    StorageError
        A file cannot be written.
    """
    root, network = str(card["model_id"]), str(card["network"])
    if network not in NETWORKS:
        raise CheckpointError(
            f"model {root}: {network} holds training images in the place of weights; it does not become a bundle, "
            "export a model of a network"
        )
    state, _ = load_weights(weights)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    target.write(f"{root}/configs/metadata.json", _json(_metadata(card)))
    target.write(f"{root}/configs/inference.json", _json(_inference(card)))
    target.write(f"{root}/docs/README.md", _readme(card))
    target.write(f"{root}/models/model.pt", buffer.getvalue())
    target.copy(weights, f"{root}/models/model.safetensors")


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _n_classes(card: Mapping[str, Any]) -> int:
    return len(card["label_scheme"]["structures"]) + 1


def _metadata(card: Mapping[str, Any]) -> dict[str, Any]:
    preprocessing, structures = card["preprocessing"], card["label_scheme"]["structures"]
    dimensions = int(preprocessing["dimensions"])
    shape = ["*"] * dimensions
    channels = {"0": "background", **{str(i): s["name"] for i, s in enumerate(structures, start=1)}}
    tensor = {
        "type": "image",
        "format": "magnitude",
        "dtype": "float32",
        "spatial_shape": shape,
        "is_patch_data": False,
    }
    return {
        "schema": _SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": f"exported by napari-ssl {__version__}"},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {"napari-ssl": __version__},
        "supported_apps": {},
        "name": card["model_id"],
        "task": f"segmentation of {', '.join(s['name'] for s in structures)}",
        "description": f"{card['network']} trained by the strategy {card['strategy']}, round {card['round']}",
        "authors": "see the study that the model was exported from",
        "copyright": "see the study that the model was exported from",
        "intended_use": "research only; no medical device",
        "eval_metrics": {
            split: {f"dice {name}": value for name, value in (summary.get("dice") or {}).items()}
            for split, summary in (card.get("metrics") or {}).items()
            if isinstance(summary, Mapping)
        },
        "network_data_format": {
            "inputs": {
                "image": {
                    **tensor,
                    "modality": "n/a",
                    "num_channels": 1,
                    "value_range": [0, 1],
                    "channel_def": {"0": f"image, intensities by {preprocessing['intensity']}"},
                }
            },
            "outputs": {
                "pred": {
                    **tensor,
                    "format": "segmentation",
                    "num_channels": _n_classes(card),
                    "value_range": [],
                    "channel_def": channels,
                }
            },
        },
    }


def _inference(card: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "imports": ["$import pathlib", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": "napari_ssl.networks.build_network",
            "name": card["network"],
            "in_channels": 1,
            "n_classes": _n_classes(card),
            "parameters": dict(card["network_parameters"]),
            "dimensions": int(card["preprocessing"]["dimensions"]),
        },
        "network": "$@network_def.to(@device)",
        "dataset": "$[str(p) for p in sorted(pathlib.Path(@dataset_dir).glob('*.nii*'))]",
        "inferer": {
            "_target_": f"{_ROOM}.SeriesInferer",
            "preprocessing": dict(card["preprocessing"]),
            "label_scheme": _without_colours(card["label_scheme"]),
            "device": "@device",
            "use_crf": True,
        },
        "evaluator": {
            "_target_": f"{_ROOM}.BundleEvaluator",
            "dataset": "@dataset",
            "network": "@network",
            "inferer": "@inferer",
            "output_dir": "@output_dir",
            "weights": "$@bundle_root + '/models/model.safetensors'",
        },
        "initialize": ["$setattr(torch.backends.cudnn, 'benchmark', False)"],
        "run": ["$@evaluator.run()"],
    }


def _without_colours(scheme: Mapping[str, Any]) -> dict[str, Any]:
    """Leave colours to their defaults: MONAI takes ``#`` for a path into its configuration."""
    structures = [{k: v for k, v in s.items() if k != "colour"} for s in scheme["structures"]]
    return {"name": scheme["name"], "structures": structures}


def _readme(card: Mapping[str, Any]) -> str:
    structures = ", ".join(f"{s['value']} {s['name']}" for s in card["label_scheme"]["structures"])
    return (
        f"# {card['model_id']}\n\n{card['network']} trained by `{card['strategy']}` in napari-ssl {__version__}. "
        f"Label values: 0 background, {structures}.\n\nNeeds `pip install 'napari-ssl[train]'`. Label all NIfTI files "
        "of a folder:\n\n    python -m monai.bundle run --config_file configs/inference.json --bundle_root . \\\n"
        "        --dataset_dir IMAGES --output_dir LABELS\n\nThe network in Python:\n\n"
        f'    monai.bundle.load("{card["model_id"]}", bundle_dir="..", workflow_type="inference")\n\n'
        "Research only; no medical device.\n"
    )
