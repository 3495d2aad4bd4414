"""What a reader judged wrong is not learned, and nothing else is lost by it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from napari_ssl.core.decision import PlaceVerdict, Verdict
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.reading import ReadingTask
from napari_ssl.core.segmentation import Source
from napari_ssl.core.training import Role
from napari_ssl.rounds.training_set import count_training_set, training_items
from napari_ssl.study.study import Study
from napari_ssl.training.item_labels import read_item_labels

sys.path.insert(0, str(Path(__file__).parents[1] / "study"))
from study_factory import SHAPE, decide, make_items, make_labels, make_model, propose


@pytest.fixture
def study(tmp_path):
    with Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"]) as study:
        items = make_items(tmp_path / "images", n=3, n_labelled=0)
        study.add_cases(items, split="train")
        make_model(study, tmp_path / "m1")
        yield study


def _judge(study, labels, frame, slice_=None, verdict="wrong", reader="Ada"):
    return study.add_place_verdict(
        PlaceVerdict(
            case_id=labels.case_id,
            segmentation_id=labels.id,
            label_hash=labels.label_hash,
            reader=reader,
            frame=frame,
            slice=slice_,
            verdict=verdict,
            judged_at=datetime.now(UTC),
        )
    )


def _item(study, case_id="p0"):
    return next((i for i in training_items(study) if i.case_id == case_id), None)


def test_wrong_frames_and_frames_of_wrong_slices_stay_out_of_an_accepted_case(study):
    labels = propose(study, "p0", 0)
    study.record(decide(labels))
    _judge(study, labels, 1)
    _judge(study, labels, 3, 2)
    _judge(study, labels, 0, 0, verdict="good")
    item = _item(study)
    assert (item.role, item.frames) == (Role.ACCEPTED, (0, 2))
    counts = count_training_set(study)
    assert (counts.accepted, counts.wrong_frames, counts.rejected_left_out) == (1, 2, 0)
    assert np.array_equal(read_item_labels(item, study.label_scheme)[[0, 2]], study.read_labels(labels)[[0, 2]])


def test_a_verdict_that_is_taken_back_or_about_other_labels_counts_no_more(study):
    labels = propose(study, "p0", 0)
    study.record(decide(labels))
    wrong = _judge(study, labels, 1)
    study.take_back_place_verdict(wrong.id, "Ada")
    assert _item(study).frames == tuple(range(SHAPE[0]))
    _judge(study, labels, 2)
    frames = tuple(range(SHAPE[0]))
    corrected = study.add_segmentation(
        "p0", make_labels(5, frames), source=Source.CORRECTED, frames=frames, parent_id=labels.id, reader="Ada"
    )
    study.record(decide(corrected, Verdict.CORRECT))
    assert (_item(study).role, _item(study).frames) == (Role.CORRECTED, frames)
    assert count_training_set(study).wrong_frames == 0


def test_one_readers_wrong_suffices(study):
    labels = propose(study, "p0", 0)
    study.record(decide(labels))
    _judge(study, labels, 1, verdict="good")
    _judge(study, labels, 1, reader="Bo")
    assert 1 not in _item(study).frames


def test_a_case_of_which_every_frame_is_wrong_is_left_out(study):
    labels = propose(study, "p0", 0)
    study.record(decide(labels))
    for frame in labels.frames:
        _judge(study, labels, frame)
    assert _item(study) is None
    assert count_training_set(study).rejected_left_out == 1


def _plan_repeat(study, labels, kind="repeat", **more):
    task = ReadingTask(
        case_id=labels.case_id,
        segmentation_id=labels.id,
        reader="Ada",
        kind=kind,
        created_at=datetime.now(UTC),
        **more,
    )
    return study.add_reading_tasks([task])[0]


@pytest.mark.parametrize(("kind", "more"), [("repeat", {}), ("gold", {"expected": "good"})])
def test_what_is_said_of_places_in_a_hidden_read_measures_the_reader_alone(study, kind, more):
    labels = propose(study, "p0", 0)
    study.record(decide(labels))
    _judge(study, labels, 1)
    _plan_repeat(study, labels, kind, **more)
    _judge(study, labels, 2)
    _judge(study, labels, 1, verdict="good")  # must not hide what was said of the frame in the read that counts
    kept = (0, 2, 3)
    assert _item(study).frames == kept
    study.record(decide(labels))  # answers the hidden read
    assert _item(study).frames == kept
    _judge(study, labels, 3)  # said afterwards, on the open case
    assert _item(study).frames == (0, 2)
    assert count_training_set(study).wrong_frames == 2


def test_a_hidden_read_in_which_places_were_judged_is_begun_and_cannot_be_forgotten(study):
    labels = propose(study, "p0", 0)
    study.record(decide(labels))
    _plan_repeat(study, labels)
    wrong = _judge(study, labels, 2)
    assert study.withdraw_reading_tasks() == 0
    study.take_back_place_verdict(wrong.id, "Ada")
    assert _item(study).frames == tuple(range(SHAPE[0]))


def test_another_readers_hidden_read_takes_nothing_from_a_verdict(study):
    labels = propose(study, "p0", 0)
    study.record(decide(labels, reader="Bo"))
    _plan_repeat(study, labels)
    _judge(study, labels, 2, reader="Bo")
    assert 2 not in _item(study).frames
