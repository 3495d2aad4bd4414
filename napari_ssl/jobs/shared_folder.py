"""A folder that this computer and a server both see, under names of their own: what lies in it is not sent."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from napari_ssl.errors import EngineError

__all__ = ["SharedFolder", "check_shared", "fingerprint"]

_ENDS = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFolder:
    """The folder as this computer names it and as the server does; both absolute.

    Raises
    ------
    EngineError
        A name that is not absolute.
    """

    here: str
    there: str

    def __post_init__(self) -> None:
        if not Path(self.here).is_absolute() or not PurePosixPath(self.there).is_absolute():
            raise EngineError(f"shared folder {self.here}={self.there}: give both as absolute paths, HERE=THERE")

    @classmethod
    def parse(cls, text: str) -> SharedFolder:
        """Read ``HERE=THERE``, or one name where both are the same."""
        here, _, there = text.partition("=")
        return cls(here=os.path.abspath(os.path.expanduser(here)), there=there or os.path.abspath(here))

    def there_of(self, path: Path) -> str | None:
        """Return what the server calls a file; None where it does not lie in the folder."""
        try:
            inside = path.resolve().relative_to(Path(self.here).resolve())
        except ValueError:
            return None
        return str(PurePosixPath(self.there, *inside.parts))


def fingerprint(path: Path) -> str | None:
    """Return a digest of a file's size and both its ends: enough to tell that two computers see the same file.

    Whoever reads the file checks its whole content. None where there is no such file.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(str(size).encode())
            digest.update(file.read(_ENDS))
            file.seek(max(0, size - _ENDS))
            digest.update(file.read(_ENDS))
            return digest.hexdigest()
    except OSError:
        return None


def check_shared(shared: SharedFolder, call: Callable[..., Any]) -> None:
    """Make sure that a server sees the folder, with a file of random content that is removed again.

    Raises
    ------
    EngineError
        It does not, or nothing can be written there.
    """
    token = Path(shared.here) / f".napari-ssl-{secrets.token_hex(8)}"
    try:
        token.write_bytes(secrets.token_bytes(64))
    except OSError as error:
        raise EngineError(f"{shared.here}: cannot be written ({error.strerror}); name a folder of your own") from error
    try:
        there = shared.there_of(token)
        if list(call("prints", paths=[there])) != [fingerprint(token)]:
            raise EngineError(
                f"the server does not see {shared.here} as {shared.there}; look where it is mounted there and give "
                "--shared HERE=THERE, or leave it out: files are sent then"
            )
    finally:
        token.unlink(missing_ok=True)
