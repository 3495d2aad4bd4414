"""A job's process at a desk elsewhere, with the face of a local one: `napari_ssl.jobs.supervise` sees no difference.

What the order names is sent first (by content, once), unless it lies in a folder that both computers see. Then the
process's events are copied into the local run folder as they come, and when it has ended its files follow, checked by
hash, before the last events: whoever reads that the job is done finds everything there.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from napari_ssl.core.resources import Resources
from napari_ssl.errors import EngineError, NapariSslError, StorageError
from napari_ssl.io.atomic import write_bytes
from napari_ssl.io.documents import read_document
from napari_ssl.jobs.events import EVENTS_FILE
from napari_ssl.jobs.parcels import PIECE, digest_of, pack, paths_of
from napari_ssl.jobs.shared_folder import SharedFolder, fingerprint
from napari_ssl.study.storage import inside, make_folder

__all__ = ["Ask", "RemoteChild"]

_UNREACHABLE_S = 60.0
_LOST = -9
_POLL_S = 0.3
_DOCUMENTS = ("spec.json", "decisions.json")
_TRIES = 3


class Ask(Protocol):
    """Requests to a desk (`napari_ssl.jobs.desk.Desk.handlers`)."""

    def __call__(self, handler: str, **arguments: Any) -> Any:
        """Return the answer; EngineError where none comes."""

    def close(self) -> None:
        """Hang up."""


class RemoteChild:
    """One attempt of a job at a desk.

    Parameters
    ----------
    ask : Ask
    run_folder : Path
        Of the job, at this computer; its name is the job's.
    attempt : int
    needs : Resources
    shared : SharedFolder, optional
    where : str
        Name of the place, for people and to know it again.
    on_close : callable
        Called once, when it is let go of.
    """

    def __init__(
        self,
        ask: Ask,
        run_folder: Path,
        attempt: int,
        *,
        needs: Resources | None = None,
        shared: SharedFolder | None = None,
        where: str = "",
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder, self._attempt = run_folder, attempt
        self._ask, self._needs, self._shared, self._where = ask, needs or Resources(), shared, where
        self.job, self._on_close = run_folder.name, on_close
        self.returncode: int | None = None
        self._offset = 0
        self._mark = run_folder / ".remote"
        self._state = ""
        self._looked_at = 0.0
        self._reached_at = time.monotonic()
        self._documents = self._send()

    @property
    def waiting_for(self) -> str:
        """What it waits for, in words; empty when it waits for nothing."""
        return f"Waits for a place {self._where}".rstrip() if self._state == "waiting" else ""

    # -- there ---------------------------------------------------------------------------------------------------

    def _send(self) -> str:
        """Send what the desk lacks; return the order with parcels in the place of paths."""
        documents = {
            name: document for name in _DOCUMENTS if (document := read_document(self._folder / name)) is not None
        }
        packed, files = pack(documents, self._seen(paths_of(documents)))
        for digest in self._ask("missing", digests=sorted(files)):
            self._send_file(digest, files[digest])
        return json.dumps(packed)

    def _seen(self, paths: list[Path]) -> dict[Path, str]:
        """Return the files that the desk sees by itself, with their paths there."""
        if self._shared is None:
            return {}
        there = {path: name for path in paths if (name := self._shared.there_of(path)) is not None}
        prints = self._ask("prints", paths=list(there.values()))
        return {path: there[path] for path, its in zip(there, prints, strict=True) if its and its == fingerprint(path)}

    def _send_file(self, digest: str, path: Path) -> None:
        size = path.stat().st_size
        with path.open("rb") as file:
            for offset in range(0, max(1, size), PIECE):
                data = file.read(PIECE)
                self._ask("put", digest=digest, offset=offset, data=data, is_last=offset + PIECE >= size)

    # -- while it runs -------------------------------------------------------------------------------------------

    def poll(self) -> int | None:
        """Copy what is new; return how the process ended, None while it runs or waits."""
        if self.returncode is not None or time.monotonic() - self._looked_at < _POLL_S:
            return self.returncode
        self._looked_at = time.monotonic()
        try:
            if self._state != "running":
                self._begin()
                return None
            self._take(self._ask("look", job=self.job, offset=self._offset))
            self._reached_at = time.monotonic()
        except EngineError:
            if time.monotonic() - self._reached_at > _UNREACHABLE_S:
                self.returncode = _LOST
        return self.returncode

    def _begin(self) -> None:
        """Ask for a place; an attempt that an engine before this one began is gone on with."""
        answer = self._ask(
            "start", job=self.job, attempt=self._attempt, documents=self._documents, resources=self._needs.to_dict()
        )
        self._reached_at = time.monotonic()
        self._state = answer["state"]
        if answer["attempt"] != self._attempt:
            self._offset = int(self._mark.read_text()) if self._mark.exists() else 0
        elif self._state == "running":
            self._mark.write_text("0")

    def _take(self, news: dict[str, Any]) -> None:
        events = bytes(news["events"])
        whole = events[: events.rfind(b"\n") + 1]
        is_over = news["code"] is not None and len(events) < PIECE
        if is_over:
            self._fetch(str(news["folder"]))
            with (self._folder / "log.txt").open("a", encoding="utf-8") as log:
                log.write(news["log"])
        if whole:
            with (self._folder / EVENTS_FILE).open("ab") as file:
                file.write(whole)
            self._offset += len(whole)
            self._mark.write_text(str(self._offset))
        if is_over:
            self.returncode = int(news["code"])

    # -- back ----------------------------------------------------------------------------------------------------

    def _fetch(self, remote_folder: str) -> None:
        """Bring what the run has made; files that are here already are left alone."""
        for name, size, digest in self._ask("made", job=self.job):
            path = inside(self._folder, name)
            if path.is_file() and digest_of(path) == digest:
                continue
            for _ in range(_TRIES):
                content = self._get(name, size)
                if hashlib.sha256(content).hexdigest() == digest:
                    break
            else:
                raise StorageError(f"{path}: arrived damaged {self._where} {_TRIES} times; resume the job")
            if name.endswith(".json"):
                content = content.replace(remote_folder.encode(), str(self._folder).encode())
            make_folder(path.parent)
            write_bytes(path, content)

    def _get(self, name: str, size: int) -> bytes:
        if (content := self._through_shared(name)) is not None:
            return content
        return b"".join(bytes(self._ask("get", job=self.job, name=name, offset=o)) for o in range(0, size, PIECE))

    def _through_shared(self, name: str) -> bytes | None:
        """Let the desk put a file into the folder that both see; None where they see none."""
        incoming = self._folder / f".incoming-{secrets.token_hex(8)}"
        there = self._shared.there_of(incoming) if self._shared else None
        if there is None:
            return None
        try:
            self._ask("deliver", job=self.job, name=name, path=there)
            return incoming.read_bytes()
        except (NapariSslError, OSError):  # it cannot write there: the file is sent
            return None
        finally:
            incoming.unlink(missing_ok=True)

    # -- its end -------------------------------------------------------------------------------------------------

    def ask_to_stop(self) -> None:
        """Ask for a checkpoint and an end; a job that waits for a place ends at once."""
        if self._state != "running":
            self.returncode = self.returncode or 0
        self._try_to_stop(force=False)

    def kill(self) -> None:
        """End it at once."""
        if self.returncode is None:
            self._try_to_stop(force=True)
            self.returncode = _LOST

    def _try_to_stop(self, *, force: bool) -> None:
        with suppress(NapariSslError):  # it cannot be reached: it ends by itself or is found again
            self._ask("stop", job=self.job, force=force)

    def close(self) -> None:
        """Hang up."""
        self._ask.close()
        self._on_close()
