"""Free-form deformation between two stacks on the same grid, in-plane, by local cross-correlation.

D. Rueckert et al., Nonrigid registration using free-form deformations, IEEE TMI 18, 1999: the displacement is a tensor
product of cubic B-splines over control points Φ, and its smoothness is a term of the cost::

    u(x) = Σ_ijk B_i(z) B_j(y) B_k(x) Φ_ijk,   Φ_ijk = (0, Φ_y, Φ_x)
    E(Φ) = 1 − mean_x C(f, m∘(id + u))(x) + α · mean |Δ²Φ|² / h²                                              (E)

C is the correlation coefficient in a window of the slice around x, Δ² the second difference between neighbouring
control points (along the stack too) and h their distance.

SimpleITK's optimiser takes the derivative by every control point at every voxel, a cost of voxels × parameters.
Here basis matrices are applied axis by axis and the gradient is their transpose; the result is SimpleITK's
`BSplineTransform`.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.optimize import minimize

__all__ = ["LocalCorrelation", "cubic_basis", "free_form"]

Array = NDArray[np.float64]


def cubic_basis(n_samples: int, n_cells: int) -> Array:
    """Values of the ``n_cells + 3`` cubic B-splines at the centres of samples that tile the domain: ``(S, K)``."""
    position = (np.arange(n_samples) + 0.5) / n_samples * n_cells
    cell = np.minimum(position.astype(int), n_cells - 1)
    t = position - cell
    weights = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    basis = np.zeros((n_samples, n_cells + 3))
    for offset, weight in enumerate(weights):
        basis[np.arange(n_samples), cell + offset] = weight / 6
    return basis


def _band(n: int, radius: int) -> Array:
    """Matrix that sums windows of ``2 radius + 1``, cut at the edges: ``(n, n)``, symmetric."""
    index = np.arange(n)
    return (np.abs(index[:, None] - index) <= radius).astype(np.float64)


class LocalCorrelation:
    """Mean correlation coefficient with `f` ``(Z, Y, X)`` in windows of ``2 radius + 1`` pixels squared.

    Parameters
    ----------
    noise : float
        Standard deviation ε below which a window counts as constant (correlation near 0).

    Notes
    -----
    With sums over the window W(x) of n pixels, c = Σfm − ΣfΣm/n, v_f = Σf² − (Σf)²/n + nε², v_m likewise,
    s = √(v_f v_m) and C = c/s: ∂C(x)/∂m(y) = (f(y) − f̄(x))/s − C/v_m · (m(y) − m̄(x)).
    """

    def __init__(self, f: Array, radius: int, noise: float = 0.02) -> None:
        self.f = f
        self.rows, self.columns = (_band(n, radius) for n in f.shape[1:])
        self.n = self._sum(np.ones(f.shape[1:]))
        self.floor = self.n * noise**2
        self.mean_f = self._sum(f) / self.n
        self.v_f = np.maximum(self._sum(f * f) - self.n * self.mean_f**2, 0) + self.floor

    def _sum(self, values: Array) -> Array:
        return self.rows @ values @ self.columns

    def __call__(self, m: Array) -> tuple[float, Array]:
        """Return the mean of C and its gradient by `m` ``(Z, Y, X)``."""
        mean_m = self._sum(m) / self.n
        c = self._sum(self.f * m) - self.n * self.mean_f * mean_m
        v_m = np.maximum(self._sum(m * m) - self.n * mean_m**2, 0) + self.floor
        inverse = 1 / np.sqrt(self.v_f * v_m)
        correlation = c * inverse
        k = correlation / v_m
        gradient = self.f * self._sum(inverse) - m * self._sum(k) - self._sum(inverse * self.mean_f - k * mean_m)
        return float(correlation.mean()), gradient / m.size


def _sample(image: Array, dy: Array, dx: Array) -> tuple[Array, Array, Array]:
    """Bilinear values at displaced pixels (edges repeated), and their derivatives by the displacement."""
    n_z, n_y, n_x = image.shape
    y = np.clip(np.arange(n_y)[:, None] + dy, 0, n_y - 1.000001)
    x = np.clip(np.arange(n_x) + dx, 0, n_x - 1.000001)
    y0, x0 = y.astype(np.int64), x.astype(np.int64)
    ty, tx = y - y0, x - x0
    flat, corner = image.reshape(-1), (np.arange(n_z)[:, None, None] * n_y + y0) * n_x + x0
    a, b, c, d = (flat[corner + step] for step in (0, 1, n_x, n_x + 1))
    top, bottom = a + tx * (b - a), c + tx * (d - c)
    return top + ty * (bottom - top), bottom - top, (1 - ty) * (b - a) + ty * (d - c)


def _roughness(phi: Array) -> tuple[float, Array]:
    """Mean squared second difference of control points ``(2, Kz, Ky, Kx)`` along each axis, and its gradient."""
    total, gradient = 0.0, np.zeros_like(phi)
    for axis in (1, 2, 3):
        first, middle, last = (
            tuple(slice(o, phi.shape[a] - 2 + o) if a == axis else slice(None) for a in range(4)) for o in range(3)
        )
        second = phi[first] - 2 * phi[middle] + phi[last]
        total += float((second**2).mean())
        scaled = 2 * second / second.size
        gradient[first] += scaled
        gradient[middle] -= 2 * scaled
        gradient[last] += scaled
    return total, gradient


def free_form(
    fixed: sitk.Image, moving: sitk.Image, *, grid_mm: float, iterations: int, radius: int, smoothness: float
) -> sitk.BSplineTransform:
    """Minimise (E) by L-BFGS-B from u = 0; no control point moves beyond 0.4 of their distance, so nothing folds.

    Parameters
    ----------
    fixed, moving : sitk.Image
        On the same grid, at least two pixels along x and y.
    grid_mm : float
        Distance of the control points in the slice; along the stack there is one cubic patch.
    radius : int
        Of the windows of the correlation, in pixels.
    smoothness : float
        α of (E).
    """
    f, m = (sitk.GetArrayFromImage(i).astype(np.float64) for i in (fixed, moving))
    extent = [n * s for n, s in zip(fixed.GetSize(), fixed.GetSpacing(), strict=True)]
    cells = [max(1, round(e / grid_mm)) for e in extent[:2]] + [1]
    b_x, b_y, b_z = (cubic_basis(n, c) for n, c in zip(fixed.GetSize(), cells, strict=True))
    pixel = np.array([fixed.GetSpacing()[1], fixed.GetSpacing()[0]])
    shape = (2, b_z.shape[1], b_y.shape[1], b_x.shape[1])
    h = min(extent[a] / cells[a] for a in (0, 1))

    def energy(values: Array) -> tuple[float, Array]:
        phi = values.reshape(shape)
        u = np.einsum("zi,cijk->czjk", b_z, b_y @ (phi @ b_x.T), optimize=True)  # mm, (2, Z, Y, X)
        warped, by_y, by_x = _sample(m, u[0] / pixel[0], u[1] / pixel[1])
        alike, gradient = likeness(warped)
        du = np.stack([gradient * by_y / pixel[0], gradient * by_x / pixel[1]])
        rough, by_phi = _roughness(phi)
        back = b_y.T @ (np.einsum("zi,czjk->cijk", b_z, du, optimize=True) @ b_x)
        return 1 - alike + smoothness * rough / h**2, (smoothness * by_phi / h**2 - back).ravel()

    likeness = LocalCorrelation(f, radius)
    start = np.zeros(int(np.prod(shape)))
    bounds = [(-0.4 * h, 0.4 * h)] * start.size
    found = minimize(energy, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations})
    return _transform(fixed, cells, extent, found.x.reshape(shape))


def _transform(fixed: sitk.Image, cells: list[int], extent: list[float], phi: Array) -> sitk.BSplineTransform:
    result = sitk.BSplineTransform(3, 3)
    result.SetTransformDomainOrigin([o - s / 2 for o, s in zip(fixed.GetOrigin(), fixed.GetSpacing(), strict=True)])
    result.SetTransformDomainPhysicalDimensions(extent)
    result.SetTransformDomainMeshSize(cells)
    parts = (phi[1], phi[0], np.zeros_like(phi[0]))  # x, y, z; x runs fastest in each
    result.SetParameters(np.concatenate([p.ravel() for p in parts]).tolist())
    return result
