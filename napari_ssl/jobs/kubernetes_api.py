"""What `napari_ssl.jobs.kubernetes` asks of a real cluster, through kr8s, which dask-kubernetes brings along."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Any

import kr8s
from kr8s.objects import Pod, Secret, Service, new_class

from napari_ssl.errors import EngineError

__all__ = ["Kr8sApi"]

_START_S = 600.0
_POLL_S = 1.0
_DaskCluster = new_class("DaskCluster", "kubernetes.dask.org/v1")
_CLASSES = {"DaskCluster": _DaskCluster, "Secret": Secret}


class Kr8sApi:
    """See `napari_ssl.jobs.kubernetes.Api`.

    Parameters
    ----------
    namespace : str
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._forwards: list[Any] = []

    def create(self, document: dict[str, Any]) -> None:
        """Make a resource; EngineError in Kubernetes' words."""
        try:
            _CLASSES[document["kind"]](document, namespace=self._namespace).create()
        except Exception as error:  # kr8s and httpx have many; all mean that it was not made
            raise EngineError(f"Kubernetes does not make a {document['kind']}: {error}") from error

    def delete(self, kind: str, name: str) -> None:
        """Remove a resource, if it is there."""
        for forward in self._forwards:
            with suppress(Exception):
                forward.stop()
        self._forwards.clear()
        with suppress(Exception):  # it is gone, or the operator removes it when it has been idle
            _CLASSES[kind].get(name, namespace=self._namespace).delete()

    def forward(self, service: str, port: int) -> int:
        """Forward a free port of this computer's loopback to a service; EngineError when it does not come up."""
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            with suppress(kr8s.NotFoundError, kr8s.ServerError, kr8s.APITimeoutError):
                found = Service.get(service, namespace=self._namespace)
                if found.ready():
                    with socket.socket() as free:
                        free.bind(("127.0.0.1", 0))
                        local = int(free.getsockname()[1])
                    forward = found.portforward(port, local)
                    forward.start()
                    self._forwards.append(forward)
                    return local
            time.sleep(_POLL_S)
        raise EngineError(f"Kubernetes has not started {service} within {_START_S:.0f} s; is Dask's operator running?")

    def why_pending(self, cluster: str) -> str:
        """Return the scheduler's message about the worker's pod."""
        with suppress(Exception):
            labels = {"dask.org/cluster-name": cluster, "dask.org/component": "worker"}
            for pod in kr8s.get("pods", namespace=self._namespace, label_selector=labels):
                if isinstance(pod, Pod):
                    for condition in pod.raw.get("status", {}).get("conditions", []):
                        if condition.get("status") == "False" and condition.get("message"):
                            return str(condition["message"])
        return ""
