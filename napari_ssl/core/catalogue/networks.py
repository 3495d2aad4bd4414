"""The networks that there are, with their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from napari_ssl.core.catalogue.base import NetworkEntry, by_name
from napari_ssl.core.parameters import parameter, validate
from napari_ssl.errors import CatalogueError

__all__ = [
    "NETWORKS",
    "DSResUNetParameters",
    "DynUNetParameters",
    "Fcn17Parameters",
    "ResUNetParameters",
    "SwinUnetParameters",
    "UNetParameters",
    "VNetParameters",
]

_BAI = "Bai et al., MICCAI 2017"
_BALDEON = "Baldeon Calisto, FLARE 2022"
_CAO = "Cao et al., Swin-Unet, 2021"
_ISENSEE = "Isensee et al., Nature Methods 2021"
_MILLETARI = "Milletari et al., 3DV 2016"
_NIE = "Nie et al., MICCAI 2018"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetParameters:
    """The U-Net of Baldeon Calisto 2022."""

    channels: str = parameter(
        "28,64,128,256,512",
        "Channels of each module, finest first",
        source=f"open in {_BALDEON}; these give its 6.98 M parameters and 9.07 GFLOPs",
    )
    long_connections: str = parameter(
        "add",
        "Long connections",
        choices=("add", "concatenate"),
        source=f"add: the parameters of {_BALDEON}; concatenate: Ronneberger et al. 2015",
    )
    deep_supervision: bool = parameter(
        True, "Logits of the second-last module up too, in training", source=f"{_BALDEON}, Sec. 2.1"
    )

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class VNetParameters:
    """V-Net and its simplification SVNet."""

    base_channels: int = parameter(
        16, "Channels of the first stage (doubled at each halving)", low=2, high=64, source=f"{_MILLETARI}, Fig. 2"
    )
    dropout: float = parameter(0.0, "Dropout", low=0, high=0.9, source=f"none in {_MILLETARI}; 0.5 in MONAI's VNet")

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class DSResUNetParameters:
    """Residual U-Net with deep supervision."""

    base_channels: int = parameter(16, "Channels of the first level", low=2, high=64, source=f"open in {_NIE}")
    levels: int = parameter(4, "Levels (channels double at each)", low=3, high=5, source=f"open in {_NIE}; as SVNet")

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class DynUNetParameters:
    """The U-Net of nnU-Net."""

    base_channels: int = parameter(32, "Channels of the first stage", low=2, high=128, source=_ISENSEE)
    levels: int = parameter(
        6, "Stages (channels double at each, up to a limit)", low=4, high=8, source=f"{_ISENSEE}; planned by data there"
    )
    depth_halvings: int = parameter(
        2, "How often the depth is halved (3D)", low=1, high=7, source=f"{_ISENSEE}; planned by data there"
    )
    deep_supervision: bool = parameter(True, "Logits of lower resolutions too, in training", source=_ISENSEE)

    def __post_init__(self) -> None:
        validate(self)
        if self.depth_halvings >= self.levels:
            raise CatalogueError(
                f"depth_halvings must be below levels, which is {self.levels}; got {self.depth_halvings}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SwinUnetParameters:
    """Swin-Unet."""

    embedding: int = parameter(
        96, "Channels of a patch's token (a multiple of 3)", low=6, high=192, source=f"{_CAO}, public configuration"
    )
    drop_path: float = parameter(
        0.2, "Stochastic depth, in the deepest block", low=0, high=0.9, source=f"{_CAO}, public configuration"
    )

    def __post_init__(self) -> None:
        validate(self)
        if self.embedding % 3:
            raise CatalogueError(f"embedding must be a multiple of 3, the number of heads; got {self.embedding}")


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
    NetworkEntry(
        name="unet",
        title="U-Net",
        sentence="Five modules down, four up, two convolutions each, supervised at two resolutions.",
        paper=f"{_BALDEON}, Sec. 2.1; Ronneberger et al., MICCAI 2015",
        parameters=UNetParameters,
        module="napari_ssl.networks.unet:build",
        dimensions=(2, 3),
    ),
    NetworkEntry(
        name="dyn-unet",
        title="nnU-Net's U-Net",
        sentence="U-Net with instance normalisation, supervised at several resolutions; strong and slower.",
        paper=f"{_ISENSEE}; MONAI DynUNet",
        parameters=DynUNetParameters,
        module="napari_ssl.networks.dyn_unet:build",
        dimensions=(2, 3),
    ),
    NetworkEntry(
        name="vnet",
        title="V-Net",
        sentence="Residual stages of 5×5×5 convolutions, for volumes; large.",
        paper=_MILLETARI,
        parameters=VNetParameters,
        module="napari_ssl.networks.vnet:build",
        dimensions=(2, 3),
    ),
    NetworkEntry(
        name="svnet",
        title="SVNet",
        sentence="V-Net without its innermost stage: the segmentation network of ASDNet.",
        paper=f"{_NIE}, Sec. 2.1",
        parameters=VNetParameters,
        module="napari_ssl.networks.svnet:build",
        dimensions=(2, 3),
    ),
    NetworkEntry(
        name="dsresunet",
        title="DSResUNet",
        sentence="U-Net of residual blocks, supervised at three resolutions.",
        paper=f"{_NIE}, Table 1; Yu et al., AAAI 2017",
        parameters=DSResUNetParameters,
        module="napari_ssl.networks.ds_res_unet:build",
        dimensions=(2, 3),
    ),
    NetworkEntry(
        name="swin-unet",
        title="Swin-Unet",
        sentence="U-shaped transformer over shifted windows, for slices; needs many of them.",
        paper=f"{_CAO}; Zhu and Tian, FLARE 2022",
        parameters=SwinUnetParameters,
        module="napari_ssl.networks.swin_unet:build",
    ),
)
