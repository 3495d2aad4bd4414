"""What differs between operating systems: priorities, process groups, processes that outlive their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

import psutil

__all__ = ["detached", "in_own_group", "kill_group", "lower_priority", "n_threads", "signal_name"]

_NICENESS = 10  # at 0 a training makes the window's timer 25 ms late, at 10 0.2 ms, for the same training speed


def lower_priority() -> None:
    """Let the window go first; inherited by the threads and processes that are started from here on."""
    if sys.platform == "win32":
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    elif os.getpriority(os.PRIO_PROCESS, 0) < _NICENESS:
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)


def n_threads() -> int:
    """Return the threads that a job computes with, by the rule of `training.device.configure_threads`.

    ``NAPARI_SSL_THREADS`` or ``OMP_NUM_THREADS`` where set, else the physical cores less one: more threads than idle
    cores spin and are slower than one.
    """
    for variable in ("NAPARI_SSL_THREADS", "OMP_NUM_THREADS"):
        chosen = os.environ.get(variable, "")
        if chosen.isdigit() and int(chosen) > 0:
            return int(chosen)
    return max(1, (psutil.cpu_count(logical=False) or 1) - 1)


def in_own_group() -> dict[str, Any]:
    """Return options of `subprocess.Popen` that keep Ctrl-C in a terminal from the child."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def detached() -> dict[str, Any]:
    """Return options of `subprocess.Popen` for a process that outlives this one."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS}
    return {"start_new_session": True}


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End `process` and everything that it started, at once, and wait for its end."""
    if sys.platform == "win32":
        with suppress(psutil.NoSuchProcess):
            for descendant in psutil.Process(process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    descendant.kill()
        process.kill()
    else:
        with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def signal_name(return_code: int) -> str:
    """Return how a lost process ended, for people: ``"signal SIGKILL"`` or ``"exit status 3"``."""
    if return_code < 0:
        with suppress(ValueError):
            return f"signal {signal.Signals(-return_code).name}"
    return f"exit status {return_code}"
