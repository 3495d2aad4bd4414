"""The file of a journal, and what it could not take: records that the disk refuses stay in the memory of this process.

Every reader of a journal in this process sees waiting records as if they were in the file; `write_waiting` tries again.
"""

from __future__ import annotations

import logging
import os
import threading
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from napari_ssl.errors import StorageError, StudyError
from napari_ssl.io.atomic import write_bytes
from napari_ssl.study.journal_records import FRAME, Header, frame, has_records_after, read_records, upgraded
from napari_ssl.study.storage import make_folder, storage_errors

__all__ = ["JournalFile", "has_unsaved", "waiting_cases", "waiting_names", "write_waiting"]

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    """What could not be written yet, and the labels (hash) that it belongs to."""

    file: JournalFile
    base: str
    contents: list[bytes] = field(default_factory=list)


_waiting: dict[Path, _Waiting] = {}
_lock = threading.RLock()


def waiting_cases(study_folder: Path) -> list[str]:
    """Return the cases of a study with edits that only the memory of this process holds."""
    folder = Path(study_folder) / "journal"
    with _lock:
        return sorted({w.file.case_id for path, w in _waiting.items() if path.parent == folder})


def waiting_names(folder: Path) -> set[str]:
    """Return the names of the journals in a folder that have waiting records, whether or not the file exists."""
    with _lock:
        return {path.name for path in _waiting if path.parent == folder}


def write_waiting(study_folder: Path) -> list[str]:
    """Try to write what waits; returns the cases that still do."""
    folder = Path(study_folder) / "journal"
    with _lock:
        for waiting in [w for path, w in _waiting.items() if path.parent == folder]:
            with suppress(StorageError):
                waiting.file.write()
    return waiting_cases(study_folder)


