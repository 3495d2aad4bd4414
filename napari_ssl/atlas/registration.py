"""Registration of one patient's heart to another's: affine, then B-spline free-form deformation.

D. Rueckert et al., Nonrigid registration using free-form deformations, IEEE TMI 18, 1999 (affine + cubic B-spline,
coarse to fine, mutual information); W. Bai et al., MICCAI 2017, Sec. 3.3 uses such registration to warp its atlases.

Cine volumes are stacks of 6 to 13 slices, 8 to 10 mm apart. What the images cannot tell is kept from drifting:

- the affine part acts in-plane (rotation, scale, shear, translation); along the stack it is a translation, found among
  whole multiples of half the slice distance,
- the free-form part has control points every `grid_mm` in-plane and one cubic patch along the stack, and its
  through-plane component is held at zero,
- every level works on images smoothed and resampled in-plane alone.

The start is whichever of centre of volume and centre of mass of the intensities gives the more similar images. One
thread, all voxels, no random numbers: the same volumes give the same transform.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from napari_ssl.atlas.free_form import free_form
from napari_ssl.atlas.matching import Box
from napari_ssl.atlas.volume import Volume, at_spacing, to_image
from napari_ssl.errors import JobError

__all__ = ["Alignment", "RegistrationSettings", "align", "correlation", "deform", "register"]

_IN_PLANE = (1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0)  # of an affine transform's 12 parameters
_MIN_OVERLAP = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationSettings:
    """How thoroughly two volumes are registered.

    Parameters
    ----------
    metric : str
        ``"mattes"`` mutual information or normalised ``"correlation"``.
    affine_mm, deform_mm : tuple of float
        In-plane pixel of each level, coarse to fine; a level finer than the image uses the image's own.
    grid_mm : float
        In-plane distance of the control points at the last level; twice as far at each level before.
    iterations : int
        At most so many per level.
    search_slices : float
        How far the stack may shift along its axis, in slices.
    """

    metric: str = "mattes"
    affine_mm: tuple[float, ...] = (6.0, 3.0)
    deform_mm: tuple[float, ...] = (3.0, 2.0)
    grid_mm: float = 20.0
    iterations: int = 40
    search_slices: float = 0.0
    window: int = 4
    smoothness: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alignment:
    """A transform from fixed to moving points (mm about either volume's centre) and how alike the images then are.

    `similarity` is the correlation coefficient over the fixed voxels that the moving volume covers, times their share.
    """

    transform: sitk.Transform
    similarity: float


def correlation(fixed: NDArray[np.floating], warped: NDArray[np.floating], covered: NDArray[np.bool_]) -> float:
    """Pearson correlation over the covered voxels, times their share; −1 when they are too few or constant."""
    share = float(covered.mean())
    if share < _MIN_OVERLAP:
        return -1.0
    a, b = fixed[covered].astype(np.float64), warped[covered].astype(np.float64)
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm * share if norm > 1e-12 else -1.0


def _similarity(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> float:
    warped = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, transform, sitk.sitkLinear, -1e6))
    return correlation(sitk.GetArrayFromImage(fixed), warped, warped > -1.0)


def _method(settings: RegistrationSettings, start: sitk.Transform) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # sums of several threads differ in the last digit from run to run
    if settings.metric == "mattes":
        method.SetMetricAsMattesMutualInformation(32)
    else:
        method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.NONE)
    # Central differences: the recursive filter needs four slices, and smooths over them.
    method.SetMetricUseFixedImageGradientFilter(False)
    method.SetMetricUseMovingImageGradientFilter(False)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(start, inPlace=True)
    return method


def align(
    fixed: Volume,
    moving: Volume,
    settings: RegistrationSettings | None = None,
    *,
    start: sitk.AffineTransform | None = None,
    region: Box | None = None,
) -> Alignment:
    """Find the affine transform that takes fixed points to moving points.

    Parameters
    ----------
    start : sitk.AffineTransform, optional
        Where to begin (`atlas.matching.locate`); by default the centres of both volumes coincide.
    region : tuple of slice, optional
        Box (z, y, x) of the fixed volume that shows the organ; nothing else is compared.

    Raises
    ------
    JobError
        The images have no contrast or do not overlap.
    """
    settings = settings or RegistrationSettings()
    f, m = _images(fixed, moving, region)
    best = sitk.AffineTransform(start if start is not None else sitk.AffineTransform(3))
    for pixel in settings.affine_mm:
        pair = [at_spacing(i, pixel) for i in (f, m)]
        before = sitk.AffineTransform(best)
        method = _method(settings, best)
        step = pair[0].GetSpacing()[0] / 2
        method.SetOptimizerAsRegularStepGradientDescent(step, step / 50, settings.iterations, 0.5)
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetOptimizerWeights(_IN_PLANE)
        try:
            method.Execute(*pair)
        except RuntimeError as error:
            raise _failed("affine", error) from error
        if _similarity(*pair, best) < _similarity(*pair, before) - 0.05 or not _is_sane(best):
            best = before  # the optimiser ran away
    return Alignment(transform=best, similarity=_similarity(f, m, best))


def _images(fixed: Volume, moving: Volume, region: Box | None) -> tuple[sitk.Image, sitk.Image]:
    target, centre = fixed.crop(region) if region is not None else (fixed, (0.0, 0.0, 0.0))
    return (
        to_image(target.data, target.spacing_zyx_mm, centre),
        to_image(moving.data, moving.spacing_zyx_mm),
    )


def _is_sane(transform: sitk.AffineTransform) -> bool:
    """Whether no direction in the slice is scaled beyond what hearts differ by (a factor of 1.8)."""
    scales = np.linalg.svd(np.array(transform.GetMatrix()).reshape(3, 3)[:2, :2], compute_uv=False)
    return bool(scales.min() > 1 / 1.8 and scales.max() < 1.8)


def _failed(part: str, error: RuntimeError) -> JobError:
    reason = str(error).strip().splitlines()[-1] if str(error).strip() else "no reason given"
    return JobError(
        f"the {part} registration failed ({reason}); check that both volumes show the same organ and have contrast"
    )


def deform(
    fixed: Volume,
    moving: Volume,
    start: Alignment,
    settings: RegistrationSettings | None = None,
    region: Box | None = None,
) -> Alignment:
    """Refine an alignment by cubic B-splines, level by level, each composed with what was found before.

    Control points move by at most 0.4 of their distance, within which a free-form deformation cannot fold.

    Parameters
    ----------
    region : tuple of slice, optional
        Box of the fixed volume (z, y, x) that matters; the deformation is sought, and defined, there alone.

    Raises
    ------
    JobError
        The optimiser gave up (images without contrast in the region).
    """
    settings = settings or RegistrationSettings()
    f, m = _images(fixed, moving, region)
    found: list[sitk.Transform] = [start.transform]
    n_levels = len(settings.deform_mm)
    for level, pixel in enumerate(settings.deform_mm):
        level_f = at_spacing(f, pixel)
        level_m = at_spacing(m, pixel)
        so_far = sitk.CompositeTransform(found)
        warped = sitk.Resample(level_m, level_f, so_far, sitk.sitkLinear, 0.0, sitk.sitkFloat32, True)
        spline = free_form(
            level_f,
            warped,
            grid_mm=settings.grid_mm * 2 ** (n_levels - 1 - level),
            iterations=settings.iterations,
            radius=settings.window,
            smoothness=settings.smoothness,
        )
        found.append(spline)
    transform = sitk.CompositeTransform(found)
    return Alignment(transform=transform, similarity=_similarity(f, m, transform))


def register(
    fixed: Volume,
    moving: Volume,
    settings: RegistrationSettings | None = None,
    *,
    start: sitk.AffineTransform | None = None,
    region: Box | None = None,
) -> Alignment:
    """Align, then deform."""
    return deform(fixed, moving, align(fixed, moving, settings, start=start, region=region), settings, region)
