"""Shape and motion of the phantom heart.

Cylinder coordinates around the long axis of the left ventricle: depth ``d`` (mm) counts from the valve plane to the
apex, ``theta`` (rad) is measured from the direction of the right ventricle. Every boundary is given by its *squared*
radius, so that the area of a cross-section, one half of the integral of r² over theta, has a closed form:

- LV cavity: an ellipsoid cut at the valve plane, semi-axes a, a, c and centre at d = κc. Its area at depth d is
  π a² (1 − ((d − κc)/c)²), its volume π a² c F with F = 1 + κ − (1 + κ³)/3. Anything of zero mean over theta may be
  added to r² (irregular contours, an akinetic sector) without changing either.
- Myocardium: added to r² is the difference of two such ellipsoids, distributed over theta with mean 1; its volume is
  that difference, and it is the same in all frames (muscle is incompressible).
- RV cavity: added to the epicardial r² is D² (1 − ζ³) (1 − (theta/Θ)²) for |theta| < Θ = Θ₀ (1 − kζ), ζ = d / length:
  a crescent on the septum of volume (2/3) D² Θ₀ · length · (3/4 − 3k/10).

The valve plane is oblique: depth is sheared along the direction of the RV, whose base lies nearer to the apex. A shear
keeps volumes. The valve plane moves towards the apex in systole; apex and axis stay. The papillary muscles lie in the
LV cavity and count as cavity, as in the labels of ACDC.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import i0e

from napari_ssl.errors import GeometryError

__all__ = ["KINDS", "HeartKind", "PhantomHeart", "SectionProfile", "random_heart"]


class HeartKind(StrEnum):
    """Shapes that the phantom can take."""

    NORMAL = "normal"
    DILATED = "dilated"
    HYPERTROPHIC = "hypertrophic"
    INFARCTED = "infarcted"


KINDS = tuple(kind.value for kind in HeartKind)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SectionProfile:
    """What a cross-section is made of at given depths and one time; arrays of one shape, squared lengths in mm².

    ``lv_r2`` is the mean squared radius of the cavity, ``wall_r2`` what the myocardium adds to it, ``rv_r2`` what the
    RV adds in the middle of the septum; ``rv_half_angle`` in rad; ``sector`` (0 to 1) weighs the abnormal sector.
    """

    lv_r2: NDArray[np.float32]
    wall_r2: NDArray[np.float32]
    rv_r2: NDArray[np.float32]
    rv_half_angle: NDArray[np.float32]
    sector: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomHeart:
    """Parameters of one heart; volumes in ml, lengths in mm, angles in rad.

    Parameters
    ----------
    kind : HeartKind
    lv_edv_ml, lv_esv_ml, rv_edv_ml, rv_esv_ml, myocardium_ml : float
    length_mm : float
        Epicardial, from valve plane to apex, at end-diastole.
    shortening : float
        Share of the length that is lost in systole.
    truncation : float
        κ, where the ellipsoid is cut.
    apex_share : float
        Apical wall as a share of the length.
    rv_length_share, rv_half_angle, rv_taper : float
        RV length as a share of the LV's, Θ₀ and k.
    obliquity : float
        Slope of the valve plane, mm of depth per mm towards the RV.
    contour : tuple of (order, amplitude, phase)
        Irregularity of the endocardium, harmonics of order ≥ 1 of r²; amplitudes sum to less than 0.5.
    sector_angle, sector_concentration, sector_depth : float
        The abnormal sector: direction, sharpness (von Mises), relative depth of its middle.
    sector_wall : float
        Thicker (> 0, hypertrophy) or thinner (< 0, scar) wall in the sector, relative.
    sector_akinesia : float
        How much less the cavity shrinks in the sector, relative at end-systole.
    es_phase, phase_offset : float
        End-systole as a share of the cycle from end-diastole; share of the cycle at which frame 0 is taken.
    cycle_ms : float
        Duration of a heart beat.
    """

    kind: HeartKind
    lv_edv_ml: float
    lv_esv_ml: float
    rv_edv_ml: float
    rv_esv_ml: float
    myocardium_ml: float
    length_mm: float
    shortening: float = 0.14
    truncation: float = 0.35
    apex_share: float = 0.1
    rv_length_share: float = 0.88
    rv_half_angle: float = 1.35
    rv_taper: float = 0.4
    obliquity: float = 0.12
    contour: tuple[tuple[int, float, float], ...] = ()
    sector_angle: float = 0.0
    sector_concentration: float = 3.0
    sector_depth: float = 0.5
    sector_wall: float = 0.0
    sector_akinesia: float = 0.0
    es_phase: float = 0.36
    phase_offset: float = 0.0
    cycle_ms: float = 900.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", HeartKind(self.kind))
        for side in ("lv", "rv"):
            edv, esv = getattr(self, f"{side}_edv_ml"), getattr(self, f"{side}_esv_ml")
            if not 0 < esv <= edv:
                raise GeometryError(f"phantom: {side}_esv_ml must be in (0, {side}_edv_ml = {edv:g}], got {esv:g}")
        if sum(abs(amplitude) for _, amplitude, _ in self.contour) >= 0.5 or any(k < 1 for k, _, _ in self.contour):
            raise GeometryError(f"phantom: contour needs orders >= 1 and amplitudes that sum to < 0.5: {self.contour}")

    def contraction(self, phase: ArrayLike) -> NDArray[np.float64]:
        """Contraction, 0 at end-diastole to 1 at end-systole, by phase (share of the cycle since end-diastole).

        Systole is a raised cosine; diastole is early filling (70 %), diastasis and atrial contraction (30 %).
        """
        phase = np.asarray(phase, float) % 1.0
        filling = np.clip((phase - self.es_phase) / (1 - self.es_phase), 0, 1)
        filled = 0.7 * _smooth_step(filling / 0.42) + 0.3 * _smooth_step((filling - 0.68) / 0.32)
        return np.where(phase < self.es_phase, np.sin(np.pi / 2 * phase / self.es_phase) ** 2, 1 - filled)

    def frame_contraction(self, n_frames: int) -> NDArray[np.float64]:
        """Contraction in each of `n_frames` equally spaced frames, (T,)."""
        return self.contraction(np.arange(n_frames) / n_frames + self.phase_offset)

    def volumes_ml(self, contraction: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """Closed-form volumes of ``LV``, ``RV`` and ``Myo`` in ml at the given contraction."""
        s = np.asarray(contraction, float)
        return {
            "LV": self.lv_edv_ml - s * (self.lv_edv_ml - self.lv_esv_ml),
            "RV": self.rv_edv_ml - s * (self.rv_edv_ml - self.rv_esv_ml),
            "Myo": np.full(s.shape, self.myocardium_ml),
        }

    @property
    def reach_mm(self) -> tuple[float, float]:
        """How far the heart reaches above the valve plane's middle (lateral wall, oblique) and below it, at most."""
        return self.obliquity * np.sqrt(1.6 * self._largest_r2) + 1.0, self.length_mm + 1.0

    @property
    def _largest_r2(self) -> float:
        """Epicardial a² at end-diastole, mm²."""
        c = self.length_mm / (1 + self.truncation)
        share = 1 + self.truncation - (1 + self.truncation**3) / 3
        return 1000.0 * (self.lv_edv_ml + self.myocardium_ml) / (np.pi * c * share)

    @property
    def largest_radius_mm(self) -> float:
        """No labelled point is farther from the long axis than this."""
        return float(np.sqrt(1.6 * self._largest_r2 + self.section(0.0, 0.0).rv_r2))

    def valve_depth_mm(self, contraction: float) -> float:
        """How far the valve plane has moved towards the apex."""
        return self.length_mm * self.shortening * contraction

    def section(self, depth_mm: ArrayLike, contraction: float) -> SectionProfile:
        """Cross-section at depths below the present valve plane; all zero above it and beyond the apex."""
        depth = np.asarray(depth_mm, np.float32)
        volume = {name: float(v) * 1000.0 for name, v in self.volumes_ml(contraction).items()}
        length = self.length_mm - self.valve_depth_mm(contraction)
        endo = _ellipsoid_r2(depth, volume["LV"], length * (1 - self.apex_share), self.truncation)
        epi = _ellipsoid_r2(depth, volume["LV"] + volume["Myo"], length, self.truncation)
        rv_length = length * self.rv_length_share
        zeta = np.clip(depth / np.float32(rv_length), 0, 1)
        shape = 2 / 3 * self.rv_half_angle * rv_length * (0.75 - 0.3 * self.rv_taper)
        rv_r2 = np.float32(volume["RV"] / shape) * (1 - zeta * zeta * zeta) * (depth >= 0)
        away = (depth / np.float32(length) - np.float32(self.sector_depth)) / np.float32(0.6)
        return SectionProfile(
            lv_r2=endo,
            wall_r2=np.maximum(epi - endo, 0),
            rv_r2=rv_r2,
            rv_half_angle=np.float32(self.rv_half_angle) * (1 - np.float32(self.rv_taper) * zeta),
            sector=np.maximum(1 - away * away, 0),
        )

    def contour_modulation(self, theta: NDArray[np.floating]) -> NDArray[np.floating]:
        """Relative irregularity of the endocardial r² by direction; its mean over theta is zero."""
        return sum((a * np.cos(k * theta + phase) for k, a, phase in self.contour), np.zeros_like(theta))

    def sector_modulation(self, theta: NDArray[np.floating]) -> NDArray[np.floating]:
        """Bump in the direction of the abnormal sector; its mean over theta is zero (I₀ is its exact mean)."""
        bump = np.exp(self.sector_concentration * (np.cos(theta - self.sector_angle) - 1))
        return bump - theta.dtype.type(i0e(self.sector_concentration))


