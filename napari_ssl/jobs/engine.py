"""The background engine: ``python -m napari_ssl.jobs.engine``, one process per user, started when a job needs it.

A scheduler of dask.distributed and one worker, which carries out one job at a time and is replaced when it dies; jobs
whose processes run elsewhere it watches `AWAY` at a time. The worker announces what this computer has (``HERE`` places,
``GPU``, ``MEMORY`` in MB), and a job takes what it needs of that. Both
listen on 127.0.0.1 alone and talk mutual TLS with certificates made at the start; there is no dashboard, and the HTTP
servers that distributed opens have no routes. The engine outlives windows and ends when it has been idle for
`IDLE_S` seconds. When it is killed, its worker ends with it, and the job's process within `child.ORPHAN_GRACE_S`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import dask
from distributed import Nanny, Scheduler, SpecCluster
from distributed.security import Security
from filelock import Timeout

from napari_ssl.jobs.certificates import temporary_security
from napari_ssl.jobs.connection import (
    AWAY,
    Credentials,
    engine_folder,
    engine_lock,
    withdraw_credentials,
    write_credentials,
)
from napari_ssl.jobs.offers import Offer, offer_here
from napari_ssl.jobs.process import n_threads

__all__ = ["IDLE_S", "IDLE_VARIABLE", "main", "serve"]

IDLE_S = 600.0
IDLE_VARIABLE = "NAPARI_SSL_ENGINE_IDLE_S"
_HOST = "127.0.0.1"
_LOCK_WAIT_S = 2.0
_POLL_S = 0.25

_log = logging.getLogger(__name__)


def _configuration(folder: Path) -> dict[str, Any]:
    return {
        "temporary-directory": str(folder / "scratch"),
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.scheduler.allowed-failures": 3,
        "distributed.scheduler.worker-ttl": None,
        # Idle, the engine shall cost nothing: it is not watched by its own profiler and clock many times a second.
        "distributed.admin.tick.interval": "1s",
        "distributed.admin.system-monitor.interval": "10s",
        "distributed.worker.profile.enabled": False,
        "distributed.nanny.pre-spawn-environ.OMP_NUM_THREADS": n_threads(),
    }


def _cluster(security: Security, offer: Offer) -> SpecCluster:
    """One scheduler and one worker with one place: trainings and predictions of a desktop run one after another."""
    common = {"host": _HOST, "protocol": "tls://", "security": security, "dashboard": False}
    scheduler = {**common, "port": 0, "dashboard_address": f"{_HOST}:0"}
    worker = {
        **common,
        "nthreads": offer.slots + AWAY,
        "resources": {**offer.dask_resources, "AWAY": AWAY},
        "memory_limit": 0,
    }
    return SpecCluster(
        scheduler={"cls": Scheduler, "options": scheduler},
        workers={0: {"cls": Nanny, "options": worker}},
        security=security,
        asynchronous=True,
        silence_logs=False,
        name="napari-ssl",
    )


async def serve(folder: Path, *, idle_s: float) -> None:
    """Run the engine until it has had nothing to do for `idle_s` seconds, or is asked to end."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _signal, _frame: stop.set())
    security, offer = temporary_security(), offer_here()
    with dask.config.set(_configuration(folder)):
        async with _cluster(security, offer) as cluster:
            write_credentials(
                folder,
                Credentials(
                    address=cluster.scheduler_address,
                    pid=os.getpid(),
                    ca_cert=security.tls_ca_file,
                    client_cert=security.tls_client_cert,
                    client_key=security.tls_client_key,
                    offer=offer.to_dict(),
                ),
            )
            _log.info("ready at %s", cluster.scheduler_address)
            try:
                await _until_idle(cluster.scheduler, stop, idle_s)
            finally:
                withdraw_credentials(folder)


async def _until_idle(scheduler: Scheduler, stop: asyncio.Event, idle_s: float) -> None:
    idle_since = time.monotonic()
    while not stop.is_set() and time.monotonic() - idle_since < idle_s:
        if scheduler.tasks:
            idle_since = time.monotonic()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _POLL_S)
    _log.info("ending: %s", "asked to" if stop.is_set() else f"idle for {idle_s:.0f} s")


def main() -> int:
    """Run the user's engine; leave it to the one that is there when there is one."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    folder = engine_folder()
    try:
        with engine_lock(folder).acquire(timeout=_LOCK_WAIT_S):
            withdraw_credentials(folder)
            asyncio.run(serve(folder, idle_s=float(os.environ.get(IDLE_VARIABLE, IDLE_S))))
    except Timeout:
        _log.info("another engine is running")
    return 0


if __name__ == "__main__":
    sys.exit(main())
