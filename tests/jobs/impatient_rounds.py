"""The real programs of jobs, with a checkpoint a few times a second, so that short trainings have some."""

from __future__ import annotations

from napari_ssl import rounds
from napari_ssl.rounds import ParkedForReview, StoppedByRequest, adopt, adopt_parked, hand_in_decisions

__all__ = ["ParkedForReview", "StoppedByRequest", "adopt", "adopt_parked", "execute", "hand_in_decisions"]


def execute(spec, run_folder, emit, should_stop):
    from napari_ssl.training import trainer

    trainer.CHECKPOINT_SECONDS = 0.2
    return rounds.execute(spec, run_folder, emit, should_stop)
