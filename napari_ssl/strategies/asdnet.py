"""ASDNet: sample attention, a confidence network trained as an adversary, and semi-supervised learning where it trusts.

D. Nie, Y. Gao, L. Wang, D. Shen: ASDNet: Attention based semi-supervised deep networks for medical image segmentation.
MICCAI 2018.

Notation: X a labelled image with its one-hot label map P, U an unlabelled image, S the segmentation network, P̂ = S(·)
its class probabilities, D the confidence network, M = D(P̂) its map.

Algorithm::

    L_Dice    = 1 − 2 Σ_c π_c Σ_j P_jc P̂_jc / Σ_c π_c Σ_j (P_jc + P̂_jc),   π_c = 1 / (Σ_j P_jc)²          (Eq. 1)
    L_AttDice = (1 − dsc)^β L_Dice                  per sample; dsc anew in each step, without gradient      (Eq. 2)
    L_D       = BCE(D(P), 1) + BCE(D(S(X)), 0)                                                          (Eqs. 3, 4)
    L_ADV     = BCE(D(S(O)), 1),  O = {X, U}                                                                (Eq. 5)
    L_semi    = Eq. 1 of P̂ = S(U) against its own one-hot arg-max, j over [M > γ] alone;                    (Eq. 6)
                mask and arg-max anew in each step, without gradient
    L_S       = L_AttDice + λ₁ L_ADV + λ₂ L_semi                                                            (Eq. 7)

    repeat:  S moves by L_S with D fixed,  then D by L_D with S fixed

Arms (Table 2), all with the network that is chosen (``--network vnet`` and ``svnet`` are its first two rows)::

    dice                       Eq. 1 alone
    attention                  Eq. 2                                                   AttSVNet
    attention+cnn              Eqs. 2, 3, 5 with one value a sample for D, X alone     AttSVNet+CNN
    attention+fcn              Eqs. 2, 3, 5 with the confidence network, X alone       AttSVNet+FCN
    semi-fcn                   Bai 2017 (`alternating_crf`) with Eq. 2 for its loss    semiFCN
    semi-embed                 Eq. 2 and Baur 2017 (`asdnet_embedding`)                semiEmbedFCN
    semi-without-adversarial   Eq. 7 with λ₁ = 0                                       AttSVNet+Semi
    proposed                   Eq. 7

Defaults
    β = 2 in [0, 5] (Sec. 2.1), λ₁ = 0.03, λ₂ = 0.3 (Sec. 2.3); Adam with 1e-3 for S and 1e-4 for D, both divided by 10
    every 3 epochs, weight decay 1e-4, weights after Xavier, biases 0 (Sec. 2.4). ``--preset paper`` also takes the
    simplified V-Net and patches of 64×64×16 (Sec. 2.4).

Open in the paper, settled here
    Eqs. 1, 4 and 6 are not legible in the text that this was written from: Eq. 1 after the paper's reference [12]
    (Sudre et al. 2017), Eq. 4 as the mean over the image domain (with the sum, λ₁ = 0.03 would outweigh all else),
    Eq. 6 after its description; π_c of a class that a sample lacks is the largest of those that it has. dsc is the Dice
    of the arg-max over the structures, 1 for one that is in neither map. γ = 0.2 and a quarter of the training before
    L_semi: the public program of the similar strategy of reference [5] (Hung et al. 2018); D's layers too
    (`networks.discriminators`). Batches of 8 and 8. An epoch is 5,250 patches, one pass over 35 volumes of
    256×256×150; the training lasts 12 epochs, after which the rate is 1/10,000. The discriminator of
    ``attention+cnn``: the convolutions of D, then the mean. No augmentation. ``semi-fcn`` alternates three times; each
    alternation begins with the first rate again. ``semi-embed``: 100 features of each set, four fifths background,
    margin 0.5, as the authors' program has it; pseudo-labels are the arg-max after the same warm-up.

Departures
    The residual U-Net is the default network; ``--network svnet`` gives the paper's. Slices instead of patches where
    the study has slices. The paper's D sees certain labels and uncertain predictions and can win by sharpness alone:
    `label_smoothing` above 0 takes that off. ``quick`` begins with the promoted model, adds augmentation and
    cross-entropy and a quarter of D's channels; D itself always begins anew. Its β is 0.5, its smoothing 0.1: where
    the network is good already, (1 − dsc)² leaves the labelled term a smaller gradient than either other term (ACDC,
    three patients, Dice 0.55: 0.08 against 0.45 and 0.24 after D's first 60 steps), and without smoothing D has won by
    then and trusts 8 % of the pixels, with it 87 %. A policy is asked in ``semi-fcn`` alone:
    the other arms' pseudo-labels live for one step. Its stages share one length of training, 3/8 of it the
    alternations as in Bai 2017, so that every arm takes as many steps; with a warm start all of it is theirs.
"""

