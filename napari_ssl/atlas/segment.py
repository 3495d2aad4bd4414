"""Multi-atlas segmentation of one volume: locate, align, choose, deform, fuse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_ssl.atlas.fusion import correlation_fusion, majority_vote
from napari_ssl.atlas.matching import Box, Place, agree, box_of, locate, mapped_box
from napari_ssl.atlas.registration import Alignment, RegistrationSettings, align, deform
from napari_ssl.atlas.volume import Volume, warp_image, warp_labels
from napari_ssl.errors import JobError

__all__ = ["MARGIN_MM", "Atlas", "FusionSettings", "segment"]

MARGIN_MM = 15.0
"""How much of the surroundings of an atlas's labels is registered with them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Atlas:
    """A volume with its labels as classes ``(Z, Y, X) uint8``, at least one voxel of them labelled."""

    volume: Volume
    labels: NDArray[np.uint8]

    @property
    def box(self) -> Box:
        """The labelled part with its surroundings.

        Raises
        ------
        JobError
            Nothing is labelled.
        """
        box = box_of(self.labels, self.volume.spacing_zyx_mm, MARGIN_MM)
        if box is None:
            raise JobError("an atlas without any label cannot be used; leave its case out of the training")
        return box


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionSettings:
    """How a target is segmented.

    Parameters
    ----------
    selected : int
        Atlases that are deformed and fused, those most similar to the target after the affine part; 0: all.
    fusion : str
        ``"correlation"`` or ``"majority"``.
    patch_radius, search_radius, gamma
        As in `atlas.fusion.correlation_fusion`.
    """

    registration: RegistrationSettings = field(default_factory=RegistrationSettings)
    selected: int = 0
    fusion: str = "correlation"
    patch_radius: int = 3
    search_radius: int = 1
    gamma: float = 4.0


def segment(
    target: Volume,
    atlases: Sequence[Atlas],
    n_classes: int,
    settings: FusionSettings | None = None,
    *,
    workers: int = 1,
    on_skipped: Callable[[int, str], None] | None = None,
) -> NDArray[np.float32]:
    """Return class probabilities ``(K, Z, Y, X)`` of the target; the same whatever the number of workers.

    Parameters
    ----------
    workers : int
        Registrations that run at a time, each in one thread.
    on_skipped : callable, optional
        Told the index of an atlas that could not be registered, and why; the others go on.

    Raises
    ------
    JobError
        No atlas could be registered.
    """
    settings = settings or FusionSettings()
    tell = on_skipped or (lambda index, reason: None)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        aligned = _align_all(target, atlases, settings.registration, pool, tell)
        chosen = sorted(aligned, key=lambda entry: (-entry[1].similarity, entry[0]))
        chosen = chosen[: settings.selected or len(chosen)]
        warped = list(pool.map(lambda entry: _warp(target, atlases[entry[0]], entry, settings.registration), chosen))
    for (index, _, _), result in zip(chosen, warped, strict=True):
        if isinstance(result, str):
            tell(index, result)
    pairs = [w for w in warped if not isinstance(w, str)]
    return _fuse(target, pairs, n_classes, settings)


def _fuse(
    target: Volume,
    pairs: list[tuple[NDArray[np.float32], NDArray[np.uint8]]],
    n_classes: int,
    settings: FusionSettings,
) -> NDArray[np.float32]:
    """Fuse where any atlas says something, patches and search included; elsewhere there is background."""
    if not pairs:
        raise JobError("no atlas could be registered; check the image, or train multi-atlas with other cases")
    said = np.maximum.reduce([labels for _, labels in pairs])
    reach = settings.patch_radius + settings.search_radius + 1
    box = box_of(said, (1.0, 1.0, 1.0), float(reach))
    result = np.zeros((n_classes, *said.shape), np.float32)
    result[0] = 1.0
    if box is None:
        return result
    cut = [(image[box], labels[box]) for image, labels in pairs]
    if settings.fusion == "majority":
        result[(slice(None), *box)] = majority_vote([labels for _, labels in cut], n_classes)
    else:
        result[(slice(None), *box)] = correlation_fusion(
            target.data[box],
            cut,
            n_classes,
            patch_radius=settings.patch_radius,
            search_radius=settings.search_radius,
            gamma=settings.gamma,
        )
    return result


Aligned = tuple[int, Alignment, Box]


def _align_all(
    target: Volume,
    atlases: Sequence[Atlas],
    settings: RegistrationSettings,
    pool: ThreadPoolExecutor,
    tell: Callable[[int, str], None],
) -> list[Aligned]:
    places = list(pool.map(lambda a: locate(target, a.volume, a.box, search_slices=settings.search_slices), atlases))

    def run(pair: tuple[Atlas, Place]) -> tuple[Alignment, Box] | str:
        atlas, place = pair
        box = mapped_box(target, atlas.volume, atlas.box, place.transform)
        try:
            return align(target, atlas.volume, settings, start=place.transform, region=box), box
        except JobError as error:
            return str(error)

    aligned: list[Aligned] = []
    for index, result in enumerate(pool.map(run, zip(atlases, agree(places), strict=True))):
        if isinstance(result, str):
            tell(index, result)
        else:
            aligned.append((index, *result))
    return aligned


def _warp(
    target: Volume, atlas: Atlas, entry: Aligned, settings: RegistrationSettings
) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | str:
    try:
        transform = deform(target, atlas.volume, entry[1], settings, entry[2]).transform
    except JobError as error:
        return str(error)
    return warp_image(atlas.volume, target, transform), warp_labels(atlas.labels, atlas.volume, target, transform)
