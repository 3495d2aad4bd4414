"""A stand-in for Kubernetes with Dask's operator: it starts a DaskCluster's containers as processes here."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["FakeKubernetes"]

_PROGRAMS = {"dask-scheduler": "distributed.cli.dask_scheduler", "dask-worker": "distributed.cli.dask_worker"}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class FakeKubernetes:
    def __init__(self, folder: Path, *, is_full: bool = False) -> None:
        self.folder, self.is_full = folder, is_full
        self.port = _free_port()
        self.documents: dict[tuple[str, str], dict[str, Any]] = {}
        self.processes: list[subprocess.Popen[bytes]] = []

    def create(self, document: dict[str, Any]) -> None:
        self.documents[document["kind"], document["metadata"]["name"]] = document
        if document["kind"] == "Secret":
            self.folder.mkdir(mode=0o700, exist_ok=True)
            for name, text in document["stringData"].items():
                (self.folder / name).write_text(text)
        else:
            for role in ("scheduler", "worker")[: 1 if self.is_full else 2]:
                self._start(role, document["spec"][role]["spec"])

    def _start(self, role: str, pod: dict[str, Any]) -> None:
        (container,) = pod["containers"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        (tls,) = (path for path, name in mounts.items() if name == "tls")
        program, *words = container["args"]
        words = [word.replace(tls, str(self.folder)).replace("$(DASK_WORKER_NAME)", "w") for word in words]
        if role == "scheduler":
            words += ["--port", str(self.port), "--dashboard-address", "127.0.0.1:0"]
        told = {entry["name"]: entry["value"] for entry in container["env"]}
        assert told["DASK_SCHEDULER_ADDRESS"].startswith("tls://")
        told["DASK_SCHEDULER_ADDRESS"] = f"tls://127.0.0.1:{self.port}"
        log = (self.folder / f"{role}.log").open("wb")
        command = [sys.executable, "-m", _PROGRAMS[program], *words]
        self.processes.append(subprocess.Popen(command, env={**os.environ, **told}, stdout=log, stderr=log))

    def delete(self, kind: str, name: str) -> None:
        self.documents.pop((kind, name), None)
        if kind == "DaskCluster":
            for process in self.processes:
                process.kill()
                process.wait()

    def forward(self, service: str, port: int) -> int:
        assert service.endswith("-scheduler") and port == 8786
        return self.port

    def why_pending(self, cluster: str) -> str:
        return "0/3 nodes are available: 3 Insufficient nvidia.com/gpu." if self.is_full else ""
