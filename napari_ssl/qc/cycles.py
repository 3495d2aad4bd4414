"""Good cycles to simulate faults in where a study has too few: label maps of the phantom heart, aortic area curves.

Only labels are made, on a coarse grid, so that hundreds of subjects take seconds. Hearts vary more than those of the
phantom's sample cohort: dilated right ventricles, other phases, 12 to 50 frames, stacks that miss the base or the apex
in all frames alike (as crops and short acquisitions do), acquisitions that end before the beat does.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.label_scheme import PRESETS, LabelScheme, StructureRole
from napari_ssl.errors import LabelError
from napari_ssl.phantom import KINDS, PhantomHeart, random_heart

__all__ = ["Cycle", "phantom_cycle", "random_aortic_area"]

_PIXEL_MM = 3.5
_SLICE_MM = 9.0
_DEPTHS_PER_SLICE = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cycle:
    """Labels ``(T, Z, Y, X) uint8`` of all frames of a beat, that are taken to be good."""

    id: str
    subject_id: str
    labels: NDArray[np.uint8]
    spacing_zyx_mm: tuple[float, float, float]
    scheme: LabelScheme

    def __post_init__(self) -> None:
        if self.labels.ndim != 4 or self.labels.shape[0] < 2:
            raise LabelError(f"case {self.id}: a cycle needs labels (T, Z, Y, X), T >= 2, got {self.labels.shape}")


def _varied_heart(rng: np.random.Generator) -> PhantomHeart:
    """Draw a heart; one in four has a right ventricle that is dilated or contracts badly.

    Of the stroke volume of the left ventricle the right one has 55 to 115 %: regurgitation takes up to half of it in
    severe disease (Zoghbi et al. 2017), and readers leave out the basal part of the right ventricle more
    often than that of the left (expert labels of 16 ACDC patients: median 71 %, quartiles 60 and 109 %).
    """
    heart = random_heart(rng, str(rng.choice(KINDS)))
    stroke = heart.rv_edv_ml - heart.rv_esv_ml
    ef = rng.uniform(0.22, 0.42) if rng.random() < 0.25 else rng.uniform(0.42, 0.66)
    stroke *= rng.uniform(0.55, 1.15)
    rv_edv = min(stroke / ef, 330.0)
    rv_esv = max(rv_edv - stroke, 0.3 * rv_edv)
    return dataclasses.replace(
        heart, rv_edv_ml=rv_edv, rv_esv_ml=rv_esv, phase_offset=float(rng.choice([0.0, rng.uniform(0, 1)]))
    )


def _frame_labels(
    heart: PhantomHeart,
    contraction: float,
    depths: NDArray[np.float32],
    u: NDArray[np.float32],
    r2: NDArray[np.float32],
    theta2: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """Classes (Z, Y, X) of one frame: 0 background, 1 LV, 2 Myo, 3 RV; the middle of `_DEPTHS_PER_SLICE` layers."""
    below = depths - np.float32(heart.valve_depth_mm(contraction)) - np.float32(heart.obliquity) * u
    part = heart.section(below, contraction)
    epi = part.lv_r2 + part.wall_r2
    outer = epi + part.rv_r2 * np.maximum(1 - theta2 / part.rv_half_angle**2, 0)
    layers = np.where(r2 < part.lv_r2, 1, np.where(r2 < epi, 2, np.where(r2 < outer, 3, 0))).astype(np.uint8)
    layers = layers.reshape(-1, _DEPTHS_PER_SLICE, *layers.shape[1:])
    upper, lower = layers[:, 0], layers[:, 1]
    turn = np.indices(upper.shape).sum(axis=0) % 2  # where the two layers differ neither gains
    return np.where(turn == 0, upper, lower)


def phantom_cycle(seed: int, index: int, scheme: LabelScheme = PRESETS["acdc"]) -> Cycle:
    """Return the labels of one phantom subject; it depends on the seed and its index alone.

    Raises
    ------
    LabelError
        The scheme has no left ventricle.
    """
    if scheme.by_role(StructureRole.LV_CAVITY) is None:
        raise LabelError(f"label scheme {scheme.name!r} has no left ventricle; the phantom is a heart")
    rng = np.random.default_rng([seed, index])
    heart = _varied_heart(rng)
    n_frames = int(rng.integers(12, 51))
    covered = rng.uniform(0.85, 1.0) if rng.random() < 0.3 else 1.0
    contractions = heart.contraction(np.arange(n_frames) / n_frames * covered + heart.phase_offset)
    above, below = heart.reach_mm
    n_slices = int(np.ceil((above + below) / _SLICE_MM))
    n_layers = n_slices * _DEPTHS_PER_SLICE
    depths = (np.arange(n_layers, dtype=np.float32) + 0.5) * (_SLICE_MM / _DEPTHS_PER_SLICE) - above
    half = int(np.ceil(heart.largest_radius_mm / _PIXEL_MM)) + 2
    axis = (np.arange(-half, half + 1, dtype=np.float32)) * _PIXEL_MM
    v, u = np.meshgrid(axis + rng.uniform(-1, 1), axis + rng.uniform(-1, 1), indexing="ij")
    theta2 = np.arctan2(v, u).astype(np.float32)[None] ** 2
    r2, u = (u**2 + v**2).astype(np.float32)[None], u.astype(np.float32)[None]
    classes = np.stack([_frame_labels(heart, float(s), depths[:, None, None], u, r2, theta2) for s in contractions])
    first, last = int(rng.integers(0, 4)), n_slices - int(rng.integers(0, 2))  # a stack that is shorter than the heart
    return Cycle(
        id=f"phantom{index:05d}",
        subject_id=f"phantom{index:05d}",
        labels=_in_scheme(classes[:, first:last], scheme),
        spacing_zyx_mm=(_SLICE_MM, _PIXEL_MM, _PIXEL_MM),
        scheme=scheme,
    )


def _in_scheme(classes: NDArray[np.uint8], scheme: LabelScheme) -> NDArray[np.uint8]:
    """Give the phantom's structures the values of a scheme; those that it lacks become background."""
    table = np.zeros(4, np.uint8)
    for n, role in enumerate((StructureRole.LV_CAVITY, StructureRole.MYOCARDIUM, StructureRole.RV_CAVITY), start=1):
        structure = scheme.by_role(role)
        table[n] = structure.value if structure is not None else 0
    return table[classes]


