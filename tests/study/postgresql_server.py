"""A PostgreSQL server of the tests' own: on a Unix socket that only this machine sees, without a network port."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["LocalServer", "running_server", "why_no_server"]


def _programs() -> Path | None:
    """Folder of initdb and postgres: on the PATH or where Debian keeps them, the newest first."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    debian = Path("/usr/lib/postgresql")
    if debian.is_dir():
        found += sorted((p / "bin" for p in debian.iterdir()), key=lambda p: float(p.parent.name), reverse=True)
    return next((folder for folder in found if (folder / "postgres").exists() and (folder / "initdb").exists()), None)


def why_no_server() -> str | None:
    """The reason why no server can be started here; None where one can."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed (pip install 'napari-ssl[postgres]')"
    if _programs() is None:
        return "PostgreSQL is not installed (Debian's package postgresql; make setup as root installs it)"
    return None


class LocalServer:
    """initdb, start, stop; as the user 'postgres' or 'nobody' where the tests run as root, which PostgreSQL refuses."""

    def __init__(self, folder: Path) -> None:
        self.programs = _programs()
        self.folder = folder
        self.as_user: dict = {}
        if os.geteuid() == 0:
            users = {entry.pw_name: entry for entry in pwd.getpwall()}
            user = users.get("postgres") or users["nobody"]
            self.as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(folder, user.pw_uid, user.pw_gid)
        self.process: subprocess.Popen | None = None
        self._run("initdb", "-D", str(folder / "data"), "-U", "reader", "-A", "trust", "-E", "UTF8", "--no-sync")

    @property
    def url(self) -> str:
        return f"postgresql://reader@/postgres?host={self.folder}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, **self.as_user)

    def start(self) -> None:
        command = [str(self.programs / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder)]
        command += ["-c", "listen_addresses=", "-c", "fsync=on", "-c", "max_connections=60"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True, **self.as_user
            )
        import psycopg

        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url, connect_timeout=2).close()
                return
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(2)  # "fast": sessions are cut off, what was committed stays
            self.process.wait(60)
            self.process = None


@contextlib.contextmanager
def running_server() -> Iterator[LocalServer]:
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # a socket's path must be short
    server = None
    try:
        server = LocalServer(folder)
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
