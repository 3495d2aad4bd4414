from __future__ import annotations

from napari_ssl.core.job import Event, EventKind
from napari_ssl.gui.run_progress import RunProgress, duration_text


def feed(*events):
    progress = RunProgress()
    for kind, data in events:
        progress.add(Event(kind=kind, data=data))
    return progress


def step(iteration, loss=1.0, name="Training", **more):
    return EventKind.PROGRESS, {"step": name, "iteration": iteration, "loss": loss, "fraction": 0.5, **more}


STARTED = (EventKind.STARTED, {"attempt": 1, "device": "cpu", "threads": 1})


def test_losses_and_dice_are_points_over_optimiser_steps():
    progress = feed(STARTED, step(10, 2.0), step(20, 1.0, validation_dice={"LV": 0.8, "RV": None}))
    assert progress.losses == [(10, 2.0), (20, 1.0)]
    assert progress.dice == {"LV": [(20, 0.8)]}
    assert any("LV 0.800" in line for line in progress.log)


def test_steps_of_a_strategy_follow_one_another_on_the_axis():
    progress = feed(STARTED, step(100, name="first"), step(10, name="second"), step(50, name="second"))
    assert [x for x, _ in progress.losses] == [100, 110, 150]


def test_a_lost_process_is_counted_and_what_it_told_beyond_the_checkpoint_is_replaced():
    again = (EventKind.STARTED, {"attempt": 2, "device": "cpu", "threads": 1})
    progress = feed(STARTED, step(10, 3.0), step(20, 2.0), step(30, 9.0), again, step(20, 2.0), step(30, 1.0))
    assert progress.lost_processes == 1 and progress.attempt == 2
    assert progress.losses == [(10, 3.0), (20, 2.0), (30, 1.0)]


def test_a_pause_is_no_loss():
    stopped = (EventKind.STOPPED, {"message": "stopped"})
    assert feed(STARTED, step(10), stopped, STARTED).lost_processes == 0


def test_the_end_is_told():
    done = feed(STARTED, step(10, seconds_left=5), (EventKind.RESULT, {"model_id": "r001"}))
    assert done.fraction == 1.0 and done.seconds_left is None and done.result == {"model_id": "r001"}
    failed = feed(STARTED, (EventKind.FAILED, {"message": "disk full", "error": "StorageError", "traceback": "T"}))
    assert failed.failure == "disk full" and failed.log[-1] == "T"
    parked = feed(STARTED, (EventKind.PARKED, {"message": "waits", "case_ids": ["a", "b"]}))
    assert parked.parked_cases == ("a", "b")


def test_an_interruption_is_marked_until_the_next_start():
    notice = (EventKind.NOTICE, {"message": "The process was killed", "interrupted": True})
    assert feed(STARTED, notice).interrupted
    assert not feed(STARTED, notice, STARTED).interrupted


def test_a_null_loss_is_left_out():
    assert feed(STARTED, step(10, None)).losses == []


def test_durations_in_words():
    assert [duration_text(s) for s in (-1, 5.4, 75, 3700)] == ["0 s", "5 s", "1 min 15 s", "1 h 01 min"]


def test_parts_of_a_loss_are_kept_and_cut_back_by_a_resumed_run():
    first = step(10, losses={"Dice": 0.6, "adversarial": 0.1})
    progress = feed(STARTED, first, step(20, losses={"Dice": 0.5, "adversarial": None}), step(15, losses={"Dice": 0.4}))
    assert progress.parts == {"Dice": [(10, 0.6), (15, 0.4)], "adversarial": [(10, 0.1)]}
