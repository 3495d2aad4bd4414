"""The process of an attempt: here, or on the server that was chosen."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from napari_ssl.jobs.place import server_in_use
from napari_ssl.jobs.process import in_own_group, kill_group, n_threads

__all__ = ["LOG_FILE", "Child", "LocalChild", "start_child"]

LOG_FILE = "log.txt"


class Child(Protocol):
    """What a supervisor does with it."""

    @property
    def returncode(self) -> int | None:
        """How it ended, None before."""

    def poll(self) -> int | None:
        """Look whether it has ended, and how."""

    def ask_to_stop(self) -> None:
        """Ask for a checkpoint and an end."""

    def kill(self) -> None:
        """End it, and everything that it started, at once."""

    def close(self) -> None:
        """Let go of it."""


class LocalChild:
    """A process of this computer; parameters as of `start_child`."""

    def __init__(self, run_folder: Path, attempt: int) -> None:
        command = [sys.executable, "-m", "napari_ssl.jobs.child", str(run_folder), "--attempt", str(attempt)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(n_threads()), "PYTHONUNBUFFERED": "1"}
        with open(run_folder / LOG_FILE, "ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, **in_own_group()
            )

    @property
    def returncode(self) -> int | None:
        """How it ended."""
        return self._process.returncode

    def poll(self) -> int | None:
        """Look whether it has ended."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Ask through standard input, which works on every system (SIGTERM does not on Windows)."""
        if self._process.stdin:
            with suppress(OSError):  # it has just ended
                self._process.stdin.write(b"stop\n")
                self._process.stdin.flush()

    def kill(self) -> None:
        """End the whole group."""
        kill_group(self._process)

    def close(self) -> None:
        """Close its standard input."""
        if self._process.stdin:
            with suppress(OSError):
                self._process.stdin.close()


def start_child(run_folder: Path, attempt: int) -> Child:
    """Start the process of a run's attempt where the user has chosen.

    Raises
    ------
    EngineError
        The server cannot be reached.
    """
    server = server_in_use()
    if server is None:
        return LocalChild(run_folder, attempt)
    from napari_ssl.jobs.remote_child import RemoteChild

    return RemoteChild(server, run_folder, attempt)
