"""What other processes do to a study in the tests; a module of its own, so that `spawn` can import it."""

from __future__ import annotations

import os
from pathlib import Path

from study_factory import decide, make_items

from napari_ssl.errors import NapariSslError
from napari_ssl.study import EditJournal, Study


def record_many(folder: Path, reader: str, n: int) -> None:
    with Study.open(folder) as study:
        segmentation = study.reference("p0")
        for _ in range(n):
            study.record(decide(segmentation, reader=reader))


def import_more(folder: Path, images: Path) -> None:
    with Study.open(folder) as study:
        study.add_cases(make_items(images, n=12))


def record_and_die(folder: Path) -> None:
    """Killed in the middle of a transaction, after the insert and before the commit."""
    with Study.open(folder) as study:
        segmentation = study.reference("p0")
        study.record(decide(segmentation))
        with study._database.write() as connection:
            connection.exec_driver_sql("UPDATE cases SET \"group\" = 'changed'")
            os.kill(os.getpid(), 9)


def paint_and_die(folder: Path, base_hash: str) -> None:
    journal = EditJournal(folder, "p0", base_hash, "Ada")
    journal.append(0, [1, 2, 3], [0, 0, 0], [3, 3, 3])
    journal.append(1, [4], [0], [2])
    os.kill(os.getpid(), 9)


def write_as_nobody(folder: Path, results) -> None:
    """Open and write as a user who may only read (root may write anywhere)."""
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    said = {}
    try:
        with Study.open(folder) as study:
            said["read_only"] = study.read_only
            said["n_cases"] = len(study.cases())
            said["label_sum"] = int(study.read_labels(study.reference("p0")).sum())
            said["record"] = _refusal(lambda: study.record(decide(study.reference("p0"))))
            said["import"] = _refusal(lambda: study.add_cases([]))
            said["job"] = _refusal(lambda: study.create_job("train", {}))
    finally:
        results.put(said)


def _refusal(action) -> tuple[str, str]:
    try:
        action()
    except NapariSslError as error:
        return type(error).__name__, str(error)
    return "", "not refused"
