"""What became of each case of a prediction, in files of the run's folder: the run goes on from them after any crash.

::

    output/
      <case>.json          done: measures, hashes of its files (`case_files`)
      <case>.error.json    broken: left out for the rest of the run, told at its end
      <case>.trying        under way; found by a later attempt, it tells that a process died at this case

A case that kills its process `MAX_DEATHS` times counts as broken.
"""

from __future__ import annotations

import traceback
from contextlib import suppress
from pathlib import Path

from napari_ssl.errors import JobError, NapariSslError
from napari_ssl.io.atomic import storage_error
from napari_ssl.io.documents import read_document, write_document
from napari_ssl.rounds.case_files import is_whole

__all__ = [
    "MAX_DEATHS",
    "begin_case",
    "end_case",
    "error_file",
    "failure_of",
    "forget_failures",
    "is_done",
    "keep_failure",
    "was_begun",
]

MAX_DEATHS = 2


def is_done(output: Path, case_id: str) -> bool:
    """Whether the case has its result, whole."""
    return is_whole(output, case_id)


def error_file(output: Path, case_id: str) -> Path:
    """Return where it stands why the case was left out: ``case_id, error, message, traceback``."""
    return output / f"{case_id}.error.json"


def failure_of(output: Path, case_id: str) -> str | None:
    """Return why the case was left out, None where it was not."""
    document = read_document(error_file(output, case_id))
    return None if document is None else str(document["message"])


def keep_failure(output: Path, case_id: str, error: BaseException) -> None:
    """Leave the case out for the rest of the run; StorageError where that cannot be written."""
    document = {
        "case_id": case_id,
        "error": type(error).__name__,
        "message": str(error) if isinstance(error, NapariSslError) else f"{type(error).__name__}: {error}",
        "traceback": "".join(traceback.format_exception(error)),
    }
    write_document(error_file(output, case_id), document)


def begin_case(output: Path, case_id: str) -> None:
    """Mark the case as under way.

    Raises
    ------
    JobError
        The process died at this case `MAX_DEATHS` times.
    StorageError
        The mark cannot be written.
    """
    mark = output / f"{case_id}.trying"
    n_deaths = mark.stat().st_size if mark.exists() else 0
    if n_deaths >= MAX_DEATHS:
        raise JobError(
            f"case {case_id}: the process died {n_deaths} times while it labelled this case, perhaps for want of "
            "memory; look at the image, or label it alone with --cases and a smaller --memory-limit"
        )
    try:
        with mark.open("ab") as file:  # one byte an attempt
            file.write(b".")
    except OSError as error:
        raise storage_error(mark, error.strerror or str(error)) from error


def was_begun(output: Path, case_id: str) -> bool:
    """Whether a process began with the case and has not ended it."""
    return (output / f"{case_id}.trying").exists()


def end_case(output: Path, case_id: str) -> None:
    """Take the mark away: the case is done, broken, or was stopped on request."""
    with suppress(OSError):  # a mark too many costs one attempt after a crash
        (output / f"{case_id}.trying").unlink(missing_ok=True)


def forget_failures(output: Path) -> None:
    """Let a later run of the same order try every case again."""
    for pattern in ("*.error.json", "*.trying"):
        for path in output.glob(pattern):
            path.unlink(missing_ok=True)
