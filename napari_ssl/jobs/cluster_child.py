"""A job's process on a cluster: a computer is asked for with what the job needs, and given back when it ends.

One attempt is one job of the cluster's own queue. A thread asks for it, since that takes from seconds to days.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from distributed import Client

from napari_ssl.core.resources import Resources
from napari_ssl.errors import NapariSslError
from napari_ssl.jobs.cluster_desk import ClusterConnection
from napari_ssl.jobs.cluster_settings import Kubernetes, Slurm
from napari_ssl.jobs.remote_child import RemoteChild
from napari_ssl.jobs.shared_folder import SharedFolder

__all__ = ["Allocation", "ClusterChild", "start_on_cluster"]

_LOOK_S = 0.5
_CLOSE_S = 30.0


class Allocation(Protocol):
    """A computer of a cluster that was asked for."""

    client: Client
    folder: str
    shared: SharedFolder | None

    def describe(self) -> str:
        """Return where it stands in the queue, in words."""

    def close(self) -> None:
        """Give it back."""


class ClusterChild:
    """One attempt of a job on a cluster.

    Parameters
    ----------
    open_allocation : callable
        Asks for a computer; called in a thread.
    run_folder : Path
    attempt : int
    needs : Resources
    """

    def __init__(
        self, open_allocation: Callable[[], Allocation], run_folder: Path, attempt: int, needs: Resources
    ) -> None:
        self._open_allocation, self._run = open_allocation, (run_folder, attempt, needs)
        self._returncode: int | None = None
        self._waiting_for = "Asks for a computer"
        self._closing = threading.Event()
        self._child: RemoteChild | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="napari-ssl cluster", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        """Hold the allocation for as long as the attempt lasts."""
        try:
            allocation = self._open_allocation()
            try:
                if worker := self._worker_of(allocation):
                    run_folder, attempt, needs = self._run
                    ask = ClusterConnection(allocation.client, worker, allocation.folder)
                    self._child = RemoteChild(ask, run_folder, attempt, needs=needs, shared=allocation.shared)
                    self._closing.wait()
            finally:
                allocation.close()
        except Exception as error:  # the border of the thread: `poll` raises it
            self._error = error

    def _worker_of(self, allocation: Allocation) -> str:
        """Return the address of the worker when the queue has given one, an empty text when nobody waits any more."""
        while not self._closing.wait(_LOOK_S):
            workers = allocation.client.scheduler_info(n_workers=-1)["workers"]
            if workers:
                return str(next(iter(workers)))
            self._waiting_for = allocation.describe()
        return ""

    @property
    def returncode(self) -> int | None:
        """How it ended."""
        return self._child.returncode if self._child is not None and self._returncode is None else self._returncode

    @property
    def waiting_for(self) -> str:
        """Where it stands in the queue."""
        return self._waiting_for if self._child is None else self._child.waiting_for

    def poll(self) -> int | None:
        """Look whether it has ended; raises what asking for a computer raised."""
        if self._error is not None and self._returncode is None:
            raise self._error
        return self.returncode if self._child is None else self._child.poll()

    def ask_to_stop(self) -> None:
        """Ask for a checkpoint and an end; one that waits in the queue ends at once."""
        if self._child is None:
            self._returncode = 0
        else:
            self._child.ask_to_stop()

    def kill(self) -> None:
        """End it at once."""
        if self._child is not None:
            self._child.kill()
        elif self._returncode is None:
            self._returncode = -9

    def close(self) -> None:
        """Give the computer back."""
        self._closing.set()
        self._thread.join(_CLOSE_S)
        if self._child is not None:
            with suppress(NapariSslError):
                self._child.close()


def start_on_cluster(place: Slurm | Kubernetes, run_folder: Path, attempt: int, needs: Resources) -> ClusterChild:
    """Start an attempt on a cluster.

    Raises
    ------
    MissingDependencyError, EngineError
        The library or the programs that reach the cluster are not there.
    """
    if isinstance(place, Slurm):
        from napari_ssl.jobs.slurm import check_slurm, open_slurm

        check_slurm()
        return ClusterChild(lambda: open_slurm(place, needs, run_folder.name), run_folder, attempt, needs)
    from napari_ssl.jobs.kubernetes import check_kubernetes, open_kubernetes

    check_kubernetes()
    return ClusterChild(lambda: open_kubernetes(place, needs, run_folder.name), run_folder, attempt, needs)
