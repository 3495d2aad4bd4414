"""Import of images with their labels; subjects get their splits here, for good."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from napari_ssl.core.case import Case, Split
from napari_ssl.core.label_order import LabelOrder
from napari_ssl.core.segmentation import Source
from napari_ssl.errors import ImageError, LabelError, NapariSslError, StorageError, StudyError
from napari_ssl.io.conversion import StoppedError
from napari_ssl.io.images import Geometry, check_grid, hash_file, read_image, read_labels
from napari_ssl.io.layouts.item import ImportItem
from napari_ssl.study import schema
from napari_ssl.study.base import member
from napari_ssl.study.converting import converted
from napari_ssl.study.import_cases import new_case, with_phases
from napari_ssl.study.labels import LabelRoom
from napari_ssl.study.storage import inside

__all__ = ["SPLIT_FRACTIONS", "ImportReport", "ImportRoom", "placed"]

SPLIT_FRACTIONS = {Split.TRAIN: 0.6, Split.VALIDATION: 0.2, Split.TEST: 0.2}
"""Shares that labelled subjects are dealt out in when nobody says otherwise."""

AUTO = "auto"

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What became of the items.

    Parameters
    ----------
    added, skipped : tuple of str
        Identifiers of cases that are new (or got new reference labels), and of those that were there already.
    failed : tuple of (path, message)
        Files that could not be imported; the others were.
    stopped : bool
        The import was stopped before its end.
    """

    added: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    stopped: bool = False

    @property
    def failures(self) -> tuple[str, ...]:
        """One line for each of `failed`, which names its place once."""
        return tuple(placed(path, message) for path, message in self.failed)


def placed(where: str, message: str) -> str:
    """Return a message that begins with its place; most errors name theirs by themselves."""
    return message if message.startswith(where) else f"{where}: {message}"