from __future__ import annotations

from napari_ssl.core.catalogue import CRFParameters
from napari_ssl.core.catalogue.asdnet import SUPERVISED_ARMS, AsdNetParameters
from napari_ssl.core.duration import Duration
from napari_ssl.strategies.asdnet_methods import AdversarialMethod, AttentionMethod, EmbeddingMethod
from napari_ssl.strategies.items import ItemSet
from napari_ssl.strategies.lab import Lab, Theta

__all__ = ["AsdNet"]


class AsdNet:
    """Nie 2018 over the durable steps of the lab."""

    def __init__(self, parameters: AsdNetParameters) -> None:
        self.parameters = parameters

    def run(self, lab: Lab) -> Theta:
        """Train by the arm."""
        p = self.parameters
        unlabelled = lab.choose_frames(lab.unlabelled, p.frames_per_case)
        if p.arm not in SUPERVISED_ARMS and not len(unlabelled):
            lab.notice(f"no unlabelled case for arm {p.arm}: it learns from the labelled ones alone")
        warm = lab.begin_with_start(p.warm_start)
        if p.arm == "semi-fcn":
            return self._alternate(lab, unlabelled, warm)
        method = self._method(warm is None, p.unlabelled_batch if len(unlabelled) else 0)
        n = self._iterations(p.duration)
        lab.plan(n)
        return lab.fit(
            lab.labelled,
            duration=f"{n} iterations",
            parameters=p,
            step=f"arm {p.arm}",
            start=warm,
            unlabelled=unlabelled if method.n_unlabelled else None,
            method=method,
        )

    def _method(self, initialise: bool, n_unlabelled: int) -> AttentionMethod:
        """What a step of the arm minimises."""
        p = self.parameters
        if p.arm == "semi-embed":
            return EmbeddingMethod(p, beta=p.beta, initialise=initialise, n_unlabelled=n_unlabelled)
        if p.arm in ("dice", "attention", "semi-fcn"):
            return AttentionMethod(p, beta=0.0 if p.arm == "dice" else p.beta, initialise=initialise)
        is_semi = p.arm not in SUPERVISED_ARMS
        return AdversarialMethod(
            p,
            beta=p.beta,
            initialise=initialise,
            discriminator="cnn" if p.arm == "attention+cnn" else "fcn",
            lambda_1=0.0 if p.arm == "semi-without-adversarial" else p.lambda_1,
            lambda_2=p.lambda_2 if is_semi else 0.0,
            n_unlabelled=n_unlabelled if is_semi else 0,
        )

    def _alternate(self, lab: Lab, unlabelled: ItemSet, warm: Theta | None) -> Theta:
        """``semi-fcn``: Bai 2017, Sec. 2.1, with L_AttDice; all stages together last as long as the other arms."""
        p = self.parameters
        total = self._iterations(p.duration)
        each = max(1, int((total if warm else total * p.alternation_share) / p.alternations))
        initial = 0 if warm else max(1, total - each * p.alternations)
        lab.plan(initial + each * p.alternations)
        theta = warm or lab.fit(
            lab.labelled,
            duration=f"{initial} iterations",
            parameters=p,
            step="supervised training",
            method=self._method(True, 0),
        )
        for k in range(1, p.alternations + 1):
            name = f"alternation {k} of {p.alternations}"
            soft = lab.predict(theta, unlabelled)
            labels = lab.refine(soft, crf=CRFParameters() if p.crf else None, step=f"{name}: label maps")
            labels = lab.review(labels, step=f"{name}: review")
            theta = lab.fit(
                lab.labelled + p.lam * labels,
                start=theta,
                duration=f"{each} iterations",
                parameters=p,
                step=f"{name}: network",
                method=self._method(False, 0),
            )
        return theta

    def _iterations(self, duration: str) -> int:
        """Optimiser steps of a duration; an epoch has as many patches as the parameters say, whatever the data."""
        return Duration.parse(duration).iterations(self.parameters.patches_per_epoch, self.parameters.batch_size)