def random_aortic_area(seed: int, index: int) -> NDArray[np.float64]:
    """Return an analytic curve of the area of the ascending aorta (mm²) over one beat, (T,), 30 to 100 frames.

    A rise over the first tenth of the beat, a rounded peak, the dicrotic notch at the end of ejection and the
    exponential run-off of the windkessel (Frank 1899; Westerhof et al. 2009); strain 3 to 40 % from stiff to young
    aortas. The beat may begin anywhere.
    """
    rng = np.random.default_rng([seed, index])
    n_frames = int(rng.integers(30, 101))
    phase = np.arange(n_frames) / n_frames * (rng.uniform(0.88, 1.0) if rng.random() < 0.3 else 1.0)
    begin, peak, notch = 0.03, rng.uniform(0.16, 0.28), rng.uniform(0.36, 0.46)
    decay = rng.uniform(1.5, 4.0)
    rise = np.clip((phase - begin) / (peak - begin), 0, 1)
    up = rise * rise * (3 - 2 * rise)
    tail = np.exp(-decay * np.clip(phase - peak, 0, None)) - np.exp(-decay * (1 - peak))
    wave = up * tail / (1 - np.exp(-decay * (1 - peak)))
    dip = rng.uniform(0.0, 0.08) * np.exp(-0.5 * ((phase - notch) / 0.02) ** 2)
    bump = rng.uniform(0.0, 0.06) * np.exp(-0.5 * ((phase - notch - 0.06) / 0.03) ** 2)
    area = rng.uniform(400, 1100) * (1 + rng.uniform(0.03, 0.4) * (wave - dip + bump))
    area = area * (1 + rng.normal(0, rng.uniform(0.001, 0.008), n_frames))
    return np.roll(area, int(rng.integers(0, n_frames)))
