"""Alternating update of network and label maps with a dense CRF.

W. Bai, O. Oktay, M. Sinclair, H. Suzuki, M. Rajchl, G. Tarroni, B. Glocker, A. King, P. M. Matthews, D. Rueckert:
Semi-supervised learning for network-based cardiac MR image segmentation. MICCAI 2017.

Algorithm (Sec. 2.1)::

    min_{Θ, Y_U}  − Σ_{i∈L} Σ_j log P(y_ij | x_i, Θ)  −  λ Σ_{i∈U} Σ_j log P(y_ij | x_i, Θ)            (Eq. 2)

    Θ ← supervised training on L                                       500 epochs (Sec. 3.2)
    repeat 3 times:
        step 1, Θ fixed:    Y_U ← CRF(softmax(x_i; Θ)), i ∈ U          Eqs. 3 and 4
        step 2, Y_U fixed:  Θ ← SGD on L ∪ U                           100 epochs

Eq. 2 sums over the pixels of both sets. Training draws from the pooled, shuffled slices and weighs each slice's pixels
with 1 (L) or λ (U); the mean over a mini-batch then differs from Eq. 2 by a constant factor alone, whatever the sizes
of the two sets.

Defaults
    λ = 1, three alternations, 500 and 100 epochs, SGD with learning rate 0.001, mini-batches of 20, cross-entropy,
    w₁ = 1, w₂ = 2, σα = 0.5, σβ = 1, σγ = 1: Sec. 3.2. Augmentation by translation, rotation, scaling and intensity
    rescaling: Sec. 3.2. ED and ES of every unlabelled subject: Sec. 3.1 gives 20 slices a subject, two frames of ten.

Open in the paper, settled here
    momentum 0.9, no weight decay, a constant learning rate; the amounts of augmentation (`training.augment`); the
    percentiles 0.5 and 99.5 of the whole series become 0 and 1; five mean-field iterations; σβ counts 8-bit grey
    values; the kernels of Eq. 4 are normalised as in the program of the paper's reference [6]
    (``crf_normalisation=none`` for Eq. 4 to the letter); a frame's CRF is run slice by slice; the CRF also runs when
    the final network is deployed, in every arm alike and with the paper's parameters, whatever the pseudo-labels were
    made with.

Departures
    The residual U-Net is the default network; ``--network fcn17`` gives the paper's.
    In the clinician's version (`warm_start`) Θ begins with the study's promoted model instead of the 500 epochs, the
    accepted and corrected cases count as labelled, and `lab.review` lets a policy decide about each pseudo-label;
    with the policy ``accept-all`` that is the published algorithm. What is accepted or corrected inside a run stays in
    U, with the weight λ, and is labelled anew in the next alternation.
    The optimiser's state (momentum) and the learning-rate schedule, if one is chosen, start anew in each alternation.
    A fixed number of epochs instead of "until the change of loss function was minimal".
"""

from __future__ import annotations

from napari_ssl.core.catalogue import AlternatingCrfParameters, CRFParameters
from napari_ssl.strategies.lab import Lab, Theta

__all__ = ["AlternatingCrf"]


class AlternatingCrf:
    """Bai 2017 over the durable steps of the lab."""

    def __init__(self, parameters: AlternatingCrfParameters) -> None:
        self.parameters = parameters
        p = parameters
        self.crf = (
            CRFParameters(
                w1=p.w1,
                w2=p.w2,
                sigma_alpha=p.sigma_alpha,
                sigma_beta=p.sigma_beta,
                sigma_gamma=p.sigma_gamma,
                iterations=p.crf_iterations,
                normalisation=p.crf_normalisation,
            )
            if p.crf
            else None
        )

    def run(self, lab: Lab) -> Theta:
        """Carry out Sec. 2.1."""
        p = self.parameters
        unlabelled = lab.choose_frames(lab.unlabelled, p.frames_per_case)
        warm = lab.begin_with_start(p.warm_start)
        later = [lab.iterations(lab.labelled + p.lam * unlabelled, p.per_alternation, p.batch_size)] * p.alternations
        lab.plan(*([] if warm else [lab.iterations(lab.labelled, p.initial, p.batch_size)]), *later)

        theta = warm or lab.fit(lab.labelled, duration=p.initial, step="supervised training", parameters=p)  # Eq. 1
        for k in range(1, p.alternations + 1):
            name = f"alternation {k} of {p.alternations}"
            labels = lab.refine(lab.predict(theta, unlabelled), crf=self.crf, step=f"{name}: label maps")  # step 1
            labels = lab.review(labels, step=f"{name}: review")
            theta = lab.fit(  # step 2, Eq. 2
                lab.labelled + p.lam * labels,
                start=theta,
                duration=p.per_alternation,
                step=f"{name}: network",
                parameters=p,
            )
        return theta
