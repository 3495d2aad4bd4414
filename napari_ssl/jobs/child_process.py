"""Starts the process of a job (`napari_ssl.jobs.child`), here or at a desk elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from napari_ssl.jobs.process import in_own_group, n_threads

__all__ = ["LOG_FILE", "start_process"]

LOG_FILE = "log.txt"


def start_process(
    run_folder: Path, attempt: int, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start the process of an attempt in a group of its own; what it says goes to the run's log.

    Parameters
    ----------
    environment : mapping
        Variables beside those of this process.
    """
    command = [sys.executable, "-m", "napari_ssl.jobs.child", str(run_folder), "--attempt", str(attempt)]
    variables = {**os.environ, "OMP_NUM_THREADS": str(n_threads()), "PYTHONUNBUFFERED": "1", **(environment or {})}
    with open(run_folder / LOG_FILE, "ab") as log:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=variables, **in_own_group())
