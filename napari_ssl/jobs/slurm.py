"""Computers of a SLURM cluster, through dask-jobqueue: scheduler here, worker in a job of SLURM's, mutual TLS between.

::

    engine ── SLURMCluster (scheduler, TLS) ── sbatch ──▶ job: python -m distributed.cli.dask_worker tls://…
                    ▲                                              │ a desk (`cluster_desk`), the job's process
                    └──────────────── TLS ─────────────────────────┘

Certificates are new for each job and lie, for their owner alone, in a folder that all nodes see.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dask
from distributed import Client
from distributed.security import Security

from napari_ssl.core.resources import Resources
from napari_ssl.errors import EngineError, MissingDependencyError
from napari_ssl.jobs.certificates import temporary_security
from napari_ssl.jobs.cluster_settings import Slurm, hours_text
from napari_ssl.jobs.connection import engine_folder
from napari_ssl.jobs.shared_folder import SharedFolder

__all__ = ["SlurmAllocation", "check_slurm", "cluster_arguments", "open_slurm"]

_ASK_QUEUE_S = 10.0
_DEATH_S = 120
"""A worker whose scheduler is gone ends after so many seconds, and its job of SLURM's with it."""


def check_slurm() -> None:
    """Make sure that there is a way to SLURM.

    Raises
    ------
    MissingDependencyError
        dask-jobqueue is not installed.
    EngineError
        This computer has no ``sbatch``.
    """
    if importlib.util.find_spec("dask_jobqueue") is None:
        raise MissingDependencyError(
            "SLURM needs the library dask-jobqueue, which is not installed; "
            "install it with: pip install 'napari-ssl[cluster]'"
        )
    if shutil.which("sbatch") is None:
        raise EngineError(
            "this computer has no sbatch, so jobs cannot be handed to SLURM; run napari-ssl where jobs are submitted "
            "(a login node), or choose another place: napari-ssl engine use here"
        )


def cluster_arguments(place: Slurm, needs: Resources, name: str, folder: Path, security: Security) -> dict[str, Any]:
    """Return arguments of `dask_jobqueue.SLURMCluster` for one job with what it needs.

    Parameters
    ----------
    folder : Path
        Private, of this job alone and seen by all nodes: certificates; what SLURM's jobs say goes beside it.
    """
    gpus = place.gpus if needs.gpus is None else needs.gpus
    memory_mb = needs.memory_mb or 1000 * place.memory_gb
    cores = needs.cores or place.cores
    directives = [f"--gres=gpu:{gpus}"] if gpus else []
    return {
        "queue": place.queue or None,
        "account": place.account or None,
        "cores": cores,
        "processes": 1,
        "memory": f"{memory_mb}MB",
        "walltime": hours_text(needs.hours or place.hours),
        "job_name": f"napari-ssl-{name}",
        "job_extra_directives": [*directives, *place.directives],
        "job_script_prologue": [
            f"export NAPARI_SSL_THREADS={cores}",
            "export DASK_DISTRIBUTED__WORKER__HTTP__ROUTES='[]'",
        ],
        "worker_extra_args": ["--no-dashboard", "--resources", f"GPU={gpus},MEMORY={memory_mb}"],
        "nanny": False,
        "python": place.python or sys.executable,
        "log_directory": str(folder.parent / "logs"),
        "local_directory": None,
        "death_timeout": _DEATH_S,
        "interface": place.interface or None,
        "protocol": "tls://",
        "security": security,
        "shared_temp_directory": str(folder),
        "scheduler_options": {"dashboard": False, "dashboard_address": "127.0.0.1:0", "port": 0},
    }


class SlurmAllocation:
    """One job of SLURM's; see `napari_ssl.jobs.cluster_child.Allocation`."""

    def __init__(self, place: Slurm, needs: Resources, name: str) -> None:
        from dask_jobqueue import SLURMCluster

        base = Path(place.folder).expanduser() if place.folder else engine_folder() / "cluster"
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
        base.chmod(0o700)
        self.folder, self.shared = str(base), SharedFolder(here="/", there="/")
        self._asked_at, self._words = 0.0, "Waits in the queue of SLURM"
        self._private = tempfile.TemporaryDirectory(prefix=".job-", dir=base)  # 0700; all nodes see it
        security = temporary_security()
        with dask.config.set({"distributed.scheduler.http.routes": [], "distributed.scheduler.worker-ttl": None}):
            self._cluster = SLURMCluster(**cluster_arguments(place, needs, name, Path(self._private.name), security))
        try:
            _try_out(self._cluster.job_script(), base / f"{name}.sh")
            self._cluster.adapt(minimum_jobs=1, maximum_jobs=1)  # what SLURM ends before it began is asked for again
            self.client = Client(self._cluster, security=security, set_as_default=False)
        except BaseException:
            self._close_cluster()
            raise

    def describe(self) -> str:
        """Return what squeue says of the job, asked now and then."""
        ids = [str(job.job_id) for job in self._cluster.workers.values() if getattr(job, "job_id", None)]
        if ids and time.monotonic() - self._asked_at > _ASK_QUEUE_S and shutil.which("squeue"):
            self._asked_at = time.monotonic()
            words = _run(["squeue", "-h", "-j", ids[-1], "-o", "%T %r"]).stdout.strip()
            self._words = f"Waits in the queue of SLURM (job {ids[-1]}{': ' + words if words else ''})"
        return self._words

    def close(self) -> None:
        """Have SLURM end the job."""
        self.client.close()
        self._close_cluster()

    def _close_cluster(self) -> None:
        self._cluster.close()
        for name in ("_job_ca_file", "_job_cert", "_job_key"):  # else removed when the garbage is collected
            if (file := getattr(self._cluster, name, None)) is not None:
                file.close()
        self._private.cleanup()


def open_slurm(place: Slurm, needs: Resources, name: str) -> SlurmAllocation:
    """Ask SLURM for a computer.

    Raises
    ------
    EngineError
        SLURM refuses the order: no such partition, more than there is.
    """
    try:
        return SlurmAllocation(place, needs, name)
    except (OSError, RuntimeError, ValueError) as error:
        raise EngineError(
            f"SLURM cannot be asked for a computer ({error}); look at the settings: napari-ssl engine status"
        ) from error


def _try_out(script: str, path: Path) -> None:
    """Have SLURM judge the order before it is queued: what it refuses later is said nowhere."""
    path.write_text(script, encoding="utf-8")
    try:
        told = _run(["sbatch", "--test-only", str(path)])
    finally:
        path.unlink(missing_ok=True)
    if told.returncode != 0:
        raise EngineError(
            f"SLURM refuses the job: {told.stderr.strip() or told.stdout.strip()}; choose partition, account, memory "
            "and GPUs that it has: napari-ssl engine use slurm --help"
        )


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