class JournalFile:
    """Reads and writes records.

    Parameters
    ----------
    path : Path
    case_id : str
    """

    def __init__(self, path: Path, case_id: str) -> None:
        self.path = path
        self.case_id = case_id
        self._size: int | None = None

    def header(self) -> Header | None:
        """Return the first line (of waiting records the one that will be written), None when there is no journal."""
        with _lock:
            waiting, on_disk = _waiting.get(self.path), self._header_on_disk()
            if waiting is not None and (on_disk is None or on_disk.base != waiting.base):
                return Header(case=self.case_id, base=waiting.base)
            return on_disk

    def contents(self) -> list[bytes]:
        """Return the contents of all whole records, those that wait included."""
        with _lock:
            waiting, on_disk = _waiting.get(self.path), self._header_on_disk()
            if waiting is None:
                return self._contents_on_disk(on_disk)
            same = on_disk is not None and on_disk.base == waiting.base
            return [*(self._contents_on_disk(on_disk) if same else ()), *waiting.contents]

    def _contents_on_disk(self, header: Header | None) -> list[bytes]:
        contents = list(read_records(self._bytes()))
        if header is not None and len(contents) < header.n_past:
            raise StudyError(
                f"case {self.case_id}: the journal of unsaved strokes {self.path} is damaged at its edit "
                f"{len(contents) + 1} of {header.n_past} that led to the stored labels; it is left as it is: "
                "restore it from a backup, or move the file away to go on without it"
            )
        return [upgraded(c) for c in contents] if header is not None and header.version == 1 else contents

    def put(self, base: str, content: bytes) -> None:
        """Add a record about the labels `base`; StorageError when it cannot be written: then it waits."""
        with _lock:
            waiting = _waiting.get(self.path)
            if waiting is None or waiting.base != base:
                waiting = _waiting[self.path] = _Waiting(self, base)
            waiting.contents.append(content)
            self.write()

    def write(self) -> None:
        """Write what waits; StorageError when that cannot be."""
        with _lock:
            waiting = _waiting[self.path]
            self._begin(waiting.base)
            self._append(b"".join(map(frame, waiting.contents)))
            del _waiting[self.path]

    def replace(self, header: Header, records: bytes) -> None:
        """Write the whole file anew; nothing waits then. StorageError: it is as before."""
        with _lock:
            self.keep_damaged()
            write_bytes(self.path, header.encode() + records)
            self._forget()

    def set_aside(self) -> Path | None:
        """Put the file out of the way; returns where it is now, None when there was none."""
        with _lock:
            header = self._header_on_disk()
            if header is None:
                self._forget()
                return None
            aside = self.path.with_name(f"{self.path.name}.set-aside-{header.base[:12]}")
            with storage_errors(self.path):
                os.replace(self.path, aside)
            self._forget()
            return aside

    def remove(self) -> None:
        """Remove the file and what waits."""
        with _lock:
            self.keep_damaged()
            with storage_errors(self.path):
                self.path.unlink(missing_ok=True)
            self._forget()

    def _forget(self) -> None:
        _waiting.pop(self.path, None)
        self._size = None

    def _begin(self, base: str) -> None:
        """Make the file one of version 2 about the labels `base`."""
        header = self._header_on_disk()
        if header is not None and header.base == base and header.version == Header.version:
            return
        records = b""
        if header is not None and header.base == base:  # version 1
            records = b"".join(map(frame, self._contents_on_disk(header)))
        elif header is not None and self._has_more(header):
            waiting = _waiting[self.path]
            self.set_aside()
            _waiting[self.path] = waiting
        make_folder(self.path.parent)
        self.keep_damaged()
        write_bytes(self.path, Header(case=self.case_id, base=base).encode() + records)
        self._size = None

    def _append(self, records: bytes) -> None:
        with storage_errors(self.path), open(self.path, "r+b") as stream:
            if stream.seek(0, os.SEEK_END) != self._size:
                self._size = self._good_size()
                self.keep_damaged()
                stream.truncate(self._size)
                stream.seek(self._size)
            try:
                stream.write(records)
                stream.flush()
                os.fsync(stream.fileno())
            except OSError:
                end, self._size = self._size, None  # a part may have been written: it would count twice
                with suppress(OSError):
                    stream.truncate(end)
                raise
            self._size = stream.tell()

    def _has_more(self, header: Header) -> bool:
        """Whether there is anything but the past, or the past is damaged."""
        data = self._bytes()
        return sum(1 for _ in read_records(data)) != header.n_past or has_records_after(data, self._good_size())

    def keep_damaged(self) -> Path | None:
        """Copy the file before its end is cut off, where whole records follow a damaged one; returns the copy.

        What a crash cut off is one record at the end, of which nothing can be kept.
        """
        data = self._bytes()
        if b"\n" not in data or not has_records_after(data, self._good_size()):
            return None
        kept = self._name_for_damaged(data)
        if not kept.exists():
            write_bytes(kept, data)
            _LOG.warning(
                "case %s: a stroke in the journal was damaged; those after it were not replayed, %s keeps them",
                self.case_id,
                kept,
            )
        return kept

    def _name_for_damaged(self, data: bytes) -> Path:
        return self.path.with_name(f"{self.path.name}.damaged-{zlib.crc32(data):08x}")

    def put_aside_damaged(self) -> Path | None:
        """Rename a file that cannot be read; returns where it is now, None when there was none."""
        with _lock, storage_errors(self.path):
            data = self._bytes()
            if not self.path.exists():
                return None
            kept = self._name_for_damaged(data)
            os.replace(self.path, kept)
            self._forget()
            return kept

    def _header_on_disk(self) -> Header | None:
        try:
            with open(self.path, "rb") as stream:
                return Header.decode(stream.readline())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise StudyError(
                f"case {self.case_id}: the journal of unsaved strokes {self.path} cannot be read ({error}); "
                "move the file away to go on without it"
            ) from error

    def _bytes(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""

    def _good_size(self) -> int:
        data = self._bytes()
        return data.index(b"\n") + 1 + sum(FRAME.size + len(content) for content in read_records(data))


def has_unsaved(path: Path) -> bool:
    """Whether records follow the past; reads no more than the first line."""
    with _lock:
        if path in _waiting:
            return True
    try:
        with open(path, "rb") as stream:
            first = stream.readline()
            past = Header.decode(first).n_past_bytes
            return stream.seek(0, os.SEEK_END) > len(first) + past + FRAME.size
    except (OSError, ValueError, KeyError, TypeError):
        return False  # saved and removed meanwhile; a damaged one is told when its case is opened
