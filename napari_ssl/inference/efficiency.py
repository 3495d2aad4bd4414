"""What a prediction costs, measured as in the FLARE challenge: time, memory, and the areas under their curves.

FLARE 2022 ranks by seconds a case, the area under the curve of GPU memory over time and that of CPU utilisation over
time, and tolerates 2 GB of GPU memory. A thread reads both at a fixed interval while a case is under way; areas are
trapezoids between the readings.
"""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import psutil
import torch

from napari_ssl.errors import SpecError

__all__ = ["Efficiency", "Meter", "Reading", "area", "efficiency_of", "hold_to_limit", "summarise_efficiency"]

_MB = 1024 * 1024
_SHORTEST_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One moment of a run.

    Parameters
    ----------
    seconds : float
        Since any fixed moment.
    cpu_percent : float
        Share of all the machine's logical cores that this process used since the reading before.
    gpu_mb, rss_mb : float
        Memory that torch holds on the GPU, resident memory of the process; MB of 2²⁰ bytes.
    """

    seconds: float
    cpu_percent: float
    gpu_mb: float
    rss_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """What one case cost. The areas are in MB·s and %·s, where 100 % are all logical cores."""

    seconds: float
    peak_gpu_mb: float
    gpu_memory_area_mb_s: float
    cpu_area_percent_s: float
    max_cpu_percent: float
    peak_rss_mb: float
    n_readings: int

    def to_dict(self) -> dict[str, float]:
        """Return plain JSON, rounded to what was measured."""
        return {name: round(float(getattr(self, name)), 3) for name in self.__dataclass_fields__}


def area(seconds: Sequence[float], values: Sequence[float]) -> float:
    """Area under a curve by trapezoids; 0 for fewer than two points."""
    pairs = zip(seconds, seconds[1:], values, values[1:], strict=False)
    return sum((later - earlier) * (before + after) / 2 for earlier, later, before, after in pairs)


def efficiency_of(readings: Sequence[Reading], *, peak_gpu_mb: float = 0.0) -> Efficiency:
    """Sum up the readings of a case, first and last at its ends.

    The CPU's curve is a staircase, each reading the mean since the one before, so its area is their exact sum.
    `peak_gpu_mb` is the allocator's own peak, which readings may miss.
    """
    seconds = [r.seconds for r in readings]
    steps = [b - a for a, b in itertools.pairwise(seconds)]
    shares = [r.cpu_percent for r in readings[1:]]
    return Efficiency(
        seconds=seconds[-1] - seconds[0],
        peak_gpu_mb=max([peak_gpu_mb, *(r.gpu_mb for r in readings)]),
        gpu_memory_area_mb_s=area(seconds, [r.gpu_mb for r in readings]),
        cpu_area_percent_s=sum(step * share for step, share in zip(steps, shares, strict=True)),
        max_cpu_percent=max(_steady(steps, shares), default=0.0),
        peak_rss_mb=max(r.rss_mb for r in readings),
        n_readings=len(readings),
    )


def _steady(steps: Sequence[float], shares: Sequence[float]) -> list[float]:
    """Shares over steps that are long against the 10 ms that an operating system counts in; all if none is."""
    long = [share for step, share in zip(steps, shares, strict=True) if step >= _SHORTEST_S]
    return [min(100.0, share) for share in long or shares]


def summarise_efficiency(cases: Iterable[Mapping[str, float]]) -> dict[str, Any]:
    """Mean over cases of what adds up, highest of what does not; ``n`` cases. Empty where there is none."""
    cases = list(cases)
    if not cases:
        return {}
    means = ("seconds", "gpu_memory_area_mb_s", "cpu_area_percent_s")
    highest = ("peak_gpu_mb", "max_cpu_percent", "peak_rss_mb")
    return {
        "n": len(cases),
        **{f"mean_{name}": round(statistics.fmean(c[name] for c in cases), 3) for name in means},
        "max_seconds": max(c["seconds"] for c in cases),
        **{name: max(c[name] for c in cases) for name in highest},
    }


def hold_to_limit(device: torch.device, limit_mb: int) -> None:
    """Let torch take no more than `limit_mb` of a GPU's memory; the driver's own share is not counted. 0: all of it.

    On a CPU nothing can be held back beforehand: a `Meter` tells when the limit was passed, and batches are halved.

    Raises
    ------
    SpecError
        The GPU has less, or the program alone takes more of the CPU's memory.
    """
    if device.type != "cuda":
        own_mb = psutil.Process().memory_info().rss / _MB
        if limit_mb and own_mb >= limit_mb:
            raise SpecError(
                f"the program itself takes {own_mb:.0f} MB before the first image, the limit is {limit_mb} MB; raise "
                "--memory-limit"
            )
        return
    total_mb = torch.cuda.get_device_properties(device).total_memory / _MB
    if limit_mb > total_mb:
        raise SpecError(f"the memory limit of {limit_mb} MB is more than the {total_mb:.0f} MB that {device} has")
    torch.cuda.set_per_process_memory_fraction(limit_mb / total_mb if limit_mb else 1.0, device)


class _Probe:
    """Reads this process's use of the machine."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._process = psutil.Process()
        self._n_cores = psutil.cpu_count() or 1
        self._last = self._times()

    def _times(self) -> tuple[float, float]:
        used = self._process.cpu_times()
        return time.monotonic(), used.user + used.system

    def __call__(self) -> Reading:
        now, used = self._times()
        before, used_before = self._last
        self._last = (now, used)
        elapsed = now - before
        share = 100 * (used - used_before) / elapsed / self._n_cores if elapsed > 0 else 0.0
        is_gpu = self._device.type == "cuda"
        return Reading(
            seconds=now,
            cpu_percent=share,
            gpu_mb=torch.cuda.memory_reserved(self._device) / _MB if is_gpu else 0.0,
            rss_mb=self._process.memory_info().rss / _MB,
        )


class Meter:
    """Measures what happens inside a ``with`` block; `efficiency` is there afterwards.

    Parameters
    ----------
    device : torch.device
    limit_mb : int
        Resident memory that a run on the CPU may take, 0 for all; see `passed_limit`.
    interval_s : float
        Time between readings; FLARE reads ten times a second.
    probe : callable, optional
        Gives the readings; by default the running process's.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        limit_mb: int = 0,
        interval_s: float = 0.1,
        probe: Callable[[], Reading] | None = None,
    ) -> None:
        self.limit_mb = limit_mb
        self.efficiency: Efficiency | None = None
        self._device, self._interval_s = device, interval_s
        self._probe = probe or _Probe(device)
        self._readings: list[Reading] = []
        self._highest_mb = 0.0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="efficiency", daemon=True)

    def __enter__(self) -> Meter:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        self._read()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._read()
        peak = torch.cuda.max_memory_reserved(self._device) / _MB if self._device.type == "cuda" else 0.0
        self.efficiency = efficiency_of(self._readings, peak_gpu_mb=peak)

    def _watch(self) -> None:
        while not self._ended.wait(self._interval_s):
            self._read()

    def _read(self) -> None:
        with self._lock:
            reading = self._probe()
            self._readings.append(reading)
            self._highest_mb = max(self._highest_mb, reading.rss_mb)

    def passed_limit(self) -> float | None:
        """Return the highest resident memory in MB that was read since the last call, if above the limit, else None.

        On a GPU the limit is the allocator's (`hold_to_limit`), and the answer is None.
        """
        if not self.limit_mb or self._device.type == "cuda":
            return None
        with self._lock:
            highest, self._highest_mb = self._highest_mb, 0.0
        return highest if highest > self.limit_mb else None
