"""Multi-atlas label fusion: the baseline without a network that Bai 2017 compares with.

W. Bai, W. Shi, D. P. O'Regan, T. Tong, H. Wang, S. Jamil-Copley, N. S. Peters, D. Rueckert: A probabilistic patch-based
label fusion model for multi-atlas segmentation with registration refinement: application to cardiac MR images. IEEE TMI
32, 2013; used as in W. Bai et al., MICCAI 2017, Sec. 3.3.

Algorithm::

    Θ = {(x_n, y_n)}, n ∈ L: the labelled images themselves; nothing is learnt
    for a target image x:
        for each atlas n:  T_n ← affine, then B-spline registration of x_n to x         (`atlas.registration`)
        P(y | x) ← patches of the warped atlases vote, weighted by cross-correlation     (`atlas.fusion`, Eq. F)

Defaults
    ED and ES of every labelled case, cross-correlation as the patches' similarity: Sec. 3.3. ``--preset paper`` takes
    80 atlases and fuses all of them, ``quick`` 10 cases and the 5 most similar frames on a coarser grid.

Departures
    **A substitute.** The public implementation is tied to old binaries and to landmarks that a person sets in every
    image; here registration is SimpleITK's affine transform and B-spline with an own optimiser, started by matching
    each atlas's heart as a template, without landmarks. Its figures stand for the family of methods, not for that
    program. The target's frame is not told to be ED or ES: frames of both are candidates, and with `selected` the most
    similar ones after the affine part are taken. The patches' search is in the slice, a Gaussian of its distance
    weighs it, and correlation counts with the power γ, all open in the paper. There is no registration refinement
    between label fusions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from torch import Tensor

from napari_ssl.atlas.registration import RegistrationSettings
from napari_ssl.atlas.segment import Atlas, FusionSettings
from napari_ssl.atlas.volume import Volume
from napari_ssl.core.catalogue.multi_atlas import MultiAtlasParameters
from napari_ssl.errors import SpecError
from napari_ssl.inference.intensity import normalise
from napari_ssl.networks.multi_atlas import atlas_state
from napari_ssl.strategies.items import ItemSet
from napari_ssl.strategies.lab import Lab, Theta
from napari_ssl.training.item_labels import read_item_labels

__all__ = ["MultiAtlasFusion", "fusion_settings"]


def fusion_settings(p: MultiAtlasParameters) -> FusionSettings:
    """Return how the atlases are used: every level halves the pixel, down to `finest_mm`."""
    return FusionSettings(
        registration=RegistrationSettings(
            metric=p.metric,
            affine_mm=(3 * p.finest_mm, 1.5 * p.finest_mm),
            deform_mm=(1.5 * p.finest_mm, p.finest_mm),
            grid_mm=p.grid_mm,
            iterations=p.iterations,
            search_slices=p.search_slices,
            smoothness=p.smoothness,
        ),
        selected=p.selected,
        fusion=p.fusion,
        patch_radius=p.patch_radius,
        search_radius=p.search_radius,
        gamma=p.gamma,
    )


class MultiAtlasFusion:
    """Gathers the atlases; the work is done when something is predicted."""

    def __init__(self, parameters: MultiAtlasParameters) -> None:
        self.parameters = parameters

    def run(self, lab: Lab) -> Theta:
        """Return Θ, the set of atlases; where there are more labelled cases than wanted, the seed chooses."""
        p = self.parameters
        items = lab.choose_frames(lab.labelled, p.frames_per_case)
        if 0 < p.atlases < len(items):
            chosen = np.random.default_rng(lab.spec.seed).choice(len(items), p.atlases, replace=False)
            items = ItemSet(item for n, item in enumerate(items) if n in chosen)
        settings = fusion_settings(p)
        return lab.build(
            lambda tell: self._gather(lab, items, settings, tell),
            items=items,
            settings=dataclasses.asdict(settings),
            step="gathering atlases",
        )

    def _gather(
        self, lab: Lab, items: ItemSet, settings: FusionSettings, tell: Callable[[str], None]
    ) -> dict[str, Tensor]:
        atlases = []
        for n, item in enumerate(items):
            tell(f"{n + 1} of {len(items)} cases")
            images = normalise(lab.image(item), lab.spec.preprocessing)
            classes = lab.spec.label_scheme.to_classes(read_item_labels(item, lab.spec.label_scheme, images.shape))
            for frame in item.frames:
                if not classes[frame].any():
                    lab.notice(f"{item.case_id}, frame {frame}: nothing is labelled; it is no atlas")
                    continue
                volume = Volume(data=images[frame], spacing_zyx_mm=item.spacing_zyx_mm)
                atlases.append(Atlas(volume=volume, labels=classes[frame]))
        if not atlases:
            raise SpecError("multi-atlas: no labelled frame shows any structure; correct the labels of the study")
        return atlas_state(atlases, settings)
