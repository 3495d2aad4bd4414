"""What a job proposes for very many cases, taken into the study a batch at a time.

::

    files of the job ──▶ checked by size and hash ──▶ linked into predictions/<model>/ ──▶ one sync of that folder
        ──▶ one transaction, a savepoint a case ──▶ files of the job removed

Whoever made the files has synced them and knows them by hash, so none is unpacked here: labels are checked against
their content's hash, shape and scheme whenever they are read, confidence against its check sum and shape. A row is
written only when its files are on the disk; until it is written the job's files stay, so that the same call after a
crash at any point goes on and changes nothing twice. A case that is broken is left out with its error, the others of
its batch are taken.
"""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from napari_ssl.core.segmentation import Segmentation, Source
from napari_ssl.errors import LabelError, NapariSslError, StorageError, StudyError
from napari_ssl.io.group_sync import sync_folder
from napari_ssl.io.hashing import hash_file
from napari_ssl.study import schema
from napari_ssl.study.base import now
from napari_ssl.study.confidence_maps import further_name
from napari_ssl.study.labels import confidence_name, proposal_path, same_version
from napari_ssl.study.measure_columns import measure_columns
from napari_ssl.study.queue_rows import QueueRoom
from napari_ssl.study.storage import inside, make_folder, place_file, storage_errors
from napari_ssl.study.stored_labels import PROPOSALS, VERSION_COLUMNS, as_segmentation

__all__ = ["Adoption", "MadeFile", "Proposal", "ProposalRoom"]

