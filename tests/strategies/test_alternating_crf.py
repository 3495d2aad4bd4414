"""Bai 2017: what each step learns from, with which weights, for how long, and what refines the label maps."""

from __future__ import annotations

import pytest
import torch
from recording_lab import RecordingLab, names
from torch.nn import functional

from napari_ssl.core.catalogue import STRATEGIES, AlternatingCrfParameters, CRFParameters, preset_values
from napari_ssl.core.parameters import from_mapping
from napari_ssl.strategies.alternating_crf import AlternatingCrf
from napari_ssl.training.losses import choose_loss

ENTRY = STRATEGIES["alternating-crf"]


class CrfLab(RecordingLab):
    """Also writes down what refines, and gives each labelling its own name."""

    def __init__(self, *args, **rest):
        super().__init__(*args, **rest)
        self.crfs, self.labelled_from = [], []

    def refine(self, soft, *, crf, step, keep_soft=False):
        self.crfs.append(crf)
        self.labelled_from.append(soft.theta.hash)
        return super().refine(soft, crf=None, step=step, keep_soft=keep_soft)


def carried_out(labelled="ab", unlabelled="cde", *, start=False, **values):
    lab = CrfLab(labelled, unlabelled, start=start)
    return lab, AlternatingCrf(AlternatingCrfParameters(batch_size=10, **values)).run(lab)


def test_supervised_first_then_label_maps_and_network_in_turn():
    lab, theta = carried_out()
    assert [names(f["items"]) for f in lab.fits] == [["a", "b"]] + [["a", "b", "c", "d", "e"]] * 3
    assert [f.get("start") and f["start"].hash for f in lab.fits] == [None, "fit 1", "fit 2", "fit 3"]
    assert lab.labelled_from == ["fit 1", "fit 2", "fit 3"]  # step 1 with the network of the step before
    assert theta.hash == "fit 4"
    assert lab.planned == (500 * 2, 100 * 5, 100 * 5, 100 * 5)


@pytest.mark.parametrize("lam", [0.5, 1.0])
def test_lambda_weighs_every_unlabelled_slice_and_no_labelled_one(lam):
    lab, _ = carried_out(lam=lam)
    assert [i.weight for i in lab.fits[1]["items"]] == [1, 1, lam, lam, lam]


@pytest.mark.parametrize("lam", [0.5, 1.0])
def test_pooled_batches_have_the_gradient_of_eq_2_whatever_the_sizes_of_the_sets(lam):
    torch.manual_seed(0)
    logits = torch.randn(5, 4, 6, 6, requires_grad=True)  # two labelled slices, three others
    target = torch.randint(4, (5, 6, 6)).to(torch.uint8)
    per_pixel = functional.cross_entropy(logits, target.long(), reduction="none")
    of_eq_2 = torch.autograd.grad(per_pixel[:2].sum() + lam * per_pixel[2:].sum(), logits, retain_graph=True)[0]
    pooled = choose_loss("cross-entropy")(logits, target, torch.tensor([1.0, 1, lam, lam, lam]))
    found = torch.autograd.grad(pooled, logits)[0]
    assert torch.allclose(found * 5 * 36, of_eq_2, atol=1e-6)  # one constant for both sets


def test_the_crf_has_the_papers_parameters_and_can_be_left_out():
    lab, _ = carried_out(alternations=1)
    assert lab.crfs == [CRFParameters(w1=1.0, w2=2.0, sigma_alpha=0.5, sigma_beta=1.0, sigma_gamma=1.0)]
    lab, _ = carried_out(alternations=2, crf=False)
    assert lab.crfs == [None, None]
    lab, _ = carried_out(alternations=1, w1=3.0, sigma_beta=7.0, crf_normalisation="none", crf_iterations=9)
    assert (lab.crfs[0].w1, lab.crfs[0].sigma_beta) == (3.0, 7.0)
    assert (lab.crfs[0].normalisation, lab.crfs[0].iterations) == ("none", 9)


def test_the_promoted_model_takes_the_place_of_the_supervised_training():
    lab, theta = carried_out(start=True, warm_start=True, alternations=2)
    assert lab.labelled_from == ["promoted", "fit 1"]
    assert lab.fits[0]["start"].hash == "promoted"
    assert theta.hash == "fit 2"
    assert lab.planned == (100 * 5, 100 * 5)


def test_published_schedule():
    p = from_mapping(AlternatingCrfParameters, preset_values(ENTRY, "paper", {}))
    assert (p.optimiser, p.learning_rate, p.batch_size, p.loss, p.schedule) == (
        "sgd", 1e-3, 20, "cross-entropy", "constant",
    )  # fmt: skip
    assert (p.initial, p.alternations, p.per_alternation, p.lam) == ("500 epochs", 3, "100 epochs", 1.0)
    assert (p.augmentation, p.crf, p.frames_per_case) == ("paper", True, 2)
