"""Segmentations as networks give them, good and erroneous, made from true label maps ``(T, Z, Y, X)``.

Networks that have seen too little are rarely unsteady: their errors go with the anatomy, the slice and the phase of the
cycle, so that erroneous curves are as smooth as good ones, and good ones are not the truth either (`benchmarks/
quality.py`, part ``cine``). Here every structure k has a score in millimetres, o_k − d_k with d_k the in-plane distance
to its contour (negative inside); background has 0, and each voxel takes the largest. The offsets o_k add up

- a bias of the structure, RV twice as large as LV and myocardium, towards too little;
- the same at the ends of the stack, where slices are missed or invented, constant over the cycle;
- one that goes with the contraction: contours that are lost, or that stay behind, in systole;
- one of each slice, and one that comes and goes over the cycle (half of it shared by all slices);
- one that varies over the plane, smoothly over some centimetres.

All are drawn in proportion to one severity. Which is good is not decided by what was drawn but by the mean Dice with
the truth at end-diastole and end-systole, as networks are judged: `GOOD_DICE` and `ERRONEOUS_DICE`; between the two
a segmentation is drawn again. Expert readers themselves agree to about 0.93 (LV), 0.88 (myocardium) and 0.88 (RV) (Bai
et al. 2018).

What this cannot mend: of early-stopped networks on 23 ACDC patients (276 curve sets, good from a Dice of 0.8 on) the
curves of errors with a Dice between 0.5 and 0.8 look like good ones. Taught by simulated faults alone, the classifier
has an AUC of 0.71 (95 % interval by patient 0.61 to 0.80) and finds 49 % of the erroneous at a specificity of 81 %;
taught by the curves of other patients, 0.76 (0.68 to 0.84) and 57 %. The disagreement of two networks
(`qc.predicted_dice`) has 0.98 (0.97 to 0.99) on the same curve sets and finds 97 % (93 to 100 %): where a committee is
at hand it says more than the curves, and leads in the queue (`benchmarks/quality.md`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, zoom

from napari_ssl.core.label_scheme import LabelScheme, StructureRole
from napari_ssl.errors import LabelError
from napari_ssl.measures.agreement import mean_dice

__all__ = ["ERRONEOUS_DICE", "GOOD_DICE", "NetworkErrors", "coarse"]

GOOD_DICE, ERRONEOUS_DICE = 0.85, 0.70
"""Mean Dice with the truth at end-diastole and end-systole: from the first on good, below the second erroneous."""

_FARTHEST_MM = 14.0
_COARSE_MM = 2.5
_GOOD, _ERRONEOUS = (GOOD_DICE, 0.95), (0.15, ERRONEOUS_DICE)
_ATTEMPTS = 12
_HALVINGS = 7
_SEVERITY_MM = (0.2, 20.0)
_WAVES = (1, 2, 3, 4)
_KNOTS = 4  # of the field that varies over the plane
_LARGER = {StructureRole.RV_CAVITY: 2.0}

Labels = NDArray[np.uint8]
Floats = NDArray[np.float32]


def coarse(labels: Labels, spacing_zyx_mm: Sequence[float]) -> tuple[Labels, tuple[float, float, float]]:
    """Crop labels to the heart and 14 mm around it, with pixels of at most 2.5 mm; return them and their spacing."""
    z_mm, *pixel = spacing_zyx_mm
    seen = (labels > 0).any(axis=(0, 1))
    parts, steps = [], []
    for axis, mm in enumerate(pixel):
        at = np.flatnonzero(seen.any(axis=1 - axis))
        margin = int(np.ceil(_FARTHEST_MM / mm))
        first, last = (max(at[0] - margin, 0), at[-1] + margin + 1) if len(at) else (0, seen.shape[axis])
        steps.append(max(1, int(_COARSE_MM / mm)))
        parts.append(slice(first, last, steps[-1]))
    spacing = (float(z_mm), float(pixel[0] * steps[0]), float(pixel[1] * steps[1]))
    return np.ascontiguousarray(labels[:, :, parts[0], parts[1]]), spacing


class NetworkErrors:
    """Draws what networks could say about one cycle.

    Parameters
    ----------
    truth : (T, Z, Y, X) uint8
    scheme : LabelScheme
    pixel_yx_mm : (float, float)

    Raises
    ------
    LabelError
        The labels are empty.
    """

    def __init__(self, truth: Labels, scheme: LabelScheme, pixel_yx_mm: Sequence[float]) -> None:
        present = [s for s in scheme.structures if (truth == s.value).any()]
        if not present:
            raise LabelError("an empty segmentation cannot be made worse; leave it out")
        self.truth, self.scheme = truth, scheme
        self.structures = present
        self.scores = np.stack([_inside_mm(truth == s.value, pixel_yx_mm) for s in present])  # (K, T, Z, Y, X)
        size = (truth == present[0].value).sum(axis=(1, 2, 3)).astype(float)
        cavity = scheme.by_role(StructureRole.LV_CAVITY)
        if cavity is not None and cavity in present:
            size = (truth == cavity.value).sum(axis=(1, 2, 3)).astype(float)
        span = max(float(np.ptp(size)), 1e-9)
        self.contraction = ((size.max() - size) / span).astype(np.float32)
        self.judged = sorted({int(size.argmax()), int(size.argmin())})
        occupied = np.flatnonzero((truth > 0).any(axis=(0, 2, 3)))
        self.position = np.clip((np.arange(truth.shape[1]) - occupied[0]) / max(np.ptp(occupied), 1), 0, 1)

    def example(self, rng: np.random.Generator, good: bool) -> tuple[Labels, float]:
        """Draw a segmentation that is good, or erroneous, and return it with its Dice.

        A Dice is drawn, and the severity at which this drawing comes nearest to it.

        Raises
        ------
        LabelError
            None was found in some attempts: the heart is too small for errors of this size.
        """
        wanted = rng.uniform(*_GOOD if good else _ERRONEOUS)
        for _ in range(_ATTEMPTS):
            drawn = [self._drawn(rng, s.role) for s in self.structures]
            low, high = _SEVERITY_MM
            for _ in range(_HALVINGS):
                severity = float(np.sqrt(low * high))
                dice = self.dice(self._labels(drawn, severity, self.judged))
                low, high = (severity, high) if dice > wanted else (low, severity)
            if dice >= GOOD_DICE if good else dice < ERRONEOUS_DICE:
                labels = self._labels(drawn, severity, range(len(self.truth)))
                if labels.any():
                    return labels, dice
        raise LabelError(f"no {'good' if good else 'erroneous'} segmentation in {_ATTEMPTS} attempts")

    def dice(self, labels: Labels) -> float:
        """Mean Dice over the structures at end-diastole and end-systole, of labels of these two frames."""
        pairs = zip(labels, self.truth[self.judged], strict=True)
        return float(np.mean([mean_dice(one, truth, self.scheme) for one, truth in pairs]))

    def _labels(self, drawn: Sequence[tuple[Floats, Floats]], severity_mm: float, frames: Sequence[int]) -> Labels:
        frames = list(frames)
        best = np.zeros((len(frames), *self.truth.shape[1:]), np.float32)
        labels = np.zeros(best.shape, np.uint8)
        for structure, score, (slices, plane) in zip(self.structures, self.scores, drawn, strict=True):
            score = score[frames]
            total = score + np.float32(severity_mm) * (slices[frames][:, :, None, None] + plane)
            total[score <= -_FARTHEST_MM] = -np.inf
            labels[total > best] = structure.value
            np.maximum(best, total, out=best)
        return labels

    def _drawn(self, rng: np.random.Generator, role: StructureRole | None) -> tuple[Floats, Floats]:
        """Offsets of one structure per mm of severity: of the slices over the cycle (T, Z), and over the plane."""
        n_frames, n_slices, *plane = self.truth.shape
        base, apex = (np.exp(-(((self.position - end) / 0.25) ** 2)) for end in (0.0, 1.0))
        slices = rng.normal(-0.3, 0.9) + rng.normal(-0.5, 1.2) * base + rng.normal(-0.5, 1.2) * apex
        slices = slices + rng.normal(0, 0.3, n_slices)
        in_time = rng.normal(0.1, 0.25) * self.contraction[:, None] + rng.uniform(0, 0.2) * (
            _over_cycle(rng, n_frames, 1) + _over_cycle(rng, n_frames, n_slices)
        )
        field = rng.normal(0, 0.6, (n_slices, _KNOTS, _KNOTS)).astype(np.float32)
        smooth = zoom(field, (1, plane[0] / _KNOTS, plane[1] / _KNOTS), order=1, mode="nearest", grid_mode=True)
        larger = np.float32(_LARGER.get(role, 1.0))
        return larger * (slices + in_time).astype(np.float32), larger * smooth


def _over_cycle(rng: np.random.Generator, n_frames: int, n: int) -> Floats:
    """Noise of variance about 1 that is periodic and smooth over the cycle, (T, n)."""
    phase = 2 * np.pi * np.arange(n_frames)[:, None] / n_frames
    waves = [(rng.normal(0, 1 / h, n) * np.cos(h * phase), rng.normal(0, 1 / h, n) * np.sin(h * phase)) for h in _WAVES]
    return np.sum(waves, axis=(0, 1)).astype(np.float32)


def _inside_mm(mask: NDArray[np.bool_], pixel_yx_mm: Sequence[float]) -> Floats:
    """In-plane distance to the contour in mm, positive inside, at most 14 mm; slices without the structure: −14 mm."""
    height, width = mask.shape[2:]
    inner = mask.copy()
    inner[..., 1:, :] &= mask[..., :-1, :]
    inner[..., :-1, :] &= mask[..., 1:, :]
    inner[..., 1:] &= mask[..., :-1]
    inner[..., :-1] &= mask[..., 1:]
    half = min(pixel_yx_mm) / 2
    gap = int(np.ceil(_FARTHEST_MM / pixel_yx_mm[0])) + 1  # slices below one another, too far apart to see each other
    apart = np.ones((mask.shape[0] * mask.shape[1], height + gap, width), bool)
    apart[:, :height] = ~(mask & ~inner).reshape(-1, height, width)
    distance = distance_transform_edt(apart.reshape(-1, width), sampling=tuple(pixel_yx_mm))
    distance = distance.reshape(-1, height + gap, width)[:, :height].reshape(mask.shape) + half
    return np.clip(np.where(mask, distance, 2 * half - distance), -_FARTHEST_MM, _FARTHEST_MM).astype(np.float32)
