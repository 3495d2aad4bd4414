"""Programs that are compared take turns, each in a process of its own, so that both meet the same machine.

Nothing that one of them sets (threads, allocation, determinism) reaches the other, and each is imported and warmed up
before the first turn that counts.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

__all__ = ["in_turns", "median"]

Prepare = Callable[[Any], Callable[[], None]]
"""Builds what is needed from the arguments, in the process, and returns what one turn does."""


def _cpu_seconds() -> float:
    """Of this process with all its threads, and of the children that have ended (workers of a data loader)."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _serve(prepare: Prepare, arguments: Any, pipe: Connection) -> None:
    try:
        work = prepare(arguments)
        work()
        pipe.send(None)
        while pipe.recv():
            start = _cpu_seconds(), time.perf_counter()
            work()
            pipe.send({"cpu_s": _cpu_seconds() - start[0], "wall_s": time.perf_counter() - start[1]})
    except Exception as error:
        pipe.send(error)
        raise


def in_turns(parts: Mapping[str, Prepare], arguments: Any, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Return CPU and wall seconds of every turn of every part, in order."""
    context = multiprocessing.get_context("spawn")
    pipes, results = {}, {name: [] for name in parts}
    for name, prepare in parts.items():
        pipes[name], theirs = context.Pipe()
        context.Process(target=_serve, args=(prepare, arguments, theirs), daemon=True).start()
        _checked(pipes[name].recv())
    for _ in range(rounds):
        for name, pipe in pipes.items():
            pipe.send(True)
            results[name].append(_checked(pipe.recv()))
    for pipe in pipes.values():
        pipe.send(False)
    return results


def _checked(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


def median(turns: list[dict[str, float]], n: int) -> dict[str, float]:
    """Median milliseconds of a turn for each of `n` things that it did."""
    return {f"{key}_ms": 1000 * float(np.median([t[f"{key}_s"] for t in turns])) / n for key in ("cpu", "wall")}
