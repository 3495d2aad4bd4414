"""Quality-aware self-training: the curves of a segmentation decide whether it is learnt from.

B. Ruijsink, E. Puyol-Antón, Y. Li, W. Bai, E. Kerfoot, R. Razavi, A. P. King: Quality-aware semi-supervised learning
for CMR segmentation. STACOM 2020.

Algorithm (Sec. 3.1)::

    Θ ← supervised training on L, from scratch
    repeat `rounds` times (once in the paper):
        y_i  = arg max softmax(x_i; Θ), every frame, i ∈ pool
        v_i  = volume (or area) curves of y_i over the cycle
        p_i  = probability of "good" that the quality-control classifier gives v_i
        S    = the N cases of largest p_i                                            N = 30
        Θ    ← training on L ∪ {(x_i, y_i, every frame) : i ∈ S}, from scratch
        stop when the validation loss is higher than the round before                Sec. 5

Arms (Sec. 3.2), parameter `arm`::

    (1) full             L whole, no S
    (2) half             a share of L, no S
    (3) without-qc       S drawn at random from the same pool
    (4) without-qc-crf   as (3), label maps refined with the CRF of Bai 2017, Eqs. 3 and 4
    (5) qc               S best in class

Defaults
    N = 30, all frames, from scratch, 2,000 epochs for every network: Secs. 3.1 and 3.2. ``--preset paper`` takes half
    of the labelled subjects, as all arms but (1) did; in a study that wants the best network all labels are used.

Open in the paper, settled here
    Optimiser, loss, augmentation and batch: those of every strategy here. The pool is every unlabelled training case
    of the study. Which half of L, and which cases are random, the order's seed decides, so that arms with the same
    seed share their first network. The epochs of the second network are counted over its larger training set; a
    comparison gives every network the same number of optimiser steps. Ties of the ranking go by case id.

Departures
    In the clinician's version (`warm_start`) the promoted model labels the pool and is trained on. `lab.review` lets a
    policy judge the selected cases; with ``accept-all`` that is the published algorithm. `selection` offers balanced
    choices. When the validation loss rises, the network of the round before is what is kept. With `evidence` other than
    ``curves`` a second network, trained on the same labels from other random weights, is asked too: p_i is then the
    mean Dice of the two (`qc.predicted_dice`), since errors of networks need not show in a curve.
"""

from __future__ import annotations

import numpy as np

from napari_ssl.core.catalogue import CRFParameters
from napari_ssl.core.catalogue.semi_qc_seg import SUPERVISED_ARMS, SemiQcSegParameters
from napari_ssl.strategies.items import ItemSet
from napari_ssl.strategies.lab import Lab, Theta

__all__ = ["SemiQcSeg", "share_of_subjects"]

_OTHER = 2
"""Which random weights the second network begins with."""


def share_of_subjects(items: ItemSet, share: float, seed: int) -> ItemSet:
    """Keep the items of a share of the subjects, at least one, drawn by the seed."""
    subjects = sorted({i.subject_id for i in items})
    n = max(1, round(share * len(subjects)))
    order = np.random.default_rng(seed).permutation(len(subjects))[:n]
    kept = {subjects[k] for k in order.tolist()}
    return ItemSet(i for i in items if i.subject_id in kept)


class SemiQcSeg:
    """Ruijsink 2020 over the durable steps of the lab."""

    def __init__(self, parameters: SemiQcSegParameters) -> None:
        self.parameters = parameters

    def run(self, lab: Lab) -> Theta:
        """Carry out Sec. 3.1 for the arm that the parameters name."""
        p = self.parameters
        share = 1.0 if p.arm == "full" else p.labelled_share
        labelled = share_of_subjects(lab.labelled, share, lab.spec.seed)
        if p.arm == "half" and len(labelled) == len(lab.labelled):
            lab.notice("arm half learns from every labelled case, as arm full; give a labelled_share below 1")
        pool = lab.choose_frames(lab.unlabelled, p.frames_per_case)
        rounds = 0 if p.arm in SUPERVISED_ARMS or not len(pool) else p.rounds
        if rounds < p.rounds and p.arm not in SUPERVISED_ARMS:
            lab.notice("no unlabelled case: training on the labelled ones alone")
        warm = lab.begin_with_start(p.warm_start)
        asks_rival = p.arm == "qc" and p.evidence != "curves" and rounds > 0
        on_labels = lab.iterations(labelled, p.duration, p.batch_size)
        joined = labelled + ItemSet(list(pool)[: p.n_cases])
        lab.plan(
            *[on_labels] * (int(not (warm and rounds)) + asks_rival),
            *[lab.iterations(joined, p.duration, p.batch_size)] * rounds,
        )

        if warm and rounds:
            theta = warm
        else:
            theta = lab.fit(labelled, duration=p.duration, parameters=p, start=warm, step="supervised training")
        rival = None
        if asks_rival:
            rival = lab.fit(labelled, duration=p.duration, parameters=p, initialisation=_OTHER, step="second network")
        for k in range(1, rounds + 1):
            name = f"round {k} of {rounds}"
            selected = lab.review(self._select(lab, theta, rival, pool, name), step=f"{name}: review")
            candidate = lab.fit(
                labelled + selected, duration=p.duration, parameters=p, start=warm, step=f"{name}: network"
            )
            before, after = lab.validation_loss(theta), lab.validation_loss(candidate)
            if k > 1 and before is not None and after is not None and after > before:
                lab.notice(f"{name}: the validation loss rose from {before:.4f} to {after:.4f}; round {k - 1} is kept")
                return theta
            theta = candidate
        return theta

    def _select(self, lab: Lab, theta: Theta, rival: Theta | None, pool: ItemSet, name: str) -> ItemSet:
        """S of the arm, with its label maps."""
        p = self.parameters
        if p.arm == "qc":
            labels = lab.refine(lab.predict(theta, pool), crf=None, step=f"{name}: label maps")
            called = "probability of good" if rival is None else "Dice with the second network"
            scores = self._scores(lab, labels, rival, name)
            return lab.select(labels, scores, p.n_cases, how=p.selection, called=called, step=f"{name}: selection")
        drawn = lab.predict(theta, lab.draw(pool, p.n_cases))  # only these need labels
        crf = CRFParameters() if p.arm == "without-qc-crf" else None
        return lab.refine(drawn, crf=crf, step=f"{name}: label maps")

    def _scores(self, lab: Lab, labels: ItemSet, rival: Theta | None, name: str) -> dict[str, float]:
        """p_i by the evidence that the parameters name."""
        if rival is None:
            return lab.score(labels)
        agreement = lab.agreement(labels, rival, step=f"{name}: label maps of the second network")
        if self.parameters.evidence == "committee":
            return agreement
        passed = {case_id for case_id, good in lab.score(labels).items() if good >= lab.operating_point}
        lab.notice(f"{name}: the curves of {len(passed)} of {len(labels)} cases pass")
        return {case_id: dice for case_id, dice in agreement.items() if case_id in passed}
