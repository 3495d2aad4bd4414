"""Prediction of whole volumes: sliding windows of a 3D network, or slices on a resampled grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_ssl.core.job import ShouldStop
from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.inference.intensity import IntensityMap
from napari_ssl.inference.preprocess import network_size_zyx, resample_volume
from napari_ssl.inference.runner import Runner

__all__ = ["StoppedInside", "iter_volumes", "slide"]


class StoppedInside(Exception):  # noqa: N818 (no error: somebody asked)
    """A stop was asked for between two batches of one volume."""


def iter_volumes(
    data: NDArray[np.generic],
    frames: Sequence[int],
    *,
    intensities: IntensityMap,
    preprocessing: Preprocessing,
    spacing_zyx_mm: tuple[float, float, float],
    runner: Runner,
    should_stop: ShouldStop,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Predict frame by frame on the network's grid and bring the softmax ``(Z, K, Y, X)`` back to the image's.

    Raises
    ------
    StoppedInside
        `should_stop` said yes.
    JobError
        Memory does not suffice for one slice or window.
    """
    size = network_size_zyx(data.shape[1:], spacing_zyx_mm, preprocessing)
    for frame in frames:
        with torch.inference_mode():
            volume = torch.from_numpy(intensities.apply(data[frame]))[None, None]
            volume = resample_volume(volume, size)
            if preprocessing.dimensions == 3:
                probabilities = slide(
                    runner,
                    volume,
                    preprocessing.patch_zyx,
                    overlap=preprocessing.overlap,
                    outside=intensities.floor,
                    should_stop=should_stop,
                )
            else:
                probabilities = _slice_by_slice(runner, volume, should_stop)
            probabilities = resample_volume(probabilities, data.shape[1:])
        yield frame, probabilities[0].transpose(0, 1).numpy()


def _slice_by_slice(runner: Runner, volume: Tensor, should_stop: ShouldStop) -> Tensor:
    """``(1, 1, Z, Y, X)`` → softmax ``(1, K, Z, Y, X)`` of a network that sees slices."""
    slices = volume[0, 0].numpy()
    runner.network_yx = (slices.shape[1], slices.shape[2])
    parts: list[Tensor] = []
    position = 0
    while position < len(slices):
        if should_stop():
            raise StoppedInside
        part = slices[position : position + runner.batch_size]
        parts.append(runner.probabilities(part))
        position += len(part)
    return torch.cat(parts).transpose(0, 1)[None]


def slide(
    runner: Runner,
    volume: Tensor,
    patch_zyx: tuple[int, int, int],
    *,
    overlap: float,
    outside: float,
    should_stop: ShouldStop,
) -> Tensor:
    """Run windows over a volume and blend their softmax by Gaussian weights.

    Parameters
    ----------
    volume : Tensor (1, 1, Z, Y, X) float32
        On the CPU. Where it is smaller than a window it is padded with `outside`.
    patch_zyx : tuple of int
        Size of a window.
    overlap : float
        Share of a window that the next one overlaps.

    Returns
    -------
    Tensor (1, K, Z, Y, X) float32
        On the CPU.

    Raises
    ------
    StoppedInside
        `should_stop` said yes between two batches of windows.
    JobError
        Memory does not suffice for one window.
    """
    from monai.inferers import sliding_window_inference  # its import takes seconds

    window = f"one window of {patch_zyx} voxels"

    def predict(windows: Tensor) -> Tensor:
        if should_stop():
            raise StoppedInside
        if runner.meter is not None and (excess := runner.meter.passed_limit()) is not None:
            raise torch.OutOfMemoryError(f"out of memory: {excess:.0f} MB")  # begin anew with fewer windows at once
        return runner.softmax(windows).cpu()

    while True:
        runner.respect_limit(window)
        try:
            return sliding_window_inference(
                volume,
                patch_zyx,
                runner.batch_size,
                predict,
                overlap=overlap,
                mode="gaussian",
                padding_mode="constant",
                cval=outside,
                sw_device=runner.device,
                device=torch.device("cpu"),
            )
        except RuntimeError as error:
            runner.halve_after(error, runner.batch_size, window)
