"""Mean field through ``pydensecrf``: the program that the paper's reference for its CRF published.

Its filter is the permutohedral lattice, an approximation of the Gaussian sums: for Eq. 4 as it stands (without
normalisation) they come out 12 % low for the smoothness kernel and, because pixels are coarser than the lattice then,
40 to 50 % low for a bilateral kernel with σα = 0.5. Scaling the weights to make up for it brought the label maps of
narrow kernels no closer to those of the exact sums (`napari_ssl.refinement.mean_field`), so the weights are passed as
they are. With wide unnormalised kernels the two programs differ more, because the shortfall then weighs more.
"""

from __future__ import annotations

import numpy as np

from napari_ssl.core.catalogue import CRFParameters
from napari_ssl.errors import CatalogueError
from napari_ssl.refinement.kernels import PixelSet, active_kernels

__all__ = ["LARGEST_FEATURE", "solve"]

LARGEST_FEATURE = 5000.0
"""Largest position or grey value in units of its σ: the lattice keeps its coordinates in 16-bit integers."""


def solve(unary: np.ndarray, pixels: PixelSet, parameters: CRFParameters, device: str = "cpu") -> np.ndarray:
    """Return the marginals (K, N) float32 after ``parameters.iterations`` of mean field on a pixel set.

    Parameters
    ----------
    unary : (K, N) float32
        −log P in nats.
    pixels : PixelSet
        The N pixels; all others are left out of the sums.

    Raises
    ------
    CatalogueError
        A kernel so narrow that the lattice's coordinates would overflow.
    """
    from pydensecrf import densecrf

    crf = densecrf.DenseCRF(len(pixels), unary.shape[0])
    crf.setUnaryEnergy(np.ascontiguousarray(unary, dtype=np.float32))
    symmetric = parameters.normalisation == "symmetric"
    for kernel in active_kernels(parameters):
        features = pixels.features(kernel)
        if np.abs(features).max() > LARGEST_FEATURE:
            raise CatalogueError(
                f"CRF kernel of σ {kernel.sigma:g} pixels and {kernel.sigma_intensity or 1:g} of the grey values is "
                f"too narrow for pydensecrf (a slice may span {LARGEST_FEATURE:g} σ); choose backend 'torch'"
            )
        crf.addPairwiseEnergy(
            features,
            compat=kernel.weight,
            kernel=densecrf.DIAG_KERNEL,
            normalization=densecrf.NORMALIZE_SYMMETRIC if symmetric else densecrf.NO_NORMALIZATION,
        )
    return np.array(crf.inference(parameters.iterations), dtype=np.float32)
