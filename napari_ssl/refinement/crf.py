"""The fully connected conditional random field of Bai et al., MICCAI 2017, Sec. 2.2.

``E(y) = Σ_j θ_j(y_j) + Σ_{j<k} θ_{j,k}(y_j, y_k)`` (Eq. 3) with ``θ_j = −log P(y_j)`` of the network and the pairwise
potential of Eq. 4 (see `napari_ssl.refinement.kernels`), minimised by mean field, slice by slice.

Decisions that the paper leaves open, and departures
----------------------------------------------------
- P is not taken below `PROBABILITY_FLOOR`, so that no unary is infinite.
- Grey values in [0, 1] are multiplied by ``intensity_range`` before σβ applies.
- Eq. 4 writes no normalisation; the program of the paper's reference [6] normalises the kernels symmetrically, and we
  do so by default. ``normalisation="none"`` is Eq. 4 to the letter: it changes two to three times as many pixels and
  eats thin walls where pixels are large (sample study, 2.3 mm pixels, mean test Dice of two networks: arg-max .785 and
  .865, symmetric .782 and .864, none .776 and .860; at 1.4 to 1.8 mm on ACDC all three agree within .001).
- Only the undecided neighbourhood is computed when the kernels are narrow (`napari_ssl.refinement.region`).
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from napari_ssl.core.catalogue import CRFParameters
from napari_ssl.errors import CatalogueError, ImageError, LabelError, MissingDependencyError
from napari_ssl.refinement import lattice, mean_field
from napari_ssl.refinement.kernels import PixelSet, active_kernels, is_narrow, reach
from napari_ssl.refinement.region import undecided

__all__ = ["PROBABILITY_FLOOR", "refine_frame", "refine_slice", "which_backend"]

PROBABILITY_FLOOR = 1e-5
"""Smallest probability that the unary sees (11.5 nats), as in the authors' CRF program."""

_SOLVERS = {"pydensecrf": lattice.solve, "torch": mean_field.solve}
_PACKAGES = {"pydensecrf": "pydensecrf2", "torch": "torch"}


def which_backend(parameters: CRFParameters) -> str:
    """Return the program that refines with these parameters: ``"pydensecrf"`` or ``"torch"``.

    Raises
    ------
    MissingDependencyError
        The program that was asked for, or with ``auto`` both, is not installed.
    """
    wanted = tuple(_SOLVERS) if parameters.backend == "auto" else (parameters.backend,)
    for name in wanted:
        if find_spec(name) is not None:
            return name
    packages = " or ".join(f"'pip install {_PACKAGES[name]}'" for name in wanted)
    raise MissingDependencyError(f"CRF refinement needs {' or '.join(wanted)}, not installed here; run {packages}")


def refine_slice(
    probabilities: np.ndarray, image: np.ndarray, parameters: CRFParameters, device: str = "cpu"
) -> np.ndarray:
    """Refine the softmax map of one slice.

    Parameters
    ----------
    probabilities : (K, Y, X) float32
        Softmax output of a network.
    image : (Y, X) float32
        Grey values in [0, 1].
    parameters : CRFParameters
        Eqs. 3 and 4; the paper's values are the defaults.
    device : str
        Where the torch program computes; pydensecrf has the CPU only.

    Returns
    -------
    (Y, X) uint8
        Class indices 0…K−1.

    Raises
    ------
    LabelError, ImageError
        Shapes that do not fit, values that are not finite, probabilities that are not a softmax.
    MissingDependencyError
        See `which_backend`.
    CatalogueError
        ``region="uncertain"`` asked for with wide kernels, or kernels too narrow for ``pydensecrf``.
    """
    _check(probabilities, image)
    solve = _SOLVERS[which_backend(parameters)]
    labels = probabilities.argmax(axis=0).astype(np.uint8)
    if _region(parameters) == "whole":
        may_change = computed = np.ones(labels.shape, bool)
    else:
        distance = reach(active_kernels(parameters))
        may_change, computed = undecided(probabilities, labels, distance, parameters.iterations)
    if not may_change.any():
        return labels
    pixels = PixelSet.of(computed, np.ascontiguousarray(image, dtype=np.float32))
    unary = -np.log(np.maximum(probabilities[:, computed], PROBABILITY_FLOOR))
    solved = solve(unary, pixels, parameters, device).argmax(axis=0)
    labels[may_change] = solved[may_change[computed]]
    return labels


def refine_frame(
    probabilities: np.ndarray, image: np.ndarray, parameters: CRFParameters, device: str = "cpu"
) -> np.ndarray:
    """Refine each slice of a frame by itself: (Z, K, Y, X) float32 and (Z, Y, X) in [0, 1] give (Z, Y, X) uint8.

    The errors of `refine_slice`, with the slice's number.
    """
    if probabilities.ndim != 4 or image.shape != probabilities.shape[:1] + probabilities.shape[2:]:
        raise LabelError(
            f"expected probabilities (Z, K, Y, X) and an image (Z, Y, X) of one grid, got shapes {probabilities.shape} "
            f"and {image.shape}; predict on the image's own grid"
        )
    labels = np.zeros(image.shape, np.uint8)
    for z in range(len(image)):
        try:
            labels[z] = refine_slice(probabilities[z], image[z], parameters, device)
        except (LabelError, ImageError) as error:
            raise type(error)(f"slice {z}: {error}") from error
    return labels


def _region(parameters: CRFParameters) -> str:
    narrow = all(is_narrow(kernel) for kernel in active_kernels(parameters))
    if parameters.region == "uncertain" and not narrow:
        raise CatalogueError(
            f"region 'uncertain' needs narrow kernels, got σα {parameters.sigma_alpha:g} and σγ "
            f"{parameters.sigma_gamma:g} pixels; choose region 'auto' or 'whole'"
        )
    return "uncertain" if narrow and parameters.region != "whole" else "whole"


def _check(probabilities: np.ndarray, image: np.ndarray) -> None:
    if probabilities.ndim != 3 or probabilities.shape[1:] != image.shape or 0 in probabilities.shape:
        raise LabelError(
            f"expected probabilities (K, Y, X) and an image (Y, X) of one grid, got shapes {probabilities.shape} and "
            f"{image.shape}; predict on the image's own grid"
        )
    if probabilities.shape[0] > 256:
        raise LabelError(f"{probabilities.shape[0]} classes; label maps hold at most 256")
    if not np.isfinite(image).all():
        raise ImageError(f"{int((~np.isfinite(image)).sum())} grey values are not finite; normalise the image again")
    total = probabilities.sum(axis=0)
    if not np.isfinite(total).all():
        bad = int((~np.isfinite(total)).sum())
        raise LabelError(f"softmax not finite at {bad} pixels: the network has diverged; train it again, slower")
    if probabilities.min() < 0 or np.abs(total - 1).max() > 0.01:
        raise LabelError(
            f"probabilities from {probabilities.min():.3g} that sum to {total.min():.3g}…{total.max():.3g} per pixel, "
            "expected a softmax; pass probabilities, not logits"
        )
