"""The network on batches of slices or windows, in as many parts as the memory asks for."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_ssl.errors import JobError
from napari_ssl.inference.allocation import return_freed_memory
from napari_ssl.inference.efficiency import Meter
from napari_ssl.inference.preprocess import resample

__all__ = ["Runner", "is_out_of_memory", "place"]

_log = logging.getLogger(__name__)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device or the machine could not give the memory asked for."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or "can't allocate memory" in text


def _is_finite(values: Tensor) -> bool:
    """Extremes are infinite or NaN where any value is; one pass, without a map of truth values."""
    return bool(torch.isfinite(torch.stack(torch.aminmax(values))).all())


def place(network: nn.Module, device: torch.device, dimensions: int) -> nn.Module:
    """Move a network to a device in the order of memory that suits it; in evaluation mode."""
    if dimensions == 2:
        return network.to(device=device, memory_format=torch.channels_last).eval()
    return network.to(device=device).eval()


@dataclass
class Runner:
    """Runs batches; one that does not fit is halved, and stays so.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode, on `device`.
    batch_size : int
        Slices or windows at once.
    network_yx : tuple of int
        Size that slices are resampled to and back from.
    meter : Meter, optional
        Tells when the run's memory limit was passed.
    """

    network: nn.Module
    device: torch.device
    batch_size: int
    network_yx: tuple[int, int] = (0, 0)
    meter: Meter | None = None

    def probabilities(self, slices: NDArray[np.float32]) -> Tensor:
        """Normalised ``(B, Y, X)`` → softmax ``(B, K, Y, X)`` float32 on the same grid, on the CPU."""
        parts: list[Tensor] = []
        position = 0
        while position < len(slices):
            self.respect_limit(f"one slice of {slices.shape[1:]} pixels")
            chunk = slices[position : position + self.batch_size]
            try:
                parts.append(self._run(chunk))
            except RuntimeError as error:
                self.halve_after(error, len(chunk), f"one slice of {chunk.shape[1:]} pixels")
                continue
            position += len(chunk)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _run(self, slices: NDArray[np.float32]) -> Tensor:
        batch = torch.from_numpy(slices)[:, None].to(self.device)
        batch = resample(batch, self.network_yx).contiguous(memory_format=torch.channels_last)
        return resample(self.softmax(batch), slices.shape[1:]).cpu()

    def softmax(self, batch: Tensor) -> Tensor:
        """Run ``(B, 1, [Z,] Y, X)`` on the device and return the softmax ``(B, K, [Z,] Y, X)`` float32.

        Raises
        ------
        JobError
            Values that are not finite.
        """
        with torch.autocast("cuda", torch.float16, enabled=self.device.type == "cuda"):
            logits = self.network(batch)
        # Class maps apart, as they are handed out, not interleaved as the network works.
        logits = logits.float().contiguous(memory_format=torch.contiguous_format)
        if not _is_finite(logits) and self.device.type == "cuda":
            logits = self.network(batch).float().contiguous()  # half precision may overflow; single does not
        if not _is_finite(logits):
            raise JobError(
                "the network's values are not finite: its training has diverged; train it again with a lower learning "
                "rate, or promote another model"
            )
        return logits.softmax(dim=1)

    def respect_limit(self, smallest: str) -> None:
        """Halve the batch where the last one passed the run's memory limit.

        Raises
        ------
        JobError
            One at a time passes it, too; `smallest` names what that is.
        """
        excess = self.meter.passed_limit() if self.meter is not None else None
        if excess is None or self.meter is None:
            return
        if self.batch_size == 1:
            raise JobError(
                f"predicting {smallest} at a time took {excess:.0f} MB, the limit is {self.meter.limit_mb} MB; raise "
                "--memory-limit, or take a smaller network or a larger pixel_spacing_mm"
            )
        self.batch_size = max(1, self.batch_size // 2)
        return_freed_memory()
        _log.warning("%.0f MB pass the limit of %d MB: %d at a time", excess, self.meter.limit_mb, self.batch_size)

    def halve_after(self, error: RuntimeError, n: int, smallest: str) -> None:
        """Halve the batch after `n` at once ran out of memory; any other error is raised again.

        Raises
        ------
        JobError
            There was but one.
        """
        if not is_out_of_memory(error):
            raise error
        if n == 1:
            limit = f" within {self.meter.limit_mb} MB" if self.meter is not None and self.meter.limit_mb else ""
            raise JobError(
                f"not enough memory to predict {smallest} on {self.device}{limit}; close other programs, use the CPU "
                "or a larger pixel_spacing_mm"
            ) from error
        self.batch_size = max(1, n // 2)
        _log.warning("out of memory on %s: predicting %d at a time", self.device, self.batch_size)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
