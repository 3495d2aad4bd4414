"""Images and labels of a phantom heart: partial volume, breathing shifts, coil shading and Rician noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import GeometryError
from napari_ssl.phantom.heart import PhantomHeart
from napari_ssl.phantom.surroundings import (
    Appearance,
    Surroundings,
    coil_shading,
    random_appearance,
    random_surroundings,
)

__all__ = ["PhantomCase", "Pose", "render"]

_POINTS_ZYX = (5, 2, 2)  # points per voxel that partial volume is averaged over
_BLUR_PIXELS = 0.45  # point spread of a cine whose pixels are about as large as its resolution
_VALUES = {s.name: s.value for s in PRESETS["acdc"].structures}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhantomCase:
    """A rendered cine with its labels and the truth.

    ``image`` uint8 and ``labels`` uint8 are (T, Z, Y, X), base first; labels are those of the preset ``acdc`` (RV 1,
    Myo 2, LV 3; papillary muscles belong to LV). ``true_volume_ml`` holds the closed-form volume of every structure per
    frame, (T,). ED and ES are the frames of largest and smallest true LV volume.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    spacing_zyx_mm: tuple[float, float, float]
    frame_interval_ms: float
    ed_frame: int
    es_frame: int
    true_volume_ml: dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """How the heart lies in the image; every part of the map keeps areas, so volumes stay those of the closed form."""

    centre_xy_mm: tuple[float, float] = (16.0, 0.0)
    tilt_xy: tuple[float, float] = (0.0, 0.0)
    rotation: float = 0.0
    stretch: float = 0.0
    bend_mm: float = 0.0
    bend_phase: float = 0.0

    @classmethod
    def random(cls, rng: np.random.Generator) -> Pose:
        """Draw the position, rotation and build of one subject."""
        return cls(
            centre_xy_mm=(rng.uniform(6, 24), rng.uniform(-8, 10)),
            tilt_xy=(rng.uniform(-0.15, 0.2), rng.uniform(-0.15, 0.15)),
            rotation=rng.uniform(-0.85, 0.85),
            stretch=rng.uniform(-0.08, 0.08),
            bend_mm=rng.uniform(0, 3),
            bend_phase=rng.uniform(0, 2 * np.pi),
        )

    def to_heart(
        self, x: NDArray[np.float32], y: NDArray[np.float32], depth_mm: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Map image points (mm) to the heart's cross-section, the RV in the direction +u; unit Jacobian."""
        dx = x - np.float32(self.centre_xy_mm[0] + self.tilt_xy[0] * depth_mm)
        dy = y - np.float32(self.centre_xy_mm[1] + self.tilt_xy[1] * depth_mm)
        cos, sin = np.float32(np.cos(self.rotation)), np.float32(np.sin(self.rotation))
        u, v = -(cos * dx + sin * dy), sin * dx - cos * dy
        u, v = u * np.float32(np.exp(self.stretch)), v * np.float32(np.exp(-self.stretch))
        return u, v + np.float32(self.bend_mm) * np.sin(u / np.float32(22.0) + np.float32(self.bend_phase))


def render(
    heart: PhantomHeart,
    *,
    n_frames: int,
    n_slices: int,
    matrix_yx: tuple[int, int],
    spacing_zyx_mm: tuple[float, float, float],
    rng: np.random.Generator,
    pose: Pose | None = None,
    appearance: Appearance | None = None,
    surroundings: Surroundings | None = None,
    breathing_mm: float = 1.5,
) -> PhantomCase:
    """Take a short-axis cine of the heart.

    Parameters
    ----------
    heart : PhantomHeart
    n_frames, n_slices : int
    matrix_yx : two ints
    spacing_zyx_mm : three floats
        Slices are contiguous: their thickness is the z spacing.
    rng : numpy.random.Generator
        Draws noise and shifts, and whatever of the following is not given.
    pose, appearance, surroundings : optional
    breathing_mm : float
        Standard deviation of each slice's in-plane shift (x and y), which moves image and labels alike.

    Raises
    ------
    GeometryError
        The stack is shorter than the heart.
    """
    covered, needed = n_slices * spacing_zyx_mm[0], sum(heart.reach_mm)
    if covered < needed:
        raise GeometryError(
            f"phantom: {n_slices} slices of {spacing_zyx_mm[0]:g} mm cover {covered:g} mm, the heart needs "
            f"{needed:.1f} mm; take more or thicker slices"
        )
    pose = pose or Pose.random(rng)
    look = appearance or random_appearance(rng)
    around = surroundings or random_surroundings(rng)
    contraction = heart.frame_contraction(n_frames)
    signal = np.empty((n_frames, n_slices, *matrix_yx), np.float32)
    labels = np.empty(signal.shape, np.uint8)
    shifts = rng.normal(0, breathing_mm, (n_slices, 2)).astype(np.float32)
    gains = rng.uniform(0.93, 1.05, n_slices)
    for z in range(n_slices):
        view = _Slice(heart, pose, look, around, z, matrix_yx, spacing_zyx_mm, shifts[z])
        for t, s in enumerate(contraction):
            signal[t, z], labels[t, z] = view.frame(float(s))
        signal[:, z] *= np.float32(gains[z])
    x, y = _grid(matrix_yx, spacing_zyx_mm, (1, 1))
    signal = gaussian_filter(signal, (0, 0, _BLUR_PIXELS, _BLUR_PIXELS))
    image = _measure(signal * coil_shading(x, y, look), look.noise, rng)
    truth = heart.volumes_ml(contraction)
    return PhantomCase(
        image=image,
        labels=labels,
        spacing_zyx_mm=spacing_zyx_mm,
        frame_interval_ms=heart.cycle_ms / n_frames,
        ed_frame=int(np.argmax(truth["LV"])),
        es_frame=int(np.argmin(truth["LV"])),
        true_volume_ml=truth,
    )


def _grid(
    matrix_yx: tuple[int, int], spacing_zyx_mm: tuple[float, float, float], points_yx: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Coordinates (x, y) in mm from the centre of the image, `points_yx` points per pixel."""
    axes = [
        ((np.arange(n * k) + 0.5) / k - n / 2) * mm
        for n, mm, k in zip(matrix_yx, spacing_zyx_mm[1:], points_yx, strict=True)
    ]
    y, x = np.meshgrid(*axes, indexing="ij")
    return x.astype(np.float32), y.astype(np.float32)


def _per_pixel(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum over the points of each pixel."""
    _, ky, kx = _POINTS_ZYX
    rows = sum(points[i::ky] for i in range(ky))
    return sum(rows[:, i::kx] for i in range(kx))


def _measure(signal: NDArray[np.float32], noise: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Magnitude of the complex signal with noise (Rician), rounded to steps of the noise so that files stay small."""
    real = signal + rng.standard_normal(signal.shape, np.float32) * np.float32(noise)
    imaginary = rng.standard_normal(signal.shape, np.float32) * np.float32(noise)
    step = max(4.0, np.round(1.5 * noise))
    return np.clip(np.round(np.hypot(real, imaginary) / step) * step, 0, 255).astype(np.uint8)


class _Slice:
    """One slice of the stack: what does not change over the cycle is computed once.

    Only a window around the heart is computed for every frame; the rest is the background.
    """

    def __init__(
        self,
        heart: PhantomHeart,
        pose: Pose,
        look: Appearance,
        around: Surroundings,
        index: int,
        matrix_yx: tuple[int, int],
        spacing_zyx_mm: tuple[float, float, float],
        shift_xy: NDArray[np.float32],
    ) -> None:
        self.heart, self.look = heart, look
        kz, ky, kx = _POINTS_ZYX
        self.depths = (index + (np.arange(kz) + 0.5) / kz) * spacing_zyx_mm[0] - heart.reach_mm[0]
        x, y = _grid(matrix_yx, spacing_zyx_mm, (ky, kx))
        x, y = x - shift_xy[0], y - shift_xy[1]
        share = float(np.clip(self.depths.mean() / heart.length_mm, 0, 1))
        background = around.paint(x, y, share, look)
        u, v = pose.to_heart(x, y, float(self.depths.mean()))
        self.window = _window(u**2 + v**2 < (heart.largest_radius_mm + 10.0) ** 2)
        points = tuple(slice(s.start * k, s.stop * k) for s, k in zip(self.window, (ky, kx), strict=True))
        self.still = _per_pixel(background) / (ky * kx)
        self.background = np.ascontiguousarray(background[points])
        self.u, self.v = u[points].copy(), v[points].copy()
        self.r2 = self.u**2 + self.v**2
        theta = np.arctan2(self.v, self.u)
        self.theta2 = theta**2
        self.contour = (1 + heart.contour_modulation(theta)).astype(np.float32)
        self.sector = heart.sector_modulation(theta).astype(np.float32)
        self.trabeculae = np.maximum(np.sin(9 * theta + 1.0) * np.sin(4 * theta), 0).astype(np.float32)

    def frame(self, contraction: float) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Signal and labels (Y, X) at one contraction: means and majorities over the points of each voxel."""
        total = np.zeros_like(self.r2)
        votes = {value: np.zeros(self.r2.shape, np.uint8) for value in _VALUES.values()}
        for depth in self.depths - self.heart.valve_depth_mm(contraction):
            layer, masks = self._layer(float(depth), contraction)
            total += layer
            for name, mask in masks.items():
                votes[_VALUES[name]] += mask
        counts = [_per_pixel(votes[value]).astype(np.int16) for value in sorted(votes)]
        n_points = int(np.prod(_POINTS_ZYX))
        shares = np.stack([n_points - sum(counts), *counts])
        signal, labels = self.still.copy(), np.zeros(self.still.shape, np.uint8)
        signal[self.window] = _per_pixel(total) / n_points
        labels[self.window] = np.array((0, *sorted(votes)), np.uint8)[_majority(shares)]
        return signal, labels

    def _layer(self, depth: float, contraction: float) -> tuple[NDArray[np.float32], dict[str, NDArray[np.bool_]]]:
        """Signal and masks of one thin layer, `depth` below the middle of the valve plane."""
        heart, look, r2 = self.heart, self.look, self.r2
        depths = np.float32(depth) - np.float32(heart.obliquity) * self.u
        part = heart.section(depths, contraction)
        endo, wall = part.lv_r2 * self.contour, part.wall_r2
        if heart.sector_akinesia:
            endo = endo + part.lv_r2 * (np.float32(heart.sector_akinesia * contraction) * part.sector * self.sector)
        if heart.sector_wall:
            wall = wall + wall * (np.float32(heart.sector_wall) * part.sector * self.sector)
        epi = endo + wall
        crescent = np.maximum(1 - self.theta2 / part.rv_half_angle**2, 0)
        outer = epi + part.rv_r2 * crescent
        lv, inside_epi, inside_outer = r2 < endo, r2 < epi, r2 < outer
        heart_here = wall > 0
        signal = self.background.copy()
        size = np.minimum(outer / np.float32(500), 1)  # fat and the wall of the RV thin out towards the apex
        signal[(r2 < outer + size * (220 + 800 * crescent)) & heart_here] = 0.85 * look.fat
        signal[(r2 < outer + size * (280 * np.sqrt(crescent) + 30)) & heart_here] = 0.9 * look.muscle
        signal[inside_outer] = 0.95 * look.blood
        signal[inside_epi] = look.muscle
        self._paint_cavity(signal, lv, endo, depth / heart.length_mm, contraction)
        above = depths < 0
        if above.any():
            signal[above] = self._atria(contraction)[above]
        return signal, {"LV": lv, "Myo": inside_epi & ~lv, "RV": inside_outer & ~inside_epi}

    def _paint_cavity(
        self,
        signal: NDArray[np.float32],
        lv: NDArray[np.bool_],
        endo: NDArray[np.float32],
        depth_share: float,
        contraction: float,
    ) -> None:
        """Blood with darker trabeculae along the wall and, at mid-level, two papillary muscles."""
        look = self.look
        blood = look.blood * (1 - 0.05 * contraction)
        near_wall = np.clip((self.r2[lv] / endo[lv] - 0.55) / 0.45, 0, 1)
        signal[lv] = blood - (blood - look.muscle) * look.trabeculation * near_wall * self.trabeculae[lv]
        if lv.any() and 0.2 < depth_share < 0.8:
            radius = float(np.sqrt(endo[lv].mean()))
            size2 = (radius * 0.2 * np.sin(np.pi * (depth_share - 0.2) / 0.6) ** 0.5) ** 2
            for angle in (2.1, -2.3):
                du = self.u - np.float32(0.7 * radius * np.cos(angle))
                dv = self.v - np.float32(0.7 * radius * np.sin(angle))
                signal[(du**2 + dv**2 < size2) & lv] = look.muscle

    def _atria(self, contraction: float) -> NDArray[np.float32]:
        """Above the valve plane: atria and aortic root, bright, thin-walled and without a label."""
        look, part = self.look, self.heart.section(0.0, contraction)
        outer = (part.lv_r2 + part.wall_r2) * self.contour
        crescent = np.maximum(1 - self.theta2 / (0.8 * part.rv_half_angle) ** 2, 0)
        rv = outer + 0.7 * part.rv_r2 * crescent
        signal = self.background.copy()
        signal[self.r2 < rv + 350] = 0.85 * look.fat
        signal[self.r2 < rv + 150] = look.muscle
        signal[self.r2 < rv] = 0.9 * look.blood
        signal[self.r2 < 1.06 * outer] = look.muscle
        signal[self.r2 < 0.96 * outer] = 0.85 * look.blood
        root = 0.45 * float(np.sqrt(part.lv_r2))
        from_root = np.hypot(self.u - 1.5 * root, self.v - 1.2 * root)
        signal[from_root < root + 2.5] = look.muscle
        signal[from_root < root] = look.blood
        return signal


def _majority(counts: NDArray[np.int16]) -> NDArray[np.intp]:
    """Class (K, Y, X) -> (Y, X) with most points; equals go to the lower and higher class in turn, so none gains."""
    n = len(counts)
    turn = np.indices(counts.shape[1:]).sum(axis=0) % 2
    ranks = np.arange(n).reshape(n, 1, 1)
    return (counts * n + np.where(turn == 0, ranks, n - 1 - ranks)).argmax(axis=0)


def _window(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Smallest range of pixels (y, x) that holds all points of the mask."""
    ranges = []
    for axis, k in ((0, _POINTS_ZYX[1]), (1, _POINTS_ZYX[2])):
        filled = np.flatnonzero(mask.any(axis=1 - axis))
        ranges.append(slice(int(filled[0]) // k, int(filled[-1]) // k + 1))
    return ranges[0], ranges[1]