_AT_ONCE = 500
_TABLE = schema.segmentations
_INSERT = sa.insert(_TABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFile:
    """A file that a job wrote and synced: its size in bytes and the SHA-256 of its bytes, hexadecimal."""

    path: Path
    size: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Labels that a model made for a case, with what was measured on them.

    Parameters
    ----------
    case_id : str
    source : Source
        MODEL or REFINED.
    frames : tuple of int
        Frames that hold labels.
    model_id : str
    label_hash : str
        SHA-256 over shape and values (`napari_ssl.io.images.hash_labels`).
    foreground_fraction : float
        Share of labelled pixels in `frames`.
    labels, confidence : MadeFile
    further : mapping of str to MadeFile
        Confidence of other kinds.
    measures : mapping
        As `QueueRoom.set_measures` takes them.
    probability_good : float or None
        What a classifier of curves says, 0 to 1.
    """

    case_id: str
    source: Source
    frames: tuple[int, ...]
    model_id: str
    label_hash: str
    foreground_fraction: float
    labels: MadeFile
    confidence: MadeFile
    further: Mapping[str, MadeFile] = field(default_factory=dict)
    measures: Mapping[str, Any] = field(default_factory=dict)
    probability_good: float | None = None

    @property
    def files(self) -> tuple[MadeFile, ...]:
        """All files, the labels first."""
        return (self.labels, self.confidence, *self.further.values())


@dataclass(slots=True)
class Adoption:
    """What came of proposals: versions of those that the study has now, errors of those that were left out."""

    kept: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, NapariSslError] = field(default_factory=dict)


class ProposalRoom(QueueRoom):
    """Take proposals of many cases."""

    def proposals_of(self, case_ids: Collection[str]) -> dict[str, list[Segmentation]]:
        """Return what models have proposed for these cases, oldest first; cases without are absent."""
        found: dict[str, list[Segmentation]] = defaultdict(list)
        for some in _batches(list(case_ids)):
            query = _versions(some).where(_TABLE.c.source.in_([s.value for s in PROPOSALS])).order_by(_TABLE.c.id)
            with self._database.read() as connection:
                for row in connection.execute(query).mappings():
                    found[row["case_id"]].append(as_segmentation(row))
        return dict(found)

    def adopt_proposals(self, proposals: Sequence[Proposal], *, classifier_id: str | None = None) -> Adoption:
        """Move the files of proposals into the study and record them; may be repeated after a crash.

        Parameters
        ----------
        classifier_id : str, optional
            The classifier that `probability_good` is from.

        Raises
        ------
        StorageError
            The disk is full or refuses; what is not recorded can be adopted again.
        StudyReadOnlyError
        UnknownCaseError
            No such classifier.
        """
        self._check_writable("adopt labels")
        adoption = Adoption()
        for some in _batches(proposals):
            placed = self._place_files(some, adoption)
            self._record_placed(placed, classifier_id, adoption)
            for proposal, _ in placed:
                if proposal.case_id in adoption.kept:
                    _remove(proposal)
        return adoption

    def _place_files(self, proposals: Sequence[Proposal], adoption: Adoption) -> list[tuple[Proposal, str | None]]:
        """Link files to their places and sync their folders; with each proposal where its labels lie now.

        None: the job's files are gone, because an earlier attempt recorded them.
        """
        placed: list[tuple[Proposal, str | None]] = []
        folders: dict[str, Path] = {}
        for proposal in proposals:
            try:
                path = proposal_path(proposal.case_id, proposal.source, proposal.model_id, proposal.label_hash)
                if not proposal.labels.path.is_file():
                    placed.append((proposal, None))
                    continue
                for made in proposal.files:
                    _check_made(proposal.case_id, made)
                names = (path, confidence_name(path), *(further_name(path, kind) for kind in proposal.further))
                for made, name in zip(proposal.files, names, strict=True):
                    self._link(made, name, folders)
                placed.append((proposal, path))
            except StorageError:
                raise
            except (NapariSslError, OSError) as error:
                adoption.left_out[proposal.case_id] = _worded(proposal, error)
        for folder in folders.values():
            sync_folder(folder)
        return placed

    def _link(self, made: MadeFile, name: str, folders: dict[str, Path]) -> None:
        parent, _, file_name = name.rpartition("/")
        if parent not in folders:
            folders[parent] = inside(self.folder, parent)
            make_folder(folders[parent])
        target = folders[parent] / file_name
        try:
            os.link(made.path, target)
        except FileExistsError:  # of an attempt before, or the same labels with another confidence
            if not (os.path.samefile(made.path, target) or _is(target, made)):
                place_file(made.path, target, link=True)
        except OSError:  # a file system without links
            place_file(made.path, target)

    def _record_placed(
        self, placed: Sequence[tuple[Proposal, str | None]], classifier_id: str | None, adoption: Adoption
    ) -> None:
        case_ids = [proposal.case_id for proposal, _ in placed]
        scores: dict[int, float] = {}
        with self._database.write() as connection:
            shapes = dict(connection.execute(_SHAPES.where(schema.cases.c.id.in_(case_ids))).all())
            versions: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
            for row in connection.execute(_versions(case_ids).order_by(_TABLE.c.id.desc())).mappings():
                versions[row["case_id"]].append(row)
            for proposal, path in placed:
                try:
                    _check(proposal, shapes.get(proposal.case_id))
                    with connection.begin_nested():
                        number = _record(connection, proposal, path, versions[proposal.case_id])
                except NapariSslError as error:
                    adoption.left_out[proposal.case_id] = error
                except sa.exc.StatementError as error:
                    if isinstance(error, sa.exc.OperationalError | sa.exc.InternalError):
                        raise  # not the case's fault: the disk, the server
                    adoption.left_out[proposal.case_id] = _worded(proposal, error)
                else:
                    adoption.kept[proposal.case_id] = number
                    if proposal.probability_good is not None:
                        scores[number] = proposal.probability_good
            if classifier_id is not None and scores:
                self._write_scores(connection, classifier_id, scores)


_SHAPES = sa.select(schema.cases.c.id, schema.cases.c.shape_tzyx)


def _versions(case_ids: Sequence[str]) -> sa.Select:
    return sa.select(*VERSION_COLUMNS).where(_TABLE.c.case_id.in_(case_ids))


def _batches(items: Sequence[Any]) -> Iterator[list[Any]]:
    """Cut into parts that one query may name and one transaction hold."""
    remaining = iter(items)
    while some := list(itertools.islice(remaining, _AT_ONCE)):
        yield some


def _is(path: Path, made: MadeFile) -> bool:
    return path.stat().st_size == made.size and hash_file(path) == made.digest


def _check_made(case_id: str, made: MadeFile) -> None:
    if not made.path.is_file():
        raise StudyError(f"case {case_id}: {made.path}, which a job wrote, is absent; label the case again")
    if not _is(made.path, made):
        size = made.path.stat().st_size
        raise StudyError(
            f"case {case_id}: {made.path} is not what the job wrote ({size} bytes, it wrote {made.size}; or another "
            "content): damaged on its way, or on the disk; label the case again"
        )


def _check(proposal: Proposal, shape: Sequence[int] | None) -> None:
    if shape is None:
        raise StudyError(f"case {proposal.case_id}: is not in the study any more; import it again")
    frames = proposal.frames
    if proposal.source not in PROPOSALS or not frames or min(frames) < 0 or max(frames) >= shape[0]:
        raise LabelError(
            f"case {proposal.case_id}: labelled frames must be in 0 to {shape[0] - 1} and made by a model, got "
            f"{frames} by {proposal.source}"
        )
    if proposal.probability_good is not None and not 0 <= proposal.probability_good <= 1:
        raise StudyError(
            f"case {proposal.case_id}: a probability must be in [0, 1], got {proposal.probability_good}; "
            "label the case again"
        )


def _record(
    connection: sa.Connection, proposal: Proposal, path: str | None, versions: Sequence[Mapping[str, Any]]
) -> int:
    """Write the row of a proposal, or bring the one that is there up to date; return its number."""
    where = f"case {proposal.case_id}"
    entry: dict[str, Any] = {
        "case_id": proposal.case_id,
        "source": proposal.source.value,
        "frames": sorted(proposal.frames),
        "label_hash": proposal.label_hash,
        "model_id": proposal.model_id,
    }
    known = same_version(entry, versions)
    if path is None:  # an earlier attempt recorded it
        if known is None:
            raise StudyError(
                f"{where}: the labels {proposal.labels.path} that a job wrote are absent; run the prediction again"
            )
        return known.id
    if known is None:
        entry |= {"label_path": path, "confidence_path": confidence_name(path), "created_at": now()}
        entry |= {"foreground_fraction": proposal.foreground_fraction, **measure_columns(where, proposal.measures)}
        entry["version"] = max((row["version"] for row in versions), default=0) + 1
        return int(connection.execute(_INSERT, entry).inserted_primary_key[0])
    columns = {**measure_columns(where, proposal.measures), "confidence_path": confidence_name(path)}
    connection.execute(sa.update(_TABLE).where(_TABLE.c.id == known.id).values(columns))
    return known.id


def _remove(proposal: Proposal) -> None:
    """Remove the job's names of the files, the labels first: without them the next attempt looks into the study."""
    for made in proposal.files:
        with storage_errors(made.path):
            made.path.unlink(missing_ok=True)


def _worded(proposal: Proposal, error: Exception) -> NapariSslError:
    if isinstance(error, NapariSslError):
        return error
    reason = getattr(error, "orig", None) or error
    return StudyError(f"case {proposal.case_id}: cannot be taken into the study ({reason}); label the case again")
