"""What a run has told so far, gathered for the training panel. Free of Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_ssl.core.job import Event, EventKind

__all__ = ["RunProgress", "duration_text", "progress_text"]


def duration_text(seconds: float) -> str:
    """Return a length of time as people say it."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def progress_text(data: Mapping[str, Any]) -> str:
    """Return what a labelling tells: step, cases left out, cases an hour, time left."""
    parts = [_sentence(str(data.get("step", "")))]
    if data.get("n_failed") and "left out" not in parts[0]:
        parts.append(f"{int(data['n_failed']):,} left out")
    if data.get("cases_per_hour"):
        parts.append(f"{float(data['cases_per_hour']):,.0f} cases an hour")
    if data.get("seconds_left") is not None:
        parts.append(f"about {duration_text(data['seconds_left'])} left")
    return " · ".join(parts)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


@dataclass(slots=True)
class RunProgress:
    """The state of a run after its events, in the order that they came.

    Losses, their named parts (a method with several terms tells them) and Dice are lists of points over the optimiser
    steps of the whole run: the steps of a strategy follow one another, and what a killed process had told beyond its
    last checkpoint is replaced when the run is resumed.
    """

    fraction: float = 0.0
    step: str = ""
    seconds_left: float | None = None
    attempt: int = 0
    device: str = ""
    threads: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)
    parts: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    dice: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    lost_processes: int = 0
    interrupted: bool = False
    failure: str = ""
    parked_cases: tuple[str, ...] = ()
    result: dict[str, Any] | None = None
    _bases: dict[str, int] = field(default_factory=dict)
    _last_x: int = 0
    _ended: bool = True

    def add(self, event: Event) -> None:
        """Take in the next event."""
        handler = {
            EventKind.STARTED: self._started,
            EventKind.PROGRESS: self._progress,
            EventKind.CHECKPOINT: self._checkpoint,
            EventKind.NOTICE: self._notice,
            EventKind.PARKED: self._parked,
            EventKind.STOPPED: self._stopped,
            EventKind.RESULT: self._finished,
            EventKind.FAILED: self._failed,
        }[event.kind]
        handler(dict(event.data), event.time.astimezone().strftime("%H:%M:%S"))

    def _started(self, data: dict[str, Any], clock: str) -> None:
        self.attempt = int(data.get("attempt", self.attempt + 1))
        self.device, self.threads = str(data.get("device", "")), int(data.get("threads") or 0)
        self.failure, self.parked_cases, self.interrupted = "", (), False
        if not self._ended:  # the attempt before never said goodbye: its process was lost
            self.lost_processes += 1
            self.log.append(f"{clock}  The process before was lost; resumed from the last checkpoint")
        self._ended = False
        threads = f", {self.threads} thread{'s' if self.threads != 1 else ''}" if self.threads else ""
        place = "this machine" if self.device in ("", "auto") else self.device
        self.log.append(f"{clock}  Started on {place}{threads} (attempt {self.attempt})")

    def _progress(self, data: dict[str, Any], clock: str) -> None:
        self.fraction = float(data.get("fraction", self.fraction) or 0.0)
        self.seconds_left = data.get("seconds_left")
        step = _sentence(str(data.get("step", self.step)))
        if step != self.step:
            self.step = step
            self.log.append(f"{clock}  {step}")
        if data.get("iteration") is None:
            return
        x = self._place(step, int(data["iteration"]))
        if data.get("loss") is not None:
            self.losses.append((x, float(data["loss"])))
        for name, value in (data.get("losses") or {}).items():
            if value is not None:
                self.parts.setdefault(name, []).append((x, float(value)))
        dice = {n: float(v) for n, v in (data.get("validation_dice") or {}).items() if v is not None}
        for name, value in dice.items():
            self.dice.setdefault(name, []).append((x, value))
        if dice:
            values = ", ".join(f"{n} {v:.3f}" for n, v in dice.items())
            self.log.append(f"{clock}  Validation Dice at {data['iteration']} iterations: {values}")

    def _place(self, step: str, iteration: int) -> int:
        base = self._bases.setdefault(step, self._last_x)
        x = base + iteration
        if x < self._last_x:
            self.losses = [p for p in self.losses if p[0] < x]
            self.dice = {n: [p for p in points if p[0] < x] for n, points in self.dice.items()}
            self.parts = {n: [p for p in points if p[0] < x] for n, points in self.parts.items()}
        self._last_x = x
        return x

    def _checkpoint(self, data: dict[str, Any], clock: str) -> None:
        self.log.append(f"{clock}  Checkpoint at {data.get('iteration', '?')} iterations")

    def _notice(self, data: dict[str, Any], clock: str) -> None:
        message = str(data.get("message", ""))
        self.notices.append(message)
        self.interrupted = self.interrupted or bool(data.get("interrupted"))
        self.log.append(f"{clock}  {message}")

    def _parked(self, data: dict[str, Any], clock: str) -> None:
        self._ended = True
        self.parked_cases = tuple(data.get("case_ids", ()))
        self.log.append(f"{clock}  {data.get('message') or 'Waits for review'}")

    def _stopped(self, data: dict[str, Any], clock: str) -> None:
        self._ended = True
        self.seconds_left = None
        self.log.append(f"{clock}  {data.get('message') or 'Stopped with a checkpoint'}")

    def _finished(self, data: dict[str, Any], clock: str) -> None:
        self._ended = True
        self.fraction, self.seconds_left, self.result = 1.0, None, data
        self.log.append(f"{clock}  Finished")

    def _failed(self, data: dict[str, Any], clock: str) -> None:
        self._ended = True
        self.seconds_left = None
        self.failure = str(data.get("message") or data.get("error") or "unknown error")
        self.log.append(f"{clock}  Failed: {self.failure}")
        if data.get("traceback"):
            self.log.append(str(data["traceback"]).rstrip())
