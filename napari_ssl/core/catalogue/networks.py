"""The networks that there are, with their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from napari_ssl.core.catalogue.base import NetworkEntry, by_name
from napari_ssl.core.parameters import parameter, validate

__all__ = ["NETWORKS", "Fcn17Parameters", "ResUNetParameters"]

_BAI = "Bai et al., MICCAI 2017"
_MONAI = "MONAI UNet; Kerfoot et al., STACOM 2018"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResUNetParameters:
    """The residual U-Net of MONAI."""

    base_channels: int = parameter(16, "Channels of the first level", low=2, high=128, source=_MONAI)
    levels: int = parameter(5, "Levels (channels double at each)", low=3, high=6, source=_MONAI)
    residual_units: int = parameter(2, "Convolutions in a residual unit", low=1, high=4, source=_MONAI)
    normalisation: str = parameter("batch", "Normalisation", choices=("batch", "instance"), source="open; see methods")
    dropout: float = parameter(0.0, "Dropout", low=0, high=0.9, source="project default")

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fcn17Parameters:
    """The VGG-like fully convolutional network of Bai 2017, Fig. 1."""

    base_channels: int = parameter(
        16, "Channels of the first block", low=2, high=128, source="public reference of the authors"
    )

    def __post_init__(self) -> None:
        validate(self)


NETWORKS: Mapping[str, NetworkEntry] = by_name(
    NetworkEntry(
        name="res-unet",
        title="Residual U-Net",
        sentence="U-Net whose stages are residual units; fast and robust, the default.",
        paper=_MONAI,
        parameters=ResUNetParameters,
        module="napari_ssl.networks.res_unet:build",
        dimensions=(2, 3),
    ),
    NetworkEntry(
        name="fcn17",
        title="VGG-like FCN",
        sentence="Seventeen convolutions; features of five scales upsampled to full resolution and joined.",
        paper=_BAI,
        parameters=Fcn17Parameters,
        module="napari_ssl.networks.fcn17:build",
    ),
)
