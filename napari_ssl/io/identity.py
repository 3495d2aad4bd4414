"""Pseudonyms: the same patient gets the same name in a study, and nobody without the study's key can tell who it is.

A pseudonym is the first 60 bits of HMAC-SHA256 (RFC 2104) of the patient's identifier under a random key of 256 bits.
The key lies in the study's folder as ``pseudonym.key``, readable by its owner only (mode 0600). Whoever holds it can
test a guess ("is this patient 4711?"), so it stays behind when a study is handed on; without it, images of the same
patient that come later get another pseudonym.

UIDs are replaced by ``2.25.<number>``, the number being keyed in the same way: consistent within a study, as the
de-identification profile of DICOM asks (PS3.15 Annex E, action U).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from napari_ssl.errors import StudyError
from napari_ssl.io.atomic import storage_error

__all__ = ["KEY_FILE", "Pseudonyms"]

KEY_FILE = "pseudonym.key"

_KEY_BYTES = 32
_OTHERS_MAY_READ = 0o077


class Pseudonyms:
    """Names that stand for patients and UIDs.

    Parameters
    ----------
    key : bytes
        Secret of 32 bytes.
    path : Path or None
        Where `store` puts the key.
    keep_identity : bool
        Give back identifiers as they are; only ever at the user's explicit wish.
    """

    def __init__(self, key: bytes, *, path: Path | None = None, keep_identity: bool = False) -> None:
        if len(key) != _KEY_BYTES:
            raise StudyError(f"a pseudonym key has {_KEY_BYTES} bytes, got {len(key)}; restore {KEY_FILE}")
        self._key = key
        self._path = path
        self.keep_identity = keep_identity

    def __repr__(self) -> str:
        return f"Pseudonyms(key {self.key_name})"

    @classmethod
    def of_folder(cls, folder: Path, *, keep_identity: bool = False) -> Pseudonyms:
        """Take the key of a study's folder; where there is none yet, a new one that `store` will keep.

        Raises
        ------
        StudyError
            The key file is damaged, cannot be read, or others than its owner may read it.
        """
        path = folder / KEY_FILE
        if not path.exists():
            return cls(secrets.token_bytes(_KEY_BYTES), path=path, keep_identity=keep_identity)
        return cls(_read_key(path), path=path, keep_identity=keep_identity)

    def store(self) -> None:
        """Write the key where it is to stay, unless it is there.

        Raises
        ------
        StudyError
            Another key was put there meanwhile: look at the images again.
        StorageError
            It cannot be written.
        """
        if self._path is None or self.keep_identity:
            return
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            if not hmac.compare_digest(_read_key(self._path), self._key):
                raise StudyError(
                    f"{self._path}: another import made the study's key meanwhile; look at the images again"
                ) from None
            return
        except OSError as error:
            raise storage_error(self._path, error.strerror or str(error)) from error
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(self._key.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())

    @property
    def key_name(self) -> str:
        """Eight hexadecimal digits that tell keys apart and nothing about them."""
        return self._digest("key", "")[:4].hex()

    def subject(self, patient: str) -> str:
        """Return ``P`` and twelve letters and digits that stand for a patient."""
        return "P" + base64.b32encode(self._digest("patient", patient)).decode()[:12]

    def short(self, what: str, text: str, length: int = 4) -> str:
        """Return a few letters that tell `text` from others of its kind, e.g. one series of a patient from another."""
        return base64.b32encode(self._digest(what, text)).decode()[:length]

    def uid(self, uid: str) -> str:
        """Return the UID that replaces `uid` in this study."""
        if self.keep_identity:
            return uid
        return f"2.25.{int.from_bytes(self._digest('uid', uid)[:16])}"

    def _digest(self, what: str, text: str) -> bytes:
        return hmac.new(self._key, f"{what}\0{text}".encode(errors="surrogatepass"), hashlib.sha256).digest()


def _read_key(path: Path) -> bytes:
    try:
        if os.name == "posix" and path.stat().st_mode & _OTHERS_MAY_READ:
            raise StudyError(
                f"{path}: others than its owner may read the key (mode {path.stat().st_mode & 0o777:o}, 600 is right); "
                f"run: chmod 600 {path.name}"
            )
        return bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise StudyError(f"{path}: the key cannot be read ({error.strerror or error}); ask its owner") from error
    except ValueError as error:
        raise StudyError(f"{path}: is no pseudonym key ({error}); restore it from a backup") from error
