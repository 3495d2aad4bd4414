"""Prediction over ``(T, Z, Y, X)``: slices of several frames share a batch, frames come out one by one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_ssl.core.job import ShouldStop
from napari_ssl.core.training import Preprocessing
from napari_ssl.errors import ImageError, JobError
from napari_ssl.inference.preprocess import intensity_window, network_size_yx, resample, scale_to_window

if TYPE_CHECKING:
    from napari_ssl.io.images import Image

__all__ = ["is_out_of_memory", "iter_frames"]

_log = logging.getLogger(__name__)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device or the machine could not give the memory asked for."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or "can't allocate memory" in text


@dataclass
class _Runner:
    """Runs batches of slices; a batch that does not fit is halved, and stays so."""

    network: nn.Module
    device: torch.device
    batch_size: int
    network_yx: tuple[int, int]

    def probabilities(self, slices: NDArray[np.float32]) -> Tensor:
        """``(B, Y, X)`` in [0, 1] → softmax ``(B, K, Y, X)`` float32 on the same grid, on the CPU."""
        parts: list[Tensor] = []
        position = 0
        while position < len(slices):
            chunk = slices[position : position + self.batch_size]
            try:
                parts.append(self._run(chunk))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if len(chunk) == 1:
                    raise JobError(
                        f"not enough memory to predict one slice of {chunk.shape[1:]} pixels on {self.device}; close "
                        "other programs, use the CPU or a larger pixel_spacing_mm"
                    ) from error
                self.batch_size = max(1, len(chunk) // 2)
                _log.warning("out of memory on %s: predicting %d slices at a time", self.device, self.batch_size)
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                continue
            position += len(chunk)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _run(self, slices: NDArray[np.float32]) -> Tensor:
        batch = torch.from_numpy(slices)[:, None].to(self.device)
        batch = resample(batch, self.network_yx).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cuda", torch.float16, enabled=self.device.type == "cuda"):
            logits = self.network(batch)
        if not torch.isfinite(logits).all() and self.device.type == "cuda":
            logits = self.network(batch)  # half precision may overflow; single does not
        if not torch.isfinite(logits).all():
            raise JobError(
                "the network's values are not finite: its training has diverged; train it again with a lower learning "
                "rate, or promote another model"
            )
        # Class maps apart, as they are handed out, not interleaved as the network works.
        logits = logits.float().contiguous(memory_format=torch.contiguous_format)
        return resample(logits.softmax(dim=1), slices.shape[1:]).cpu()


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
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Predict frame by frame.

    Parameters
    ----------
    network : nn.Module
        Maps ``(B, 1, Y, X)`` to logits ``(B, K, Y, X)``; set to evaluation mode and moved to `device`.
    image : Image or array (T, Z, Y, X)
        The whole series: the intensity window is taken over all its frames, whichever are predicted.
    preprocessing : Preprocessing
        As in training.
    spacing_zyx_mm : tuple of three floats
    frames : sequence of int, optional
        Frames to predict, in this order; all by default.
    device : torch.device or str
    batch_size : int
        Slices per pass through the network, over several frames if a frame has fewer; memory grows with it.
    should_stop : callable, optional
        Asked before every batch; when it says yes the iteration ends.

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
        Memory does not suffice for a single slice, or the network gives values that are not finite.
    """
    data = image if isinstance(image, np.ndarray) else image.data
    if data.ndim != 4:
        raise ImageError(f"expected an image (T, Z, Y, X), got shape {data.shape}")
    wanted = range(data.shape[0]) if frames is None else [int(f) for f in frames]
    for frame in wanted:
        if not 0 <= frame < data.shape[0]:
            raise ImageError(f"frame {frame} is not in the image, which has frames 0 to {data.shape[0] - 1}")
    device = torch.device(device)
    network = network.to(device=device, memory_format=torch.channels_last).eval()
    size = network_size_yx(data.shape[2:], spacing_zyx_mm, preprocessing)
    runner = _Runner(network, device, max(1, batch_size), size)
    window = intensity_window(data, preprocessing)
    pending: list[tuple[int, Tensor]] = []
    queue = [(frame, z) for frame in wanted for z in range(data.shape[1])]
    for start in range(0, len(queue), max(1, batch_size)):
        if should_stop is not None and should_stop():
            return
        batch = queue[start : start + max(1, batch_size)]
        slices = scale_to_window(np.stack([data[frame, z] for frame, z in batch]), window)
        with torch.inference_mode():
            results = runner.probabilities(slices)
        pending.extend((frame, result) for (frame, _), result in zip(batch, results, strict=True))
        while len(pending) >= data.shape[1]:
            done, pending = pending[: data.shape[1]], pending[data.shape[1] :]
            yield done[0][0], np.stack([result.numpy() for _, result in done])
