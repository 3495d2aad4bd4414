"""Where a user's engine is, and how to reach it: ``engine.json`` in a folder that only its owner can enter.

The file holds the address and the certificates of the engine's mutual TLS; they are new at each start of the engine.
Without them nothing that listens answers. Whoever can read the file can run code as the user, so it is for its owner
alone: 0600 in a folder of 0700.
"""

from __future__ import annotations

import importlib
import json
import os
import secrets
import stat
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
import psutil
from filelock import FileLock, Timeout

from napari_ssl.errors import EngineError
from napari_ssl.jobs.process import detached

__all__ = [
    "AWAY",
    "ENGINE_FOLDER_VARIABLE",
    "Credentials",
    "engine_folder",
    "engine_lock",
    "ensure_engine",
    "is_running",
    "read_credentials",
    "security",
    "stop_engine",
    "submit_job",
    "withdraw_credentials",
    "write_credentials",
]

ENGINE_FOLDER_VARIABLE = "NAPARI_SSL_ENGINE_DIR"
AWAY = 32
"""Jobs elsewhere that an engine watches at a time, and the resource of its worker that they share."""
_START_S = 60.0
_CONNECT_S = 15.0
_FILE = "engine.json"
_LOG = "engine.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """How to reach the engine that is running; certificates and key as PEM text; what its worker announces."""

    address: str
    pid: int
    ca_cert: str
    client_cert: str
    client_key: str
    offer: dict[str, int] = field(default_factory=dict)


def engine_folder() -> Path:
    """Return the user's engine folder, made when absent, for its owner alone.

    Raises
    ------
    EngineError
        It cannot be made, or others can enter it and that cannot be changed.
    """
    chosen = os.environ.get(ENGINE_FOLDER_VARIABLE)
    folder = Path(chosen) if chosen else Path(platformdirs.user_state_dir("napari-ssl", appauthor=False)) / "engine"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if sys.platform != "win32" and stat.S_IMODE(folder.stat().st_mode) & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise EngineError(
            f"{folder}: the folder of the background engine cannot be made private ({error.strerror}); "
            f"set {ENGINE_FOLDER_VARIABLE} to a folder of your own"
        ) from error
    return folder


def engine_lock(folder: Path) -> FileLock:
    """Return the lock that the running engine holds for its life: one engine per user."""
    return FileLock(folder / "engine.lock", thread_local=False)


def is_running(folder: Path) -> bool:
    """Whether an engine holds the folder; what one that was killed has published is withdrawn."""
    try:
        with engine_lock(folder).acquire(timeout=0):
            withdraw_credentials(folder)
            return False
    except Timeout:
        return True


def write_credentials(folder: Path, credentials: Credentials) -> None:
    """Publish where the engine is; nobody else can read the file at any moment."""
    temporary = folder / f".{_FILE}.{secrets.token_hex(4)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(credentials), file)
    os.replace(temporary, folder / _FILE)


def withdraw_credentials(folder: Path) -> None:
    """Remove what an engine has published."""
    (folder / _FILE).unlink(missing_ok=True)


def read_credentials(folder: Path) -> Credentials | None:
    """Return where the running engine is; None when there is none."""
    if not is_running(folder):
        return None
    try:
        return Credentials(**json.loads((folder / _FILE).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError, RecursionError):
        return None


def ensure_engine() -> Credentials:
    """Return the user's engine, started when there is none; takes seconds then.

    Raises
    ------
    EngineError
        It does not start; the message gives the end of its log.
    """
    folder = engine_folder()
    until = time.monotonic() + _START_S
    started: subprocess.Popen[bytes] | None = None
    while time.monotonic() < until:
        if (credentials := read_credentials(folder)) is not None:
            return credentials
        if started is None and not is_running(folder):
            started = _start(folder)
            importlib.import_module("distributed")  # needed in a moment; takes about as long as the engine
        elif started is not None and started.poll() not in (None, 0):
            break
        elif started is not None and started.poll() == 0:
            started = None  # another engine was faster and may be ending by now: look again
        time.sleep(0.1)
    raise EngineError(f"the background engine does not start: {_end_of_log(folder)} (see {folder / _LOG})")


def _start(folder: Path) -> subprocess.Popen[bytes]:
    with open(folder / _LOG, "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "napari_ssl.jobs.engine"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=_environment(), **detached(),
        )  # fmt: skip


def _environment() -> dict[str, str]:
    """The engine's environment: relative module paths would not hold in its folder."""
    paths = [os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)} if paths else dict(os.environ)


def _end_of_log(folder: Path) -> str:
    with suppress(OSError):
        lines = (folder / _LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
    return "it left no message"


def security(credentials: Credentials) -> Any:
    """Return distributed's security for a client of the engine."""
    from distributed.security import Security

    return Security(
        require_encryption=True,
        tls_ca_file=credentials.ca_cert,
        tls_client_cert=credentials.client_cert,
        tls_client_key=credentials.client_key,
    )


def submit_job(study_folder: Path, job_id: str, resources: dict[str, float], *, away: bool = False) -> str:
    """Hand a queued job to the engine, started when needed; return the engine's address when it has the job.

    Parameters
    ----------
    resources : dict
        What the task takes of those that the engine's worker announces (`napari_ssl.jobs.engine`).
    away : bool
        Whether the job's process runs elsewhere.

    Raises
    ------
    EngineError
        The engine cannot be started or reached.
    """
    from distributed import Client, fire_and_forget

    from napari_ssl.jobs.supervise import supervise

    credentials = ensure_engine()
    if not credentials.offer:  # of a program before this one: it announces nothing, so nothing would ever run there
        stop_engine()
        credentials = ensure_engine()
    key = f"{job_id}#{secrets.token_hex(4)}"
    try:
        with Client(
            credentials.address, security=security(credentials), set_as_default=False, timeout=_CONNECT_S
        ) as client:
            future = client.submit(
                supervise, str(study_folder), job_id, away, key=key, resources=resources, retries=3, pure=False
            )
            fire_and_forget(future)
            _wait_until_known(client, key)
            return credentials.address
    except (OSError, TimeoutError) as error:
        raise EngineError(f"the background engine at {credentials.address} does not answer ({error})") from error


def _wait_until_known(client: Any, key: str) -> None:
    """Wait until the scheduler has the task: what a client sends is under way when `submit` returns, no more."""
    until = time.monotonic() + _CONNECT_S
    while time.monotonic() < until:
        if client.sync(client.scheduler.get_story, keys_or_stimuli=[key]):
            return
        time.sleep(0.02)
    raise TimeoutError("it did not take the job")


def stop_engine(*, timeout_s: float = 10.0) -> None:
    """End the user's engine, if there is one; what it runs stops with a checkpoint and resumes with the next engine."""
    folder = engine_folder()
    if (credentials := read_credentials(folder)) is None:
        return
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(credentials.pid)
        process.terminate()
        with suppress(psutil.TimeoutExpired):
            process.wait(timeout_s)
            return
        process.kill()
