"""Computers of a Kubernetes cluster, through Dask's operator (dask-kubernetes), with mutual TLS.

The operator makes a scheduler and one worker from a ``DaskCluster`` (`cluster_spec`). Its own `KubeCluster` talks to
the scheduler without TLS; here certificates go into a Secret that both mount, and the scheduler is reached through a
forwarded port, so that nobody else in the cluster's network gets an answer.
"""

from __future__ import annotations

import importlib.util
import secrets
from typing import Any, Protocol

from distributed import Client
from distributed.security import Security

from napari_ssl.core.resources import Resources
from napari_ssl.errors import EngineError, MissingDependencyError
from napari_ssl.jobs.certificates import temporary_security
from napari_ssl.jobs.cluster_settings import Kubernetes

__all__ = ["Api", "KubernetesAllocation", "check_kubernetes", "cluster_spec", "open_kubernetes", "secret_spec"]

PORT = 8786
_TLS = "/napari-ssl-tls"
_FILES = "/napari-ssl"
_START_S = 300.0


class Api(Protocol):
    """What is asked of Kubernetes."""

    def create(self, document: dict[str, Any]) -> None:
        """Make a resource."""

    def delete(self, kind: str, name: str) -> None:
        """Remove a resource."""

    def forward(self, service: str, port: int) -> int:
        """Return a port of this computer that leads to a service's, once that is there."""

    def why_pending(self, cluster: str) -> str:
        """Return why the worker has not begun."""


def check_kubernetes() -> None:
    """Make sure that dask-kubernetes is there; MissingDependencyError otherwise."""
    if importlib.util.find_spec("dask_kubernetes") is None:
        raise MissingDependencyError(
            "Kubernetes needs the library dask-kubernetes, which is not installed; "
            "install it with: pip install 'napari-ssl[cluster]'"
        )


def secret_spec(name: str, security: Security) -> dict[str, Any]:
    """Return a Secret with the certificates of one job's scheduler and worker."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "Opaque",
        "stringData": {
            "ca.pem": security.tls_ca_file,
            "cert.pem": security.tls_scheduler_cert,
            "key.pem": security.tls_scheduler_key,
        },
    }


def cluster_spec(place: Kubernetes, needs: Resources, name: str) -> dict[str, Any]:
    """Return the ``DaskCluster`` for one job: a scheduler, and a worker with what the job needs.

    The worker's pod ends the job's process when its time is over (``activeDeadlineSeconds`` is not allowed in a
    Deployment, so the worker's ``--lifetime`` does it).
    """
    from dask_kubernetes.operator import make_cluster_spec

    gpus = place.gpus if needs.gpus is None else needs.gpus
    memory_mb, cores = needs.memory_mb or 1000 * place.memory_gb, needs.cores or place.cores
    amounts = {"cpu": str(cores), "memory": f"{memory_mb}M", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    tls = ["--tls-ca-file", f"{_TLS}/ca.pem", "--tls-cert", f"{_TLS}/cert.pem", "--tls-key", f"{_TLS}/key.pem"]
    seconds = round(3600 * (needs.hours or place.hours))
    worker = ["dask-worker", "--protocol", "tls", *tls, "--no-nanny", "--nthreads", "1", "--memory-limit", "0"]
    worker += ["--lifetime", f"{seconds}s", "--resources", f"GPU={gpus} MEMORY={memory_mb}"]
    address = f"tls://{name}-scheduler.{place.namespace}.svc.cluster.local:{PORT}"
    spec = make_cluster_spec(
        name,
        image=place.image,
        n_workers=1,
        env={
            "DASK_SCHEDULER_ADDRESS": address,
            "NAPARI_SSL_THREADS": str(cores),
            "DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES": '["distributed.http.health"]',  # what the operator asks
            "DASK_DISTRIBUTED__WORKER__HTTP__ROUTES": "[]",
        },
        worker_command=worker,
        idle_timeout=3600,  # should this computer be gone: the operator removes what it left
    )
    pods = {role: spec["spec"][role]["spec"] for role in ("worker", "scheduler")}
    pods["scheduler"]["containers"][0]["args"] += ["--protocol", "tls", *tls]
    pods["worker"]["containers"][0]["args"] = [*worker, "--name", "$(DASK_WORKER_NAME)", "--no-dashboard"]
    pods["worker"]["containers"][0]["resources"] = {"limits": amounts, "requests": amounts}
    for pod in pods.values():
        pod["volumes"] = [{"name": "tls", "secret": {"secretName": name, "defaultMode": 0o400}}]
        pod["containers"][0]["volumeMounts"] = [{"name": "tls", "mountPath": _TLS, "readOnly": True}]
    if place.volume:
        claim = {"name": "files", "persistentVolumeClaim": {"claimName": place.volume}}
        pods["worker"]["volumes"].append(claim)
        pods["worker"]["containers"][0]["volumeMounts"].append({"name": "files", "mountPath": _FILES})
    return spec


class KubernetesAllocation:
    """One worker of the operator's; see `napari_ssl.jobs.cluster_child.Allocation`."""

    shared = None

    def __init__(self, place: Kubernetes, needs: Resources, api: Api) -> None:
        self.folder = _FILES if place.volume else "/tmp/napari-ssl"
        self._api, self._name = api, f"napari-ssl-{secrets.token_hex(4)}"
        security = temporary_security()
        try:
            api.create(secret_spec(self._name, security))
            api.create(cluster_spec(place, needs, self._name))
            port = api.forward(f"{self._name}-scheduler", PORT)
            self.client = Client(f"tls://127.0.0.1:{port}", security=security, set_as_default=False, timeout=_START_S)
        except BaseException:
            self._remove()
            raise

    def describe(self) -> str:
        """Return why the worker has not begun."""
        why = self._api.why_pending(self._name)
        return f"Waits for a computer of Kubernetes{': ' + why if why else ''}"

    def _remove(self) -> None:
        self._api.delete("DaskCluster", self._name)
        self._api.delete("Secret", self._name)

    def close(self) -> None:
        """Have the operator remove scheduler and worker."""
        self.client.close()
        self._remove()


def open_kubernetes(place: Kubernetes, needs: Resources, name: str, api: Api | None = None) -> KubernetesAllocation:
    """Ask Kubernetes for a computer; `name` is the job's.

    Raises
    ------
    EngineError
        Kubernetes cannot be reached, refuses, or has no operator.
    """
    try:
        if api is None:
            from napari_ssl.jobs.kubernetes_api import Kr8sApi

            api = Kr8sApi(place.namespace)
        return KubernetesAllocation(place, needs, api)
    except (OSError, RuntimeError, ValueError) as error:
        raise EngineError(
            f"job {name}: Kubernetes cannot be asked for a computer ({error}); is there a kubeconfig, may you create "
            f"DaskClusters in the namespace {place.namespace}, and is Dask's operator installed there?"
        ) from error
