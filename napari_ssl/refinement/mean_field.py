"""Mean field in torch on the exact kernels of Eq. 4: needs no compiler and uses a CUDA device where there is one.

Update of Krähenbühl and Koltun for Potts compatibility:
``Q_j(l) ∝ exp(−θ_j(l) + Σ_m w_m Σ_k kernel_m(j, k) Q_k(l))``, all pixels at once, from ``Q ∝ exp(−θ)``.
Narrow kernels are sparse matrices; a wide smoothness kernel is two small matrices (it is separable); a wide bilateral
kernel is computed in blocks of rows in each iteration, exact and slow: seconds per iteration on a 224² slice.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from napari_ssl.core.catalogue import CRFParameters
from napari_ssl.refinement.kernels import Kernel, PixelSet, active_kernels, gaussian_matrix, is_narrow, window_weights

if TYPE_CHECKING:
    import torch

    Message = Callable[[torch.Tensor], torch.Tensor]

__all__ = ["solve"]

_BLOCK_VALUES = 8_000_000


def solve(unary: np.ndarray, pixels: PixelSet, parameters: CRFParameters, device: str = "cpu") -> np.ndarray:
    """Return the marginals (K, N) float32 after ``parameters.iterations`` of mean field on a pixel set.

    Parameters
    ----------
    unary : (K, N) float32
        −log P in nats.
    pixels : PixelSet
        The N pixels; all others are left out of the sums.
    device : str
        Where torch computes, e.g. ``"cuda"``.
    """
    import torch

    device = torch.device(device)
    symmetric = parameters.normalisation == "symmetric"
    with torch.inference_mode():
        messages = [_message(kernel, pixels, symmetric, device) for kernel in active_kernels(parameters)]
        score = -torch.from_numpy(np.ascontiguousarray(unary.T, dtype=np.float32)).to(device)
        q = torch.softmax(score, dim=1)
        for _ in range(parameters.iterations):
            q = torch.softmax(score + sum(message(q) for message in messages), dim=1)
        return np.ascontiguousarray(q.T.cpu().numpy())


def _message(kernel: Kernel, pixels: PixelSet, symmetric: bool, device: torch.device) -> Message:
    if is_narrow(kernel):
        return _sparse(kernel, pixels, symmetric, device)
    if kernel.sigma_intensity is None and pixels.is_whole:
        apply = _separable(kernel, pixels, device)
    else:
        apply = _dense(kernel, pixels, device)
    return _weighted(apply, kernel.weight, len(pixels), symmetric, device)


def _sparse(kernel: Kernel, pixels: PixelSet, symmetric: bool, device: torch.device) -> Message:
    import torch

    neighbours, values, sums = window_weights(kernel, pixels)
    if symmetric:
        inverse = 1 / np.sqrt(sums)
        values = values * inverse[:, None] * inverse[neighbours]
    inside = neighbours >= 0
    starts = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        matrix = torch.sparse_csr_tensor(
            torch.from_numpy(starts.astype(np.int32)),
            torch.from_numpy(neighbours[inside]),
            torch.from_numpy((kernel.weight * values[inside]).astype(np.float32)),
            size=(len(pixels), len(pixels)),
            device=device,
            check_invariants=False,
        )
    return lambda q: matrix @ q


def _separable(kernel: Kernel, pixels: PixelSet, device: torch.device) -> Message:
    import torch

    def along(n: int) -> torch.Tensor:
        return torch.from_numpy(gaussian_matrix(n, kernel.sigma)).to(device, torch.float32)

    height, width = pixels.mask.shape
    along_y, along_x = along(height), along(width)

    def apply(q: torch.Tensor) -> torch.Tensor:
        grid = q.T.reshape(-1, height, width)
        return (along_y @ grid @ along_x).reshape(q.shape[1], -1).T

    return apply


def _dense(kernel: Kernel, pixels: PixelSet, device: torch.device) -> Message:
    import torch

    features = torch.from_numpy(pixels.features(kernel).T.copy()).to(device)
    rows = max(1, _BLOCK_VALUES // len(pixels))

    def apply(q: torch.Tensor) -> torch.Tensor:
        blocks = []
        for block in features.split(rows):
            squared = torch.zeros(len(block), len(features), device=device)
            for axis in range(features.shape[1]):
                squared += (block[:, axis, None] - features[None, :, axis]) ** 2
            blocks.append(squared.mul_(-0.5).exp_() @ q)
        return torch.cat(blocks)

    return apply


def _weighted(apply: Message, weight: float, n_pixels: int, symmetric: bool, device: torch.device) -> Message:
    import torch

    if not symmetric:
        return lambda q: weight * apply(q)
    inverse = apply(torch.ones(n_pixels, 1, device=device)).rsqrt()
    return lambda q: weight * inverse * apply(inverse * q)
