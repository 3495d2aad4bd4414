"""Prediction over ``(T, Z, Y, X)``, frame by frame: slices, volumes, or networks that label volumes themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_ssl.core.job import ShouldStop
from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.errors import ImageError, JobError
from napari_ssl.inference.efficiency import Meter
from napari_ssl.inference.fusion import folded
from napari_ssl.inference.intensity import IntensityMap, intensity_map
from napari_ssl.inference.preprocess import network_size_yx, network_size_zyx
from napari_ssl.inference.runner import Runner, is_out_of_memory, place
from napari_ssl.inference.volumes import StoppedInside, iter_volumes

if TYPE_CHECKING:
    from napari_ssl.io.images import Image

__all__ = ["is_out_of_memory", "iter_frames"]


def iter_frames(
    network: nn.Module,
    image: Image | NDArray[np.generic],
    preprocessing: Preprocessing,
    spacing_zyx_mm: tuple[float, float, float],
    *,
    frames: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
    batch_size: int = 16,
    should_stop: ShouldStop | None = None,
    meter: Meter | None = None,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Predict frame by frame.

    Parameters
    ----------
    network : nn.Module
        Maps ``(B, 1, Y, X)`` to logits ``(B, K, Y, X)``, or ``(B, 1, Z, Y, X)`` to ``(B, K, Z, Y, X)`` where the
        preprocessing says three dimensions; set to evaluation mode and moved to `device`. One with a method
        ``label_volume(volume_zyx, spacing_zyx_mm)`` is given whole volumes float32 on their own grid instead, and
        returns class probabilities ``(Z, K, Y, X)``.
    image : Image or array (T, Z, Y, X)
        The whole series: the intensity window is taken over all its frames, whichever are predicted.
    preprocessing : Preprocessing
        As in training.
    spacing_zyx_mm : tuple of three floats
    frames : sequence of int, optional
        Frames to predict, in this order; all by default.
    device : torch.device or str
    batch_size : int
        Slices or windows per pass through the network; slices over several frames if a frame has fewer.
    should_stop : callable, optional
        Asked before every batch; when it says yes the iteration ends.
    meter : Meter, optional
        Tells when the run's memory limit was passed; batches are then halved.

    Yields
    ------
    frame : int
    probabilities : array (Z, K, Y, X) float32
        Softmax on the image's own grid.

    Raises
    ------
    ImageError
        Not four axes, or a frame that the image does not have.
    JobError
        Memory does not suffice for a single slice or window, or the network gives values that are not finite.
    """
    data = image if isinstance(image, np.ndarray) else image.data
    if data.ndim != 4:
        raise ImageError(f"expected an image (T, Z, Y, X), got shape {data.shape}")
    wanted = list(range(data.shape[0])) if frames is None else [int(f) for f in frames]
    for frame in wanted:
        if not 0 <= frame < data.shape[0]:
            raise ImageError(f"frame {frame} is not in the image, which has frames 0 to {data.shape[0] - 1}")
    device = torch.device(device)
    network = place(network, device, preprocessing.dimensions)
    asked = should_stop or (lambda: False)
    intensities = intensity_map(data, preprocessing)
    if hasattr(network, "label_volume"):
        yield from _label_volumes(network, data, wanted, intensities, spacing_zyx_mm, asked)
        return
    fast = place(folded(network, preprocessing.dimensions), device, preprocessing.dimensions)
    runner = Runner(fast, device, max(1, batch_size), meter=meter)
    size_z = network_size_zyx(data.shape[1:], spacing_zyx_mm, preprocessing)[0]
    if preprocessing.dimensions == 2 and size_z == data.shape[1]:
        runner.network_yx = network_size_yx(data.shape[2:], spacing_zyx_mm, preprocessing)
        yield from _iter_slices(data, wanted, intensities, runner, asked)
        return
    try:
        yield from iter_volumes(
            data,
            wanted,
            intensities=intensities,
            preprocessing=preprocessing,
            spacing_zyx_mm=spacing_zyx_mm,
            runner=runner,
            should_stop=asked,
        )
    except StoppedInside:
        return


def _iter_slices(
    data: NDArray[np.generic],
    frames: Sequence[int],
    intensities: IntensityMap,
    runner: Runner,
    should_stop: ShouldStop,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Slices of several frames share a batch, frames come out one by one."""
    n_slices, at_once = data.shape[1], runner.batch_size
    pending: list[tuple[int, Tensor]] = []
    queue = [(frame, z) for frame in frames for z in range(n_slices)]
    for start in range(0, len(queue), at_once):
        if should_stop():
            return
        batch = queue[start : start + at_once]
        slices = intensities.apply(np.stack([data[frame, z] for frame, z in batch]))
        with torch.inference_mode():
            results = runner.probabilities(slices)
        pending.extend((frame, result) for (frame, _), result in zip(batch, results, strict=True))
        while len(pending) >= n_slices:
            done, pending = pending[:n_slices], pending[n_slices:]
            yield done[0][0], np.stack([result.numpy() for _, result in done])


def _label_volumes(
    network: nn.Module,
    data: NDArray[np.generic],
    frames: Sequence[int],
    intensities: IntensityMap,
    spacing_zyx_mm: tuple[float, float, float],
    should_stop: ShouldStop,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """What labels volumes by other means than layers (registration of atlases) gets them whole, on their own grid."""
    for frame in frames:
        if should_stop():
            return
        volume = intensities.apply(data[frame])
        probabilities = np.asarray(network.label_volume(volume, tuple(spacing_zyx_mm)), np.float32)
        if probabilities.ndim != 4 or (probabilities.shape[0], *probabilities.shape[2:]) != volume.shape:
            raise JobError(
                f"{type(network).__name__}.label_volume gave shape {probabilities.shape} for a volume {volume.shape}; "
                "it must be (Z, K, Y, X)"
            )
        yield frame, probabilities
