"""Layers in two or three dimensions, by number of dimensions."""

from __future__ import annotations

from torch import nn

from napari_ssl.errors import CatalogueError

__all__ = ["BATCH_NORM", "CONVOLUTION", "MAX_POOL", "UP_CONVOLUTION", "channel_list", "convolution_unit"]

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
UP_CONVOLUTION = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MAX_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
BATCH_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def convolution_unit(dimensions: int, n_in: int, n_out: int, kernel: int = 3) -> nn.Sequential:
    """Convolution without bias, batch normalisation, ReLU; the size stays."""
    return nn.Sequential(
        CONVOLUTION[dimensions](n_in, n_out, kernel, padding=kernel // 2, bias=False),
        BATCH_NORM[dimensions](n_out),
        nn.ReLU(inplace=True),
    )


def channel_list(text: str, *, low: int, high: int) -> tuple[int, ...]:
    """Read ``"16, 32, 64"``: `low` to `high` numbers of channels, finest level first.

    Raises
    ------
    CatalogueError
        Not whole positive numbers, or too few or too many.
    """
    try:
        channels = tuple(int(word) for word in text.split(","))
    except ValueError:
        channels = ()
    if not low <= len(channels) <= high or any(not 1 <= c <= 4096 for c in channels):
        raise CatalogueError(f"channels must be {low} to {high} whole numbers with commas between, got {text!r}")
    return channels
