"""Dice without a reference, by reverse classification accuracy (RCA).

V. V. Valindria et al., Reverse classification accuracy: predicting segmentation performance in the absence of ground
truth, IEEE TMI 36, 2017 (single-atlas variant); for cardiac MR R. Robinson et al., J Cardiovasc Magn Reson 21, 2019.

The segmented image becomes an atlas with its *predicted* labels. It is registered to references R_1 … R_N whose labels
are known, and its labels are warped along::

    predicted Dice_k = max_n  Dice_k( T_n(labels), labels of R_n )

If the prediction is good, it fits at least one reference well; if it is bad, it fits none. Registration uses the images
alone, so that one set of registrations serves any number of segmentations of the same image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from napari_ssl.atlas.matching import Place, agree, locate
from napari_ssl.atlas.registration import RegistrationSettings, register
from napari_ssl.atlas.segment import Atlas
from napari_ssl.atlas.volume import Volume, warp_labels
from napari_ssl.errors import GeometryError, JobError

__all__ = ["Reversed", "register_to_references"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reversed:
    """An image registered to references: transforms from reference points to its own, by index of the reference."""

    image: Volume
    references: tuple[Atlas, ...]
    transforms: dict[int, sitk.Transform]

    def per_reference(self, labels: NDArray[np.uint8], n_classes: int) -> NDArray[np.float64]:
        """Dice of warped labels with each registered reference, ``(R, K − 1)``.

        A reference's slices that the image does not reach are left out. NaN where neither shows the structure.

        Raises
        ------
        GeometryError
            `labels` (classes) have another shape than the image.
        """
        if labels.shape != self.image.data.shape:
            raise GeometryError(f"labels have shape {labels.shape}, their image {self.image.data.shape}")
        inside = np.ones(labels.shape, np.uint8)
        rows = []
        for index, transform in sorted(self.transforms.items()):
            reference = self.references[index]
            warped = warp_labels(labels, self.image, reference.volume, transform)
            reached = warp_labels(inside, self.image, reference.volume, transform).astype(bool).any(axis=(1, 2))
            rows.append([_dice(warped[reached] == k, reference.labels[reached] == k) for k in range(1, n_classes)])
        return np.array(rows, np.float64)

    def predicted_dice(self, labels: NDArray[np.uint8], n_classes: int) -> NDArray[np.float64]:
        """Best Dice over the references, ``(K − 1,)``; NaN for a structure that nobody shows."""
        table = self.per_reference(labels, n_classes)
        return np.array([np.nan if np.isnan(c).all() else np.nanmax(c) for c in table.T])


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    total = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / total if total else float("nan")


def register_to_references(
    image: Volume,
    references: Sequence[Atlas],
    settings: RegistrationSettings | None = None,
    *,
    workers: int = 1,
    on_skipped: Callable[[int, str], None] | None = None,
) -> Reversed:
    """Register an image to references.

    Each reference's heart is looked for in the image, and the searches are reconciled (`atlas.matching.agree`).

    Parameters
    ----------
    workers : int
        Registrations that run at a time, each in one thread; the result does not depend on it.
    on_skipped : callable, optional
        Told the index of a reference that could not be used, and why.

    Raises
    ------
    JobError
        No reference could be used.
    """
    settings = settings or RegistrationSettings()

    def run(pair: tuple[Atlas, Place]) -> sitk.Transform | str:
        reference, place = pair
        start = sitk.AffineTransform(place.transform.GetInverse())
        try:
            return register(reference.volume, image, settings, start=start, region=reference.box).transform
        except JobError as error:
            return str(error)

    with ThreadPoolExecutor(max(1, workers)) as pool:
        places = agree(
            list(pool.map(lambda r: locate(image, r.volume, r.box, search_slices=settings.search_slices), references))
        )
        results = list(pool.map(run, zip(references, places, strict=True)))
    transforms = {}
    for index, result in enumerate(results):
        if isinstance(result, str):
            if on_skipped is not None:
                on_skipped(index, result)
        else:
            transforms[index] = result
    if not transforms:
        raise JobError("the image could not be registered to any reference; check it, or choose other references")
    return Reversed(image=image, references=tuple(references), transforms=transforms)