class ImportRoom(LabelRoom):
    """Add cases."""

    def add_cases(
        self,
        items: Iterable[ImportItem],
        *,
        split: Split | str | None = None,
        seed: int = 0,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> ImportReport:
        """Import images and their reference labels; each case is added whole or not at all.

        Importing again what is there already is skipped; one bad file does not stop the others.

        Parameters
        ----------
        items : iterable of ImportItem
        split : Split, "auto" or None
            The split of subjects that are new. "auto" or None: what the folder states; else labelled subjects are
            dealt out in `SPLIT_FRACTIONS`, in the order of a hash of `seed` and subject, and unlabelled ones train.
            A subject that the study knows keeps its split.
        progress : callable, optional
            Called with (done, total, identifier).
        should_stop : callable, optional
            Asked before each item, and between the files of one that is converted.

        Raises
        ------
        StudyReadOnlyError
            The study cannot be written.
        StorageError
            The disk is full; the cases imported so far are kept.
        """
        self._check_writable("import cases")
        items = list(items)
        wanted = None if split in (None, AUTO) else member(Split, split, "split")
        splits = self._plan_splits(items, wanted, seed)
        added: list[str] = []
        skipped: list[str] = []
        failed: list[tuple[str, str]] = []
        stopped = False
        for done, item in enumerate(items):
            if should_stop is not None and should_stop():
                stopped = True
                break
            if progress is not None:
                progress(done, len(items), item.case_id)
            try:
                is_new = self._add_case(item, splits[item.subject_id], should_stop)
                (added if is_new else skipped).append(item.case_id)
            except StoppedError:
                stopped = True
                break
            except StorageError:
                raise
            except NapariSslError as error:
                failed.append((item.shown, str(error)))
        if progress is not None and not stopped:
            progress(len(items), len(items), "")
        return ImportReport(added=tuple(added), skipped=tuple(skipped), failed=tuple(failed), stopped=stopped)

    def _plan_splits(self, items: list[ImportItem], wanted: Split | None, seed: int) -> dict[str, Split]:
        """Return the split of every subject among `items`."""
        with self._database.read() as connection:
            known = {row.id: Split(row.split) for row in connection.execute(sa.select(schema.subjects))}
            reference = schema.segmentations.c.source == Source.REFERENCE.value
            labelled = set(
                connection.execute(
                    sa.select(schema.cases.c.subject_id).join(schema.segmentations).where(reference).distinct()
                ).scalars()
            )
        counts = Counter(known[subject] for subject in labelled)
        planned = {i.subject_id: known[i.subject_id] for i in items if i.subject_id in known}
        for item in items:
            stated = wanted or item.split
            if stated is not None:
                planned.setdefault(item.subject_id, stated)
        with_labels = {i.subject_id for i in items if i.has_labels} - planned.keys()
        for subject in sorted(with_labels, key=lambda s: hashlib.sha256(f"{seed}:{s}".encode()).digest()):
            total = counts.total() + 1
            planned[subject] = max(SPLIT_FRACTIONS, key=lambda s: round(SPLIT_FRACTIONS[s] * total - counts[s], 9))
            counts[planned[subject]] += 1
        return {i.subject_id: planned.get(i.subject_id, Split.TRAIN) for i in items}

    def _add_case(self, item: ImportItem, split: Split, should_stop: Callable[[], bool] | None = None) -> bool:
        """Add one case; False when everything about it is known."""
        with self._database.read() as connection:
            known = (
                connection.execute(sa.select(schema.cases).where(schema.cases.c.id == item.case_id)).mappings().first()
            )
        if item.conversion is not None:
            return self._add_converted(item, split, known, should_stop)
        path = Path(item.image_path).absolute()
        digest = hash_file(path)
        if known is not None:
            if known["image_hash"] != digest:
                raise StudyError(
                    f"{path}: the study has a case {item.case_id} with another image ({known['image_path']}); "
                    "rename the file to import it as a new case"
                )
            return self._store(item, self.case(item.case_id), self._geometry(known), is_new=False)
        image = read_image(path)
        item = with_phases(item, image)
        return self._store(item, new_case(item, split, path, digest, image), image.geometry, is_new=True)

    def _add_converted(
        self, item: ImportItem, split: Split, known: Any, should_stop: Callable[[], bool] | None
    ) -> bool:
        """Add a case whose image is written into the study first, and removed again if the case cannot be added."""
        if item.conversion.problem:
            raise ImageError(item.conversion.problem)
        if known is not None:
            if (known["source"] or {}).get("fingerprint") != item.conversion.fingerprint():
                raise StudyError(
                    f"{item.shown}: the study has a case {item.case_id} made of other images; "
                    "leave it out, or import it into a study of its own"
                )
            is_restored = self._restore(item, known, should_stop)
            return is_restored | self._store(item, self.case(item.case_id), self._geometry(known), is_new=False)
        with converted(self.folder, item, should_stop) as (image, digest, source):
            case = new_case(item, split, image.path, digest, image, source)
            return self._store(item, case, image.geometry, is_new=True)

    def _restore(self, item: ImportItem, known: Any, should_stop: Callable[[], bool] | None) -> bool:
        """Write the image of a known case again where its file was lost; True when that was so."""
        if self._locate(known["image_path"], known["image_path_relative"]).is_file():
            return False
        with converted(self.folder, item, should_stop) as (_, digest, _source):
            if digest != known["image_hash"]:
                raise StudyError(
                    f"{item.shown}: gives another image than case {item.case_id} was made of; restore that one's "
                    "image from a backup"
                )
        return True

    def _store(self, item: ImportItem, case: Case, geometry: Geometry, *, is_new: bool) -> bool:
        entry = None
        written: list[Path] = []
        try:
            if item.has_labels:
                labels, frames = self._reference_labels(item, case)
                entry = self._entry(case, labels, Source.REFERENCE, frames, None, None, None)
                known = None if is_new else self._existing(entry)
                if known is not None and inside(self.folder, known.label_path).is_file():
                    return False  # a file that was lost is written again
                self._write(entry["label_path"], labels, geometry, written)
            elif not is_new:
                return False
            with self._database.write() as connection:
                if is_new:
                    self._insert_new(connection, case, geometry, item)
                if entry is not None:
                    self._insert(entry, connection)
        except BaseException:
            self._remove_unused(written)
            raise
        return True

    def _insert_new(self, connection: sa.Connection, case: Case, geometry: Geometry, item: ImportItem) -> None:
        """Insert case and subject; another process may have been faster with either."""
        known = connection.execute(sa.select(schema.cases.c.image_hash).where(schema.cases.c.id == case.id)).scalar()
        if known is not None:
            if known != case.image_hash:
                raise StudyError(f"{case.image_path}: another import added case {case.id} with another image meanwhile")
            return
        subjects = schema.subjects
        split = connection.execute(sa.select(subjects.c.split).where(subjects.c.id == case.subject_id)).scalar()
        if split is None:
            body = {} if item.body is None else asdict(item.body)
            connection.execute(sa.insert(subjects).values(id=case.subject_id, split=case.split.value, **body))
        self._refuse_leak(connection, case, Split(split or case.split))
        self._insert_case(connection, case, geometry)

    @staticmethod
    def _refuse_leak(connection: sa.Connection, case: Case, split: Split) -> None:
        """The same picture under two names must not be in two splits."""
        query = (
            sa.select(schema.cases.c.id, schema.subjects.c.split)
            .join(schema.subjects)
            .where(schema.cases.c.image_hash == case.image_hash, schema.subjects.c.split != split.value)
        )
        twin = connection.execute(query).first()
        if twin is not None:
            raise StudyError(
                f"{case.image_path}: the same image is case {twin.id} in split {twin.split} already, "
                f"{case.id} would be in {split}; give both the same subject or leave one out"
            )

    def _reference_labels(self, item: ImportItem, case: Case) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
        """Read an item's label files into ``(T, Z, Y, X)`` and say which frames they cover."""
        labels = np.zeros(case.shape_tzyx, np.uint8)
        frames: set[int] = set()
        scheme = self.label_scheme
        where = item.drawn.shown if item.drawn is not None else str(item.label_paths[0][1])
        order = LabelOrder.confirmed(item.label_order, item.label_proposal, scheme, where)
        if item.drawn is not None:
            drawn, covered = item.drawn.labels(case.shape_tzyx)
            return self._in_study_values(order, drawn, where), covered
        for frame, path in item.label_paths:
            check_grid(path, case.image_path)
            if frame is None:
                labels = self._in_study_values(order, read_labels(path, expected_shape_tzyx=case.shape_tzyx), path)
                labelled = np.flatnonzero(labels.any(axis=(1, 2, 3))).tolist()
                frames.update(labelled if case.n_frames > 1 else [0])
                continue
            if not 0 <= frame < case.n_frames:
                raise LabelError(f"{path}: labels frame {frame}, {case.image_path} has 0 to {case.n_frames - 1}")
            shape = (1, *case.shape_tzyx[1:])
            labels[frame] = self._in_study_values(order, read_labels(path, expected_shape_tzyx=shape)[0], path)
            frames.add(frame)
        if not frames:
            raise LabelError(f"{item.label_paths[0][1]}: holds no label at all; leave the file out or correct it")
        return labels, tuple(sorted(frames))

    def _in_study_values(self, order: LabelOrder, labels: NDArray[np.uint8], where: str | Path) -> NDArray[np.uint8]:
        if order == LabelOrder.of_study(self.label_scheme):
            self.label_scheme.check(labels, str(where))
            return labels
        return order.apply(labels, str(where))
