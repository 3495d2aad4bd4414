"""What a computer does for clients elsewhere: keeps what they send, runs jobs' processes, gives back what these made.

The same desk stands in a server of ``napari-ssl engine serve`` (`napari_ssl.jobs.server`) and in a worker of a cluster
(`napari_ssl.jobs.cluster_desk`).

::

    folder/                    0700
      store/<SHA-256>          what clients sent
      runs/<job>/              the run folder of a job, as on a client; goes on from its checkpoints
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

from napari_ssl.core.resources import Resources, resources_from_dict
from napari_ssl.errors import JobError, StorageError
from napari_ssl.io.documents import write_document
from napari_ssl.jobs.child_process import start_process
from napari_ssl.jobs.events import EVENTS_FILE
from napari_ssl.jobs.offers import Offer, gpu_names
from napari_ssl.jobs.parcels import PIECE, Store, digest_of, files_of, unpack
from napari_ssl.jobs.process import kill_group
from napari_ssl.jobs.shared_folder import fingerprint
from napari_ssl.study.storage import inside

__all__ = ["Desk"]

_JOB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,120}")


class Desk:
    """Answers requests; each is short.

    Parameters
    ----------
    folder : Path
    offer : Offer
        What there is for jobs; those for which nothing is left wait.
    """

    def __init__(self, folder: Path, offer: Offer) -> None:
        self._runs = folder / "runs"
        self._runs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._store = Store(folder / "store")
        self._offer = offer
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._attempts: dict[str, int] = {}
        self._taken: dict[str, tuple[Resources, tuple[str, ...]]] = {}

    @property
    def handlers(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        """Name of a request → what answers it."""
        return {
            "offer": self.offer,
            "prints": self.prints,
            "missing": self.missing,
            "put": self.put,
            "start": self.start_job,
            "look": self.look,
            "stop": self.stop_job,
            "made": self.made,
            "get": self.get,
            "deliver": self.deliver,
        }

    def _run_folder(self, job: str) -> Path:
        if not _JOB_ID.fullmatch(job):
            raise JobError(f"{job!r} is no name of a job")
        return self._runs / job

    async def offer(self) -> dict[str, int]:
        """Return what there is for jobs, and how many run."""
        return {**self._offer.to_dict(), "running": len(self._alive())}

    async def prints(self, paths: list[str]) -> list[str | None]:
        """Return the fingerprints of files as this computer sees them, None where there is none."""
        return await asyncio.to_thread(lambda: [fingerprint(Path(path)) for path in paths])

    async def missing(self, digests: list[str]) -> list[str]:
        """Return the digests that the store lacks."""
        return [digest for digest in digests if not self._store.has(digest)]

    async def put(self, digest: str, offset: int, data: bytes, is_last: bool) -> None:
        """Take a piece of a file."""
        await asyncio.to_thread(self._store.put, digest, offset, bytes(data), is_last=is_last)

    async def start_job(
        self, job: str, attempt: int, documents: str, resources: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Start a job's process unless it runs; return which attempt is ``running``, or ``waiting`` for a place.

        `documents` is JSON: file name → document, with parcels in the place of paths.
        """
        folder = self._run_folder(job)
        if job in self._alive():
            return {"state": "running", "attempt": self._attempts[job]}
        needs = resources_from_dict(resources)
        gpus = self._room_for(needs)
        if gpus is None:
            return {"state": "waiting", "attempt": attempt}
        folder.mkdir(exist_ok=True, mode=0o700)
        for name, document in json.loads(documents).items():
            write_document(inside(folder, name), unpack(document, self._store))
        self._forget_end(folder)
        self._taken[job] = (needs, gpus)
        environment = {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus or needs.gpus == 0 else {}
        self._children[job], self._attempts[job] = start_process(folder, attempt, environment), attempt
        return {"state": "running", "attempt": attempt}

    def _alive(self) -> list[str]:
        return [name for name, child in self._children.items() if child.poll() is None]

    def _room_for(self, needs: Resources) -> tuple[str, ...] | None:
        """Return the GPUs that a job gets, None where it has to wait."""
        alive = self._alive()
        taken = [self._taken[job] for job in alive]
        memory_mb = needs.memory_mb + sum(n.memory_mb for n, _ in taken)
        cores = needs.cores + sum(n.cores for n, _ in taken)
        free = [name for name in gpu_names() if not any(name in gpus for _, gpus in taken)]
        n_free = self._offer.gpus - sum(n.gpus or 0 for n, _ in taken)
        n_gpus = needs.gpus or 0
        if len(alive) >= self._offer.slots or n_gpus > n_free:
            return None
        if memory_mb > self._offer.memory_mb or cores > self._offer.cores:
            return None
        return tuple(free[:n_gpus])

    @staticmethod
    def _forget_end(folder: Path) -> None:
        """A new attempt tells its own story: the client has what the attempts before told."""
        (folder / EVENTS_FILE).unlink(missing_ok=True)
        (folder / "parked.json").unlink(missing_ok=True)

    async def look(self, job: str, offset: int) -> dict[str, Any]:
        """Return the events from a byte on, whether the process runs, how it ended, and the end of its log."""
        folder, child = self._run_folder(job), self._children.get(job)
        code = child.poll() if child is not None else -9  # before the events are read: none comes afterwards
        events = b""
        if (folder / EVENTS_FILE).is_file():
            with (folder / EVENTS_FILE).open("rb") as file:
                file.seek(offset)
                events = file.read(PIECE)
        log = folder / "log.txt"
        words = log.read_bytes()[-4000:].decode("utf-8", "replace") if log.is_file() else ""
        return {"events": events, "code": code, "log": words, "folder": str(folder)}

    async def stop_job(self, job: str, force: bool) -> None:
        """Ask for a checkpoint and an end; with `force` end the process at once."""
        child = self._children.get(job)
        if child is None or child.poll() is not None:
            return
        if force:
            await asyncio.to_thread(kill_group, child)
        elif child.stdin is not None:
            child.stdin.write(b"stop\n")
            child.stdin.flush()

    async def made(self, job: str) -> list[tuple[str, int, str]]:
        """Return what the run has made: name, bytes, SHA-256."""
        folder = self._run_folder(job)
        found = await asyncio.to_thread(lambda: [(n, p.stat().st_size, digest_of(p)) for n, p in files_of(folder)])
        return found

    async def get(self, job: str, name: str, offset: int) -> bytes:
        """Return a piece of a file of a run."""
        path = inside(self._run_folder(job), name)
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(PIECE)

    async def deliver(self, job: str, name: str, path: str) -> None:
        """Copy a file of a run into a folder that the client shares, under a name that nothing has there.

        Raises
        ------
        StorageError
            It cannot be written.
        """
        source, target = inside(self._run_folder(job), name), Path(path)
        if not target.is_absolute() or ".." in PurePath(path).parts or not target.name.startswith(".incoming-"):
            raise StorageError(f"{path!r} is no place in a shared folder; nothing was delivered")
        try:
            await asyncio.to_thread(_copy_new, source, target)
        except OSError as error:
            raise StorageError(f"{path}: cannot be written at the server ({error.strerror})") from error

    def stop_all(self) -> None:
        """Let every process end with a checkpoint."""
        for child in self._children.values():
            if child.poll() is None and child.stdin is not None:
                child.stdin.close()  # the end of its standard input: it stops


def _copy_new(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("xb") as written:
        shutil.copyfileobj(read, written, PIECE)
        written.flush()
        os.fsync(written.fileno())
