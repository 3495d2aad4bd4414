"""The arms of Ruijsink 2020: who is in the training set, what is trained from where, and when it stops."""

from __future__ import annotations

import pytest
import torch

from napari_ssl.core.catalogue.semi_qc_seg import SemiQcSegParameters
from napari_ssl.core.job import EventKind
from napari_ssl.core.training import Role
from napari_ssl.errors import SpecError
from napari_ssl.rounds import execute
from napari_ssl.strategies.lab import Lab
from napari_ssl.strategies.semi_qc_seg import SemiQcSeg, share_of_subjects


class Watched(Lab):
    """Remembers what every fit learnt from; scores are given, not computed."""

    scores: dict[str, float]
    losses: list[float]
    dices: dict[str, float]
    operating_point = 0.5

    def fit(self, items, **arguments):
        theta = super().fit(items, **arguments)
        self.__dict__.setdefault("fits", []).append((items, arguments.get("start"), theta))
        return theta

    def score(self, labels):
        return {i.case_id: self.scores[i.case_id] for i in labels}

    def agreement(self, labels, theta, *, step):
        computed = super().agreement(labels, theta, step=step)
        self.__dict__.setdefault("agreements", []).append((computed, theta))
        return self.dices or computed

    def validation_loss(self, theta):
        if not self.losses:
            return super().validation_loss(theta)
        return self.losses[[t for _, _, t in self.fits].index(theta)]


@pytest.fixture
def play(make_spec, tmp_path):
    def run(arm: str, *, scores=None, losses=(), dices=None, folder="run", seed=3, **values):
        spec = make_spec("semi-qc-seg", seed=seed)
        events = []
        lab = Watched(spec, tmp_path / folder, torch.device("cpu"), events.append, lambda: False)
        lab.scores, lab.losses, lab.dices = scores or {"c": 0.9, "d": 0.1}, list(losses), dices or {}
        settings = {"duration": "2 iterations", "batch_size": 4, "n_cases": 1, "validate_every": 2, **values}
        theta = SemiQcSeg(SemiQcSegParameters(arm=arm, **settings)).run(lab)
        notices = [e.data["message"] for e in events if e.kind is EventKind.NOTICE]
        return lab, theta, notices

    return run


def members(items, role):
    return sorted(i.case_id for i in items if i.role is role)


def test_full_takes_all_labels_and_half_a_share_of_the_subjects(play):
    lab, _, _ = play("full", labelled_share=0.5)
    assert [members(i, Role.LABELLED) for i, _, _ in lab.fits] == [["a", "b"]]
    lab, _, _ = play("half", labelled_share=0.5, folder="half")
    ((items, _, _),) = lab.fits
    assert len(members(items, Role.LABELLED)) == 1 and not members(items, Role.PSEUDO)


def test_half_says_so_when_it_leaves_nothing_out(play):
    lab, _, notices = play("half", labelled_share=1.0)
    assert members(lab.fits[0][0], Role.LABELLED) == ["a", "b"] and any("labelled_share" in n for n in notices)
    _, _, notices = play("half", labelled_share=0.5, folder="less")
    assert not any("labelled_share" in n for n in notices)


def test_qc_takes_the_best_in_class_with_every_frame_and_trains_from_scratch(play):
    for best, scores in (("c", {"c": 0.9, "d": 0.2}), ("d", {"c": 0.3, "d": 0.31})):
        lab, theta, notices = play("qc", scores=scores, folder=best)
        (first, start_1, _), (second, start_2, last) = lab.fits
        assert members(first, Role.PSEUDO) == [] and members(second, Role.PSEUDO) == [best]
        assert members(second, Role.LABELLED) == ["a", "b"]
        assert [i.frames for i in second if i.role is Role.PSEUDO] == [(0, 1, 2)]
        assert start_1 is None and start_2 is None and theta == last
        assert any("1 of 2 cases" in n for n in notices)
        assert lab.selections[0]["cases"] == [best]


