"""Models that come from elsewhere: MONAI bundles, and safetensors with a card. Described here, never run.

A bundle's configuration is a program (``$`` evaluates Python, ``_target_`` imports anything). Nothing of it is run: the
network is read from ``network_def`` as literal JSON (``@name`` may refer to another literal), and only targets of an
allow-list are known, which stand for networks of the catalogue. Transforms, scripts and TorchScript are left alone.

Allowed targets: MONAI's ``UNet`` (becomes ``res-unet``; channels that double, strides of 2, PReLU, batch or instance
normalisation) and ``napari_ssl.networks.build_network``.

Source: MONAI Bundle Specification, https://docs.monai.io/en/stable/mb_specification.html.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from napari_ssl.core.label_order import LabelProposal
from napari_ssl.errors import CheckpointError

__all__ = ["TARGETS", "ForeignModel", "is_bundle", "read_bundle"]

CARD, CARD_WEIGHTS = "card.json", "weights.safetensors"
_CONFIGS = ("configs/inference.json", "configs/train.json", "configs/evaluate.json")
_WEIGHTS = ("models/model.safetensors", "models/model.pt")
_LARGEST_JSON, _LARGEST_WEIGHTS = 1 << 22, 1 << 33
_UNET_DEFAULTS: dict[str, Any] = {
    "kernel_size": 3,
    "up_kernel_size": 3,
    "act": "PRELU",
    "bias": True,
    "adn_ordering": "NDA",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignModel:
    """What a bundle or card says about a model.

    Parameters
    ----------
    name : str
        Of the folder or file.
    network : str
        In the catalogue.
    network_parameters : mapping
        Plain values of the network's parameter type.
    dimensions, in_channels, n_classes : int
    weights : bytes
        Content of the weights file.
    weights_name : str
        Its name; the suffix tells its format.
    labels : LabelProposal or None
        What the classes are, by their numbers from 1; None where nobody says.
    preprocessing : mapping or None
        Plain values; None where it is a program of somebody else's.
    card : mapping
        What else is worth keeping in the model's card.
    """

    name: str
    network: str
    network_parameters: Mapping[str, Any]
    dimensions: int
    in_channels: int
    n_classes: int
    weights: bytes = field(repr=False)
    weights_name: str
    labels: LabelProposal | None
    preprocessing: Mapping[str, Any] | None
    card: Mapping[str, Any]


def is_bundle(path: str | Path) -> bool:
    """Tell by the names in a folder or zip whether `read_bundle` may read it."""
    path = Path(path)
    try:
        if not path.is_dir() and not zipfile.is_zipfile(path):
            return False
        files = _Files(path)
    except (OSError, CheckpointError):
        return False
    return (files.has(CARD) and files.has(CARD_WEIGHTS)) or any(files.has(name) for name in _CONFIGS)


def read_bundle(path: str | Path) -> ForeignModel:
    """Read a bundle (folder or zip), or a folder with ``card.json`` and ``weights.safetensors``.

    Raises
    ------
    CheckpointError
        Neither of them, a network that is not in the allow-list or needs an expression evaluated, no weights as
        tensors, or a damaged file.
    """
    path = Path(path)
    files = _Files(path)
    if files.has(CARD):
        return _from_card(path, files)
    config_name = next((name for name in _CONFIGS if files.has(name)), None)
    if config_name is None:
        raise CheckpointError(
            f"{path}: holds neither {CARD} nor {', '.join(_CONFIGS)}; name a MONAI bundle (folder or zip), or a folder "
            f"with {CARD} and {CARD_WEIGHTS}"
        )
    config = files.document(config_name)
    where = f"{path}: {config_name}"
    definition = config.get("network_def", config.get("net"))
    if not isinstance(definition, dict):
        raise CheckpointError(f"{where} defines no network (network_def); this bundle cannot be imported")
    target = str(definition.get("_target_"))
    if target not in TARGETS:
        raise CheckpointError(
            f"{where}: network {target!r} is not allowed; allowed are {', '.join(TARGETS)}, which stand for networks "
            "of the catalogue. A network of another kind must be trained here"
        )
    arguments = {k: _literal(v, config, f"{where}: {k}") for k, v in definition.items() if k != "_target_"}
    network = TARGETS[target](arguments, where)
    weights_name = next((name for name in _WEIGHTS if files.has(name)), None)
    if weights_name is None:
        raise CheckpointError(
            f"{path}: holds neither {' nor '.join(_WEIGHTS)}; TorchScript (model.ts) is a program and is never run; "
            "export the weights as safetensors"
        )
    metadata = files.document("configs/metadata.json") if files.has("configs/metadata.json") else {}
    inferer = config.get("inferer") if isinstance(config.get("inferer"), dict) else {}
    own = str(inferer.get("_target_", "")).startswith("napari_ssl.")
    preprocessing = inferer.get("preprocessing") if own else None
    return ForeignModel(
        name=path.name.removesuffix(".zip"),
        **network,
        weights=files.content(weights_name, _LARGEST_WEIGHTS),
        weights_name=weights_name,
        labels=_channels(metadata, path),
        preprocessing=preprocessing if isinstance(preprocessing, dict) else None,
        card={
            "imported_from": {
                "kind": "MONAI bundle",
                "name": str(metadata.get("name", path.name)),
                "version": str(metadata.get("version", "")),
                "intended_use": str(metadata.get("intended_use", "")),
            }
        },
    )


class _Files:
    """The files of a folder or zip, by names that cannot leave it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names: dict[str, str] = {}
        if path.is_dir():
            return
        try:
            with zipfile.ZipFile(path) as archive:
                names = [i.filename for i in archive.infolist() if not i.is_dir()]
        except (OSError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{path}: is neither a folder nor a zip ({error}); name a MONAI bundle") from error
        # A zip holds the bundle itself or one folder with it.
        tops = {PurePosixPath(n).parts[0] for n in names if PurePosixPath(n).parts}
        inner = f"{tops.pop()}/" if len(tops) == 1 else ""
        self._names = {n.removeprefix(inner): n for n in names} | {n: n for n in names}

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self._path / name).is_file() if self._path.is_dir() else name in self._names

    def content(self, name: str, largest: int) -> bytes:
        """Return a file; CheckpointError where it is too large or damaged."""
        try:
            if self._path.is_dir():
                size = (self._path / name).stat().st_size
                data = (self._path / name).read_bytes() if size <= largest else b""
            else:
                with zipfile.ZipFile(self._path) as archive, archive.open(self._names[name]) as file:
                    size = archive.getinfo(self._names[name]).file_size
                    data = file.read(largest) if size <= largest else b""
        except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"{self._path}: {name} cannot be read ({error}); copy it again") from error
        if size > largest:
            raise CheckpointError(f"{self._path}: {name} has {size:,} bytes, at most {largest:,} are read")
        return data

    def document(self, name: str) -> dict[str, Any]:
        """Return a JSON object."""
        try:
            document = json.loads(self.content(name, _LARGEST_JSON).decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{self._path}: {name} is no JSON ({error}); copy it again") from error
        if not isinstance(document, dict):
            raise CheckpointError(f"{self._path}: {name} holds no JSON object; copy it again")
        return document


def _literal(value: Any, config: Mapping[str, Any], where: str, depth: int = 0) -> Any:
    """Return a value without anything to evaluate; ``@name`` is the literal of that name."""
    if isinstance(value, list) and depth < 8:
        return [_literal(v, config, where, depth + 1) for v in value]
    if isinstance(value, dict) and depth < 8 and "_target_" not in value:
        return {str(k): _literal(v, config, where, depth + 1) for k, v in value.items()}
    if isinstance(value, str) and value.startswith("@") and value[1:] in config and depth < 8:
        return _literal(config[value[1:]], config, where, depth + 1)
    if isinstance(value, dict) or (isinstance(value, str) and value[:1] in ("$", "@", "%")) or depth >= 8:
        raise CheckpointError(
            f"{where} is {str(value)[:80]!r}, which would have to be evaluated; write its value there"
        )
    return value


def _unet(arguments: dict[str, Any], where: str) -> dict[str, Any]:
    """Translate MONAI's UNet; CheckpointError where the catalogue has none like it."""
    channels, strides = arguments.pop("channels", None), arguments.pop("strides", None)
    dimensions, in_channels = arguments.pop("spatial_dims", None), arguments.pop("in_channels", None)
    n_classes, units = arguments.pop("out_channels", None), arguments.pop("num_res_units", 0)
    norm, dropout = arguments.pop("norm", "instance"), arguments.pop("dropout", 0.0)
    norm = norm[0] if isinstance(norm, list) and norm else norm
    problems = [f"{k} = {v!r}" for k, v in arguments.items() if _UNET_DEFAULTS.get(k, v is None) != v]
    whole = isinstance(channels, list) and channels and all(isinstance(c, int) for c in channels)
    if not whole or channels != [channels[0] * 2**level for level in range(len(channels))]:
        problems.append(f"channels = {channels!r} (they must double at each level)")
    elif strides != [2] * (len(channels) - 1):
        problems.append(f"strides = {strides!r} (each must be 2)")
    if dimensions not in (2, 3) or in_channels != 1 or not isinstance(n_classes, int) or n_classes < 2:
        problems.append(f"spatial_dims, in_channels, out_channels = {dimensions!r}, {in_channels!r}, {n_classes!r}")
    if units not in (1, 2, 3, 4) or str(norm).lower() not in ("batch", "instance"):
        problems.append(f"num_res_units, norm = {units!r}, {norm!r}")
    if not isinstance(dropout, int | float):
        problems.append(f"dropout = {dropout!r}")
    if problems:
        raise CheckpointError(f"{where}: the catalogue has no UNet with {'; '.join(problems)}; it cannot be imported")
    parameters = {
        "base_channels": channels[0],
        "levels": len(channels),
        "residual_units": units,
        "normalisation": str(norm).lower(),
        "dropout": float(dropout),
    }
    return _network("res-unet", parameters, dimensions, in_channels, n_classes)


def _own(arguments: dict[str, Any], where: str) -> dict[str, Any]:
    try:
        return _network(
            str(arguments["name"]),
            dict(arguments.get("parameters") or {}),
            int(arguments.get("dimensions", 2)),
            int(arguments.get("in_channels", 1)),
            int(arguments["n_classes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{where}: network_def lacks or misstates {error}; export the bundle again") from error


TARGETS = {
    "UNet": _unet,
    "monai.networks.nets.UNet": _unet,
    "monai.networks.nets.unet.UNet": _unet,
    "napari_ssl.networks.build_network": _own,
}
"""What may stand in ``_target_`` of a network."""


def _network(
    name: str, parameters: dict[str, Any], dimensions: int, in_channels: int, n_classes: int
) -> dict[str, Any]:
    return {
        "network": name,
        "network_parameters": parameters,
        "dimensions": dimensions,
        "in_channels": in_channels,
        "n_classes": n_classes,
    }


def _channels(metadata: Mapping[str, Any], path: Path) -> LabelProposal | None:
    """Return what ``channel_def`` of the output says, background left out."""
    try:
        outputs = metadata["network_data_format"]["outputs"]
        channels = next(iter(outputs.values()))["channel_def"]
        meanings = tuple(sorted((int(number), str(name)) for number, name in channels.items() if int(number)))
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration):
        return None
    return LabelProposal(meanings=meanings, source=f"{path.name}: configs/metadata.json") if meanings else None


def _from_card(path: Path, files: _Files) -> ForeignModel:
    card = files.document(CARD)
    if not files.has(CARD_WEIGHTS):
        raise CheckpointError(f"{path}: {CARD_WEIGHTS} is not beside {CARD}; copy both")
    try:
        structures = card["label_scheme"]["structures"]
        preprocessing = dict(card["preprocessing"])
        names = tuple((i, str(s["name"])) for i, s in enumerate(structures, start=1))
        network = _network(
            str(card["network"]), dict(card["network_parameters"]), int(preprocessing["dimensions"]), 1, len(names) + 1
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: {CARD} lacks or misstates {error}; it needs network, network_parameters, preprocessing and "
            "label_scheme as napari-ssl writes them"
        ) from error
    kept = {k: card[k] for k in ("model_id", "strategy", "round", "metrics", "napari_ssl") if k in card}
    return ForeignModel(
        name=path.name.removesuffix(".zip"),
        **network,
        weights=files.content(CARD_WEIGHTS, _LARGEST_WEIGHTS),
        weights_name=CARD_WEIGHTS,
        labels=LabelProposal(meanings=names, source=f"{path.name}: {CARD}"),
        preprocessing=preprocessing,
        card={"imported_from": {"kind": "card", **kept}},
    )
