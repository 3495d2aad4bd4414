"""Teacher and student: the equations, the turns of the student, who becomes a teacher."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from recording_lab import RecordingLab, names
from torch import nn

from napari_ssl.core.catalogue import NETWORKS, STRATEGIES, preset_values
from napari_ssl.core.catalogue.teacher_student import TeacherStudentParameters
from napari_ssl.core.parameters import from_mapping
from napari_ssl.core.preprocessing import Preprocessing, changed_preprocessing
from napari_ssl.errors import CatalogueError
from napari_ssl.networks import build_network, load_weights
from napari_ssl.rounds import execute
from napari_ssl.strategies.teacher_student import (
    Phase1,
    Phase2,
    TeacherStudent,
    l1_distance,
    weighted_dice_cross_entropy,
)
from napari_ssl.training.dataset import Batch
from napari_ssl.training.method import StepInfo
from napari_ssl.training.optimise import build_optimiser

ENTRY = STRATEGIES["teacher-student"]


def batch(n=2, k=3, *, seed=0, soft=False):
    generator = torch.Generator().manual_seed(seed)
    return Batch(
        images=torch.rand(n, 1, 8, 8, generator=generator),
        classes=torch.randint(0, k, (n, 8, 8), generator=generator).to(torch.uint8),
        weights=torch.ones(n),
        soft=torch.rand(n, k, 8, 8, generator=generator).softmax(1) if soft else None,
    )


def step(iteration):
    return StepInfo(
        iteration=iteration,
        iterations=10,
        generator=torch.Generator().manual_seed(0),
        forward=lambda module, x: module(x),
    )


def plain(b: Batch, k=3):
    y = np.moveaxis(np.eye(k)[b.classes.numpy()], -1, 1) if b.soft is None else b.soft.double().numpy()
    return y


class Recorder(nn.Module):
    """A 1×1 convolution that remembers its input; optionally with an auxiliary output."""

    def __init__(self, has_auxiliary=False):
        super().__init__()
        torch.manual_seed(0)
        self.main, self.second = nn.Conv2d(1, 3, 1), nn.Conv2d(1, 3, 2, stride=2)
        self.has_auxiliary, self.seen = has_auxiliary, []

    def forward(self, x):
        self.seen.append(x)
        return (self.main(x), self.second(x)) if self.has_auxiliary else self.main(x)


@pytest.mark.parametrize("soft", [False, True])
def test_eq_1_is_beta_dice_and_the_rest_cross_entropy(soft):
    b, logits = batch(soft=soft), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    p, y = logits.softmax(1).numpy(), plain(b)
    dice = np.mean([1 - 2 * (p[:, c] * y[:, c]).sum() / (p[:, c].sum() + y[:, c].sum()) for c in range(3)])
    cross_entropy = -(y * np.log(p)).sum(1).mean()
    for beta in (0.65, 0.0, 1.0):
        loss = weighted_dice_cross_entropy(logits, b.target, b.weights, beta=beta)
        assert float(loss) == pytest.approx(beta * dice + (1 - beta) * cross_entropy, rel=1e-5)


def test_a_sample_without_weight_does_not_count():
    b, logits = batch(), torch.randn(2, 3, 8, 8)
    weights = torch.tensor([1.0, 0.0])
    alone = weighted_dice_cross_entropy(logits[:1], b.target[:1], torch.ones(1), beta=0.65)
    assert float(weighted_dice_cross_entropy(logits, b.target, weights, beta=0.65)) == pytest.approx(float(alone) / 2)
    assert float(l1_distance(logits, b.target, weights)) == pytest.approx(
        float(l1_distance(logits[:1], b.target[:1], torch.ones(1))) / 2
    )


@pytest.mark.parametrize("soft", [False, True])
def test_l1_distance_is_between_probabilities_and_pseudo_label(soft):
    b, logits = batch(soft=soft), torch.randn(2, 3, 8, 8)
    expected = np.abs(logits.softmax(1).numpy() - plain(b)).sum(1).mean()
    assert float(l1_distance(logits, b.target, b.weights)) == pytest.approx(expected, rel=1e-5)
    sure = 50 * torch.from_numpy(plain(batch())).float()
    assert float(l1_distance(sure, batch().classes, b.weights)) == pytest.approx(0, abs=1e-6)
    assert float(l1_distance(-sure.roll(1, 1), batch().classes, b.weights)) <= 2


def test_eq_2_rewards_a_small_distance():
    """As printed, with a minus in front of the parenthesis, it would reward a large one."""
    method, b, logits = Phase2(TeacherStudentParameters()), batch(), torch.randn(2, 3, 8, 8)
    eq1 = weighted_dice_cross_entropy(logits, b.target, b.weights, beta=0.65)
    expected = float(eq1) + 0.35 * float(l1_distance(logits, b.target, b.weights))
    assert float(method.pseudo_loss(logits, b.target, b.weights)) == pytest.approx(expected)


def test_auxiliary_output_counts_a_tenth():
    network, b = Recorder(has_auxiliary=True), batch()
    method = Phase1(TeacherStudentParameters())
    main, auxiliary = network(b.images)
    small = nn.functional.interpolate(b.classes[:, None].float(), size=(4, 4), mode="nearest-exact")[:, 0].byte()
    expected = weighted_dice_cross_entropy(main, b.classes, b.weights, beta=0.65)
    expected = expected + 0.1 * weighted_dice_cross_entropy(auxiliary, small, b.weights, beta=0.65)
    assert float(method.loss(network, b, None, step(0))) == pytest.approx(float(expected))


@pytest.mark.parametrize("soft", [False, True])
def test_student_takes_labelled_and_unlabelled_batches_in_turn(soft):
    network, method = Recorder(), Phase2(TeacherStudentParameters())
    labelled, unlabelled = batch(), batch(seed=1, soft=soft)
    first = method.loss(network, labelled, unlabelled, step(0))
    second = method.loss(network, labelled, unlabelled, step(1))
    assert torch.equal(network.seen[0], labelled.images) and torch.equal(network.seen[1], unlabelled.images)
    assert float(first) == pytest.approx(
        float(weighted_dice_cross_entropy(network.main(labelled.images), labelled.target, labelled.weights, beta=0.65))
    )
    expected = method.pseudo_loss(network.main(unlabelled.images), unlabelled.target, unlabelled.weights)
    assert float(second) == pytest.approx(float(expected))
    second.backward()
    assert network.main.weight.grad.abs().sum() > 0
    assert set(method.log()) == {"labelled", "unlabelled"}


def test_labelled_images_alone_are_augmented():
    method, labelled, unlabelled = Phase2(TeacherStudentParameters(augmentation="paper")), batch(), batch(seed=1)
    for iteration in (0, 1):
        changed, same = method.augment(labelled, unlabelled, step(iteration))
        assert same is unlabelled
        assert torch.equal(changed.images, labelled.images) == (iteration == 1)
    changed, same = method.augment(labelled, None, step(1))
    assert same is None and not torch.equal(changed.images, labelled.images)


def test_without_weight_every_turn_is_labelled_and_nothing_unlabelled_is_drawn():
    method, network, b = Phase2(TeacherStudentParameters(unlabelled_weight=0.0)), Recorder(), batch()
    assert method.n_unlabelled == 0
    assert float(method.loss(network, b, None, step(1))) == float(method.loss(network, b, None, step(0)))


def test_teacher_is_the_best_three_on_the_folds_that_they_have_not_seen():
    dice = {f"fit {n}": d for n, d in zip(range(1, 6), (0.5, 0.9, 0.7, 0.6, 0.8), strict=True)}
    lab = RecordingLab("abcdefghij", "xyz", dice=dice)
    TeacherStudent(TeacherStudentParameters(batch_size=10)).run(lab)
    assert len(lab.fits) == 6
    for n, held_out in enumerate(lab.held_out):
        assert len(held_out) == 2
        assert sorted(names(lab.fits[n]["items"]) + list(held_out)) == list("abcdefghij")
    assert {m.hash for m in lab.labelled_by.members} == {"fit 2", "fit 5", "fit 3"}
    assert len({f["initialisation"] for f in lab.fits}) == 6
    assert all(isinstance(f["method"], Phase1) for f in lab.fits)


def test_student_learns_from_both_sets_with_its_own_rate_and_batches():
    lab = RecordingLab("abcde", "xyz", dice={f"fit {n}": 0.5 for n in range(1, 6)})
    lab.rejected, lab.corrected = {"x"}, {"y"}
    paper = from_mapping(TeacherStudentParameters, preset_values(ENTRY, "paper", {}))
    TeacherStudent(paper).run(lab)
    student = lab.fits[-1]
    assert names(student["items"]) == ["a", "b", "c", "d", "e", "y"]
    assert [(i.case_id, i.label_hash) for i in student["unlabelled"]] == [("z", "z_pseudo")]
    assert student["parameters"].learning_rate == 1e-5 and student["parameters"].batch_size == 20
    assert student["method"].n_unlabelled == 20 and student["start"] is None
    assert not lab.kept_soft
    assert lab.planned == (3000 * 40 // 40,) * 5 + (400 * 50 // 20,)


def test_student_has_the_teachers_rate_and_batches_unless_it_is_given_others():
    lab = RecordingLab("abcde", "x", dice={f"fit {n}": 0.5 for n in range(1, 6)})
    TeacherStudent(TeacherStudentParameters(batch_size=10, learning_rate=1e-3)).run(lab)
    assert (lab.fits[-1]["parameters"].batch_size, lab.fits[-1]["parameters"].learning_rate) == (10, 1e-3)


def test_soft_pseudo_labels_keep_the_probabilities():
    lab = RecordingLab("abcde", "x", dice={f"fit {n}": 0.5 for n in range(1, 6)})
    TeacherStudent(TeacherStudentParameters(pseudo_labels="soft")).run(lab)
    assert lab.kept_soft


def test_promoted_model_is_where_the_student_begins_and_no_teacher():
    lab = RecordingLab("abcde", "x", dice={f"fit {n}": 0.5 for n in range(1, 6)}, start=True)
    TeacherStudent(TeacherStudentParameters(warm_start=True)).run(lab)
    assert [f.get("start") for f in lab.fits[:-1]] == [None] * 5
    assert lab.fits[-1]["start"].hash == "promoted"


@pytest.mark.parametrize(("subjects", "n_teachers"), [("abc", 3), ("a", 1)])
def test_few_subjects_share_the_steps_of_all_folds(subjects, n_teachers):
    lab = RecordingLab(subjects, "x", dice={f"fit {n}": 0.5 for n in range(1, 6)})
    TeacherStudent(TeacherStudentParameters(teacher_duration="30 iterations", student_duration="7 iterations")).run(lab)
    assert len(lab.fits) == n_teachers + 1
    assert lab.planned == (150 // n_teachers,) * n_teachers + (7,)
    assert any(f"{n_teachers} teachers" in m for m in lab.notices)


def test_no_step_is_lost_when_few_subjects_share_them():
    lab = RecordingLab("abcd", "x", dice={f"fit {n}": 0.5 for n in range(1, 6)})
    TeacherStudent(TeacherStudentParameters(teacher_duration="6 iterations", student_duration="7 iterations")).run(lab)
    assert lab.planned == (7, 8, 7, 8, 7)  # 5 × 6 by four teachers, then the student
    assert [f["duration"] for f in lab.fits] == [f"{n} iterations" for n in lab.planned]


def test_without_unlabelled_cases_the_student_is_supervised():
    lab = RecordingLab("abcde", "", dice={f"fit {n}": 0.5 for n in range(1, 6)})
    TeacherStudent(TeacherStudentParameters()).run(lab)
    assert lab.fits[-1]["unlabelled"] is None and lab.fits[-1]["method"].n_unlabelled == 0


def test_a_run_with_soft_labels_ends_with_other_weights_than_one_with_hard_labels(make_spec, tmp_path):
    weights = {}
    for kind in ("hard", "soft"):
        execute(
            make_spec("teacher-student", parameters={"pseudo_labels": kind}), tmp_path / kind, lambda e: None, lambda: 0
        )
        weights[kind] = load_weights(tmp_path / kind / "output" / "weights.safetensors")[0]
    assert any(not torch.equal(weights["hard"][name], weights["soft"][name]) for name in weights["hard"])
    assert list((tmp_path / "soft" / "steps").glob("*/*.soft.npz"))
    assert not list((tmp_path / "hard" / "steps").glob("*/*.soft.npz"))


def test_published_schedule():
    p = from_mapping(TeacherStudentParameters, preset_values(ENTRY, "paper", {}))
    assert (p.beta, p.deep_supervision, p.folds, p.best) == (0.65, 0.1, 5, 3)
    assert (p.batch_size, p.student_batch_size) == (40, 20)
    assert (p.learning_rate, p.student_learning_rate, p.schedule) == (2e-4, 1e-5, "poly")
    assert (p.teacher_duration, p.augmentation) == ("3000 epochs", "albumentations")
    assert ENTRY.preset_network["paper"] in NETWORKS
    preprocessing = changed_preprocessing(Preprocessing(), ENTRY.preset_preprocessing["paper"])
    assert (preprocessing.pixel_spacing_mm, preprocessing.crop_yx) == (1.5, (256, 256))
    assert preprocessing.intensity == "three-sd"


def test_adam_has_the_published_moments():
    network = build_network("unet", n_classes=2, parameters={"channels": "2,3,4"})
    optimiser = build_optimiser(network, TeacherStudentParameters())
    assert optimiser.param_groups[0]["betas"] == (0.5, 0.999)


def test_more_teachers_than_folds_are_refused():
    with pytest.raises(CatalogueError, match="best must not be more than folds, which is 2; got 3"):
        TeacherStudentParameters(folds=2)