def _smooth_step(x: ArrayLike) -> NDArray[np.float64]:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _ellipsoid_r2(
    depth: NDArray[np.float32], volume_mm3: float, length: float, truncation: float
) -> NDArray[np.float32]:
    """Squared radius at a depth of the cut ellipsoid with this volume and length; 0 outside it."""
    c = length / (1 + truncation)
    a2 = volume_mm3 / (np.pi * c * (1 + truncation - (1 + truncation**3) / 3))
    from_centre = depth / np.float32(c) - np.float32(truncation)
    return np.float32(a2) * np.maximum(1 - from_centre * from_centre, 0) * (depth >= 0)


# EDV, EF (%) and myocardial volume: ranges of the disease, chosen within what ACDC's inclusion rules describe.
_RANGES = {
    HeartKind.NORMAL: ((95, 140), (55, 68), (85, 120), (64, 77)),
    HeartKind.DILATED: ((175, 235), (18, 38), (115, 150), (72, 78)),
    HeartKind.HYPERTROPHIC: ((80, 120), (62, 76), (150, 205), (66, 77)),
    HeartKind.INFARCTED: ((125, 180), (30, 48), (90, 130), (66, 78)),
}


def random_heart(rng: np.random.Generator, kind: str) -> PhantomHeart:
    """Draw a heart of one kind (``normal``, ``dilated``, ``hypertrophic`` or ``infarcted``)."""
    kind = HeartKind(kind)
    edv, ef, myocardium, length = (rng.uniform(*limits) for limits in _RANGES[kind])
    stroke = edv * ef / 100
    rv_stroke = stroke * rng.uniform(0.94, 1.06)
    rv_edv = max(rng.uniform(85, 135), rv_stroke / 0.66)
    sector = {
        HeartKind.NORMAL: {},
        HeartKind.DILATED: {},
        HeartKind.HYPERTROPHIC: {
            "sector_angle": rng.uniform(-0.6, 0.6),
            "sector_wall": rng.uniform(0.5, 1.0),
            "sector_concentration": rng.uniform(1.5, 3.0),
            "sector_depth": rng.uniform(0.25, 0.5),
        },
        HeartKind.INFARCTED: {
            "sector_angle": rng.uniform(0, 2 * np.pi),
            "sector_wall": -rng.uniform(0.35, 0.6),
            "sector_akinesia": rng.uniform(0.3, 0.55),
            "sector_depth": rng.uniform(0.4, 0.8),
        },
    }[kind]
    contour = tuple(
        (k, rng.uniform(0, limit), rng.uniform(0, 2 * np.pi)) for k, limit in ((2, 0.12), (3, 0.07), (5, 0.03))
    )
    return PhantomHeart(
        kind=kind,
        lv_edv_ml=edv,
        lv_esv_ml=edv - stroke,
        rv_edv_ml=rv_edv,
        rv_esv_ml=rv_edv - rv_stroke,
        myocardium_ml=myocardium,
        length_mm=length,
        shortening=rng.uniform(0.08, 0.18) * (0.6 if kind is HeartKind.DILATED else 1.0),
        truncation=rng.uniform(0.25, 0.5),
        apex_share=rng.uniform(0.08, 0.12),
        rv_length_share=rng.uniform(0.8, 0.92),
        rv_half_angle=rng.uniform(1.15, 1.5),
        rv_taper=rng.uniform(0.25, 0.5),
        obliquity=rng.uniform(0.08, 0.16),
        contour=contour,
        es_phase=rng.uniform(0.32, 0.42),
        phase_offset=float(rng.choice([0.0, 0.0, rng.uniform(0.85, 1.0)])),
        cycle_ms=rng.uniform(700, 1050),
        **sector,
    )
