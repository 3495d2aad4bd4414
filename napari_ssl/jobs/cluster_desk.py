"""A desk (`napari_ssl.jobs.desk`) in a worker of a cluster, and requests to it through the cluster's scheduler.

The worker imports this module, so napari-ssl of the same version must be installed there.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from distributed import Client, Worker

from napari_ssl.errors import EngineError, NapariSslError
from napari_ssl.jobs.desk import Desk
from napari_ssl.jobs.offers import offer_here

__all__ = ["ClusterConnection", "answer"]

_lock = threading.Lock()


async def answer(handler: str, arguments: dict[str, Any], folder: str, dask_worker: Worker) -> Any:
    """Answer a request at the worker's desk, which is made with the first one."""
    with _lock:
        desk = getattr(dask_worker, "napari_ssl_desk", None)
        if desk is None:
            path = Path(folder).expanduser()
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            desk = dask_worker.napari_ssl_desk = Desk(path, offer_here())
    return await desk.handlers[handler](**arguments)


class ClusterConnection:
    """Requests to the desk of one worker.

    Parameters
    ----------
    client : Client
    worker : str
        Its address.
    folder : str
        Where the desk keeps its files, as the worker names it.
    """

    def __init__(self, client: Client, worker: str, folder: str) -> None:
        self._client, self._worker, self._folder = client, worker, folder

    def __call__(self, handler: str, **arguments: Any) -> Any:
        """Return the answer; what the desk refused is raised here, EngineError where the worker is gone."""
        try:
            if self._worker not in self._client.scheduler_info(n_workers=-1)["workers"]:  # else asked for half a minute
                raise EngineError(f"the cluster's worker {self._worker} has ended")
            answers = self._client.run(answer, handler, arguments, self._folder, workers=[self._worker])
            return answers[self._worker]
        except NapariSslError:
            raise
        except (OSError, TimeoutError, KeyError, RuntimeError, ValueError) as error:
            raise EngineError(f"the cluster's worker {self._worker} does not answer ({error})") from error

    def close(self) -> None:
        """Nothing is open beside the cluster's own client."""