def test_a_committee_ranks_by_the_dice_with_a_second_network_whatever_the_curves_say(play):
    lab, _, notices = play("qc", evidence="committee", scores={"c": 0.9, "d": 0.1}, dices={"c": 0.4, "d": 0.8})
    (_, _, first), (again, start, rival), (second, _, _) = lab.fits
    assert start is None and first.hash != rival.hash and members(again, Role.PSEUDO) == []
    assert members(second, Role.PSEUDO) == ["d"]
    assert any("Dice with the second network" in n for n in notices)
    ((computed, asked),) = lab.agreements
    assert asked == rival and computed.keys() == {"c", "d"} and all(0 <= d <= 1 for d in computed.values())


def test_a_network_agrees_with_itself(play):
    lab, _, _ = play("qc", evidence="committee")
    labels = lab.refine(lab.predict(lab.fits[0][2], lab.unlabelled), crf=None, step="once more")
    assert lab.agreement(labels, lab.fits[0][2], step="itself") == {"c": 1.0, "d": 1.0}


def test_both_takes_the_committees_best_among_those_whose_curves_pass(play):
    values = {"evidence": "both", "dices": {"c": 0.4, "d": 0.8}, "n_cases": 2}
    lab, _, notices = play("qc", scores={"c": 0.9, "d": 0.1}, **values)
    assert members(lab.fits[2][0], Role.PSEUDO) == ["c"]
    assert any("curves of 1 of 2 cases pass" in n for n in notices)
    lab, _, _ = play("qc", scores={"c": 0.9, "d": 0.6}, folder="pass", **{**values, "n_cases": 1})
    assert members(lab.fits[2][0], Role.PSEUDO) == ["d"]


def test_random_arms_draw_by_the_seed_from_the_same_pool_and_share_the_first_network(play):
    drawn = set()
    for seed in range(6):
        lab, _, _ = play("without-qc", folder=f"s{seed}", seed=seed)
        drawn.add(members(lab.fits[1][0], Role.PSEUDO)[0])
    assert drawn == {"c", "d"}
    plain, _, _ = play("without-qc", folder="plain")
    refined, _, _ = play("without-qc-crf", folder="crf")
    judged, _, _ = play("qc", folder="qc")
    assert plain.fits[0][2].hash == refined.fits[0][2].hash == judged.fits[0][2].hash
    assert members(plain.fits[1][0], Role.PSEUDO) == members(refined.fits[1][0], Role.PSEUDO)
    assert plain.crf_backend is None and refined.crf_backend is not None


def test_a_rising_validation_loss_stops_and_keeps_the_round_before(play):
    lab, theta, notices = play("qc", rounds=3, losses=[0.9, 0.5, 0.6, 0.1])
    assert len(lab.fits) == 3 and theta == lab.fits[1][2]
    assert any("rose from 0.5000 to 0.6000" in n for n in notices)
    lab, theta, _ = play("qc", rounds=3, losses=[0.9, 0.5, 0.4, 0.3], folder="falls")
    assert len(lab.fits) == 4 and theta == lab.fits[3][2]


def test_balanced_difficulty_reads_the_confidence_of_the_label_maps(play):
    lab, _, _ = play("qc", selection="balanced-difficulty", n_cases=2)
    labels = lab.refine(lab.predict(lab.fits[0][2], lab.unlabelled), crf=None, step="again")
    confidence = lab.mean_confidence(labels)
    assert confidence.keys() == {"c", "d"} and all(0 < v <= 1 for v in confidence.values())
    assert members(lab.fits[1][0], Role.PSEUDO) == ["c", "d"]


def test_without_a_classifier_the_remedy_is_named(make_spec, tmp_path):
    spec = make_spec("semi-qc-seg", qc=None)
    with pytest.raises(SpecError, match="qc train"):
        execute(spec, tmp_path, lambda e: None, lambda: False)


def test_the_share_is_of_subjects_not_of_cases(make_spec):
    spec = make_spec("semi-qc-seg")
    lab_items = share_of_subjects(
        type("Items", (list,), {})(i for i in spec.items if i.role is Role.LABELLED), 0.5, seed=0
    )
    assert len({i.subject_id for i in lab_items}) == 1
