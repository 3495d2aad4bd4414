"""Supervised training: the baseline of every paper.

Algorithm::

    min_Θ  L(Θ) = − Σ_{i∈L} Σ_j log P(y_ij | x_i, Θ)                                   (Bai 2017, Eq. 1)

over the labelled set L: the expert's labels and, in the clinician's version, the cases that were accepted or corrected.

Defaults
    Dice + cross-entropy, polynomial decay and the kinds of strong augmentation: Isensee et al., Nature Methods 2021.
    ``--preset paper`` gives Bai's supervised arm (SGD 0.001, cross-entropy, 500 epochs). ``--preset strong`` gives the
    recipe of Isensee et al. with their network: deep supervision, instance normalisation, SGD 0.01 with momentum 0.99,
    weight decay 3e-5. The others can start from it: from the model that it gave (``warm_start``, in a comparison
    ``--from-promoted``), or with its loss, optimiser, schedule and augmentation set (``--set``, in a comparison for
    all arms) and ``--network dyn-unet``. The defaults of those after a paper are the paper's.

Departures
    From Isensee et al., by default: a small 2D residual U-Net without deep supervision, AdamW instead of SGD with
    Nesterov momentum (``strong``: plain momentum, gradients not clipped), no mirroring (`training.augment` says why),
    batches of 20 slices. ``quick`` begins with the study's promoted model.
"""

from __future__ import annotations

from napari_ssl.core.catalogue import SupervisedParameters
from napari_ssl.strategies.lab import Lab, Theta

__all__ = ["Supervised"]


class Supervised:
    """Trains on labelled items only."""

    def __init__(self, parameters: SupervisedParameters) -> None:
        self.parameters = parameters

    def run(self, lab: Lab) -> Theta:
        """Minimise Eq. 1 from random weights or from the study's promoted model."""
        p = self.parameters
        lab.plan(lab.iterations(lab.labelled, p.duration, p.batch_size))
        start = lab.begin_with_start(not p.from_scratch)
        return lab.fit(lab.labelled, duration=p.duration, start=start, step="supervised training", parameters=p)
