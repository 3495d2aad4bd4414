"""A background job and the events that it tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

__all__ = ["EVENT_VERSION", "Emit", "Event", "EventKind", "Job", "JobKind", "JobState", "ShouldStop"]

EVENT_VERSION = 1


class JobKind(StrEnum):
    """The registered kinds of job; nothing else can be submitted."""

    TRAIN = "train"
    PREDICT = "predict"
    COHORT = "cohort"
    EVALUATE = "evaluate"
    QC_TRAIN = "qc-train"
    QC_SCORE = "qc-score"


class JobState(StrEnum):
    """``queued → running → done``, with ways out::

    queued ──▶ running ──▶ done
       │          ├──▶ failed            (an error, told in words; can be resubmitted)
       │          ├──▶ interrupted       (the process or machine was lost; resumed from the checkpoint)
       │          ├──▶ paused            (stopped with a checkpoint; waits for "resume")
       │          ├──▶ parked            (waits for a clinician's decisions)
       └──────────┴──▶ cancelled         (stopped for good, checkpoint kept)
    """

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    PARKED = "parked"
    INTERRUPTED = "interrupted"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Nothing more will come of the job unless a person asks."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as the study records it. `folder` is relative to the study: ``runs/<id>``."""

    id: str
    kind: JobKind
    state: JobState
    folder: str
    progress: float = 0.0
    attempts: int = 0
    message: str = ""
    created_at: datetime
    updated_at: datetime


class EventKind(StrEnum):
    """What a job tells."""

    STARTED = "started"
    PROGRESS = "progress"
    CHECKPOINT = "checkpoint"
    NOTICE = "notice"
    PARKED = "parked"
    STOPPED = "stopped"
    RESULT = "result"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of ``events.jsonl``.

    `data` by kind (plain JSON):

    - started: ``attempt, device, threads, host, pid``
    - progress: ``fraction`` (0 to 1, whole job), ``step`` (what it is doing, for people), ``epoch, epochs, iteration,
      iterations, loss, learning_rate, seconds_left``, and after a validation ``validation_dice`` {structure: Dice}
      and ``validation_loss``; keys that do not apply are absent
    - checkpoint: ``iteration, path``; of a cohort ``iteration, n_in_study``
    - notice: ``message`` (something the user should know, e.g. a smaller batch after running out of memory)
    - parked: ``message, case_ids``
    - stopped: ``message`` (ended on request with a checkpoint)
    - result: the result document of the job's kind
    - failed: ``message, error`` (class name), ``traceback``
    """

    kind: EventKind
    data: Mapping[str, Any] = field(default_factory=dict)
    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"v": EVENT_VERSION, "kind": self.kind.value, "time": self.time.isoformat(), "data": dict(self.data)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Event:
        """Build from `to_dict`'s output; ValueError when it is malformed or of another version."""
        if document.get("v") != EVENT_VERSION:
            raise ValueError(f"event of version {document.get('v')!r}, expected {EVENT_VERSION}")
        try:
            return cls(
                kind=EventKind(document["kind"]),
                time=datetime.fromisoformat(document["time"]),
                data=dict(document["data"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"malformed event: {error}") from error


Emit = Callable[[Event], None]
ShouldStop = Callable[[], bool]
