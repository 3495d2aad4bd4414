"""Self-labelling: label once, then train from scratch on everything.

Y. Zhu, H. Tian: A simple self-labeling method for semi-supervised medical image segmentation. FLARE 2022.

Algorithm (Sec. 2.2, Fig. 1)::

    phase 1   Θ₁ ← supervised training on L                                    1,000 epochs (Table 2)
              ŷ_i = arg max softmax(x_i; Θ₁),  i ∈ U
    phase 2   Θ₂ ← training from scratch on L ∪ {(x_i, ŷ_i) : i ∈ U}           100 epochs (Table 3)

    loss = Dice + cross-entropy, every label a ground truth

Defaults
    Adam with learning rate 0.001, decayed as (1 − i/n)^0.9, batches of 18 slices: Tables 2 and 3. 100 epochs in the
    second phase: Table 3 (Sec. 3.2 says 50).
    ``--preset paper`` brings the network, Swin-Unet with truncated-normal initialisation and without weights from
    elsewhere, rotation and flips, and the preprocessing of Sec. 2.1: the highest 5 % of the intensities cut off and
    each volume standardised,  image = (image − mean) / SD  (Eq. 1), in slices of 224×224. It keeps the weights of the
    best validation (Sec. 3.2), so that it needs validation cases.

Open in the paper, settled here
    The learning rate of the second phase is that of the first; Table 3 leaves the line out. How slices of 512×512
    become 224×224: here by a pixel spacing of 1.8 mm, which shows the whole of a body, and a crop. The amounts of
    rotation (`training.augment`).

Departures
    By default the residual U-Net, the study's own preprocessing, augmentation without mirroring and the last weights,
    as everywhere here, since that suits hearts; one image channel instead of three. The best validation is judged by
    Dice alone, not by Dice and NSD.
    In the clinician's version (`warm_start`) the study's promoted model takes the place of phase 1, `lab.review` lets
    a policy decide about each pseudo-label, and phase 2 may go on from these weights (`from_scratch` off); with the
    policy ``accept-all`` and the defaults that is the published algorithm.
"""

from __future__ import annotations

from napari_ssl.core.catalogue.self_labelling import SelfLabellingParameters
from napari_ssl.strategies.lab import Lab, Theta

__all__ = ["SelfLabelling"]


class SelfLabelling:
    """Zhu and Tian 2022 over the durable steps of the lab."""

    def __init__(self, parameters: SelfLabellingParameters) -> None:
        self.parameters = parameters

    def run(self, lab: Lab) -> Theta:
        """Carry out Sec. 2.2."""
        p = self.parameters
        unlabelled = lab.choose_frames(lab.unlabelled, p.frames_per_case)
        warm = lab.begin_with_start(p.warm_start)
        second = lab.iterations(lab.labelled + p.lam * unlabelled, p.second_phase, p.batch_size)
        lab.plan(*([] if warm else [lab.iterations(lab.labelled, p.first_phase, p.batch_size)]), second)

        theta = warm or lab.fit(lab.labelled, duration=p.first_phase, step="phase 1: labelled cases", parameters=p)
        labels = lab.refine(lab.predict(theta, unlabelled), crf=None, step="pseudo-labels")
        labels = lab.review(labels, step="review of the pseudo-labels")
        return lab.fit(
            lab.labelled + p.lam * labels,
            start=None if p.from_scratch else theta,
            initialisation=1,  # other random weights than in phase 1
            duration=p.second_phase,
            step="phase 2: all cases",
            parameters=p,
        )
