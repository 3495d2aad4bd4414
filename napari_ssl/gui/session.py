"""State of one reader's review, without Qt: the case on screen, its unsaved strokes, time spent, and the decision.

A decision is made in two steps: `ReviewSession.order` freezes it on the spot, `SaveOrder.run` stores it in a thread.
Until that has succeeded the edits stay unsaved in the journal, so a failed save loses nothing; after it they can still
be undone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.decision import Decision, Verdict
from napari_ssl.core.segmentation import Segmentation, Source
from napari_ssl.errors import DecisionError
from napari_ssl.gui.loaded_case import LoadedCase
from napari_ssl.gui.stroke_keeper import StrokeKeeper
from napari_ssl.study.edit_history import Edit, Place, Stroke
from napari_ssl.study.journal import EditJournal

if TYPE_CHECKING:
    from napari_ssl.study.study import Study

__all__ = ["ReviewSession", "SaveOrder", "Saved", "last_standing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What a `SaveOrder` did: the decision with its number and the labels that it is about."""

    decision: Decision
    segmentation: Segmentation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SaveOrder:
    """A decision, and the painted labels that it stands for, on the way into the study."""

    loaded: LoadedCase
    verdict: Verdict
    reader: str
    reason: str
    comment: str
    seconds: float
    decided_at: datetime
    flags: tuple[tuple[int, int], ...]
    labels: NDArray[np.uint8] | None
    frames: tuple[int, ...]
    strokes: StrokeKeeper
    n_records: int
    unverified: tuple[Place, ...] = ()

    def run(self, study: Study) -> Saved:
        """Store labels and decision, then release the journal. Called in a thread; NapariSslError when it fails."""
        segmentation = self.loaded.segmentation
        if self.labels is not None:
            segmentation = study.add_segmentation(
                self.loaded.case.id,
                self.labels,
                source=Source.CORRECTED,
                frames=self.frames,
                parent_id=segmentation.id if segmentation else None,
                reader=self.reader,
            )
        decision = study.record(
            Decision(
                case_id=self.loaded.case.id,
                verdict=self.verdict,
                reader=self.reader,
                decided_at=self.decided_at,
                seconds=self.seconds,
                segmentation_id=segmentation.id,
                label_hash=segmentation.label_hash,
                model_id=self._model_id(study, segmentation),
                frames=tuple(sorted({f for f, _ in self.flags})),
                slices=tuple(sorted({z for _, z in self.flags})),
                reason=self.reason,
                comment=self.comment,
            )
        )
        if self.labels is not None:
            self.strokes.rebase(segmentation.label_hash, self.n_records)
        return Saved(decision=decision, segmentation=segmentation)

    @staticmethod
    def _model_id(study: Study, segmentation: Segmentation) -> str | None:
        """Return the model that the labels go back to, through the corrections of them."""
        version: Segmentation | None = segmentation
        while version is not None and version.model_id is None:
            version = None if version.parent_id is None else study.segmentation(version.parent_id)
        return version.model_id if version else None


class ReviewSession:
    """What one reader does in one study.

    Parameters
    ----------
    study : Study
    reader : str
    clock : callable
        Monotonic seconds.
    """

    def __init__(self, study: Study, reader: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.study = study
        self.reader = reader
        self.loaded: LoadedCase | None = None
        self.strokes: StrokeKeeper | None = None
        self.flags: set[tuple[int, int]] = set()
        self.comment = ""
        self.frame = 0
        self.slice = 0
        self._clock = clock
        self._seconds = 0.0
        self._since: float | None = None
        self._active = True

    @property
    def case_id(self) -> str | None:
        """The case on screen."""
        return self.loaded.case.id if self.loaded else None

    @property
    def is_edited(self) -> bool:
        """Whether the shown labels differ from the stored ones by edits that were not undone."""
        return self.strokes is not None and not self.strokes.history.is_stored

    @property
    def unverified(self) -> frozenset[Place]:
        """Frames and slices whose copied, propagated or interpolated labels nobody has looked at."""
        return frozenset(self.strokes.history.unverified) if self.strokes is not None else frozenset()

    @property
    def seconds(self) -> float:
        """Time that the case was on screen while the window was active."""
        return self._seconds + (0.0 if self._since is None else self._clock() - self._since)

    @property
    def is_active(self) -> bool:
        """Whether the window is in front."""
        return self._active

    def open(self, loaded: LoadedCase, *, flags: Iterable[tuple[int, int]] = (), comment: str = "") -> None:
        """Begin with a case; the clock starts anew."""
        self.loaded = loaded
        journal = EditJournal(self.study.folder, loaded.case.id, loaded.base_hash, self.reader)
        self.strokes = StrokeKeeper(journal, loaded.history)
        self.flags = {(int(f), int(z)) for f, z in flags}
        self.comment = comment
        self._seconds, self._since = 0.0, None
        self.set_active(self._active)

    def close(self) -> None:
        """Leave the case; edits that were all undone are no unsaved work, but can be made again later."""
        if self.strokes is not None:
            self.strokes.compact()
        self.loaded = self.strokes = None

    def set_active(self, active: bool) -> None:
        """Run or halt the clock with the window's activity."""
        if self._since is not None:
            self._seconds += self._clock() - self._since
        self._active = active
        self._since = self._clock() if active and self.loaded is not None else None

    def reset_clock(self) -> None:
        """Begin to count anew, after a decision was made."""
        self._seconds = 0.0
        self._since = self._clock() if self._since is not None else None

    def add_edit(self, edit: Edit) -> None:
        """Journal an edit that was just made; StorageError when it waits in memory for the disk."""
        self.loaded.edited_frames = tuple(sorted({*self.loaded.edited_frames, *edit.frames}))
        self.strokes.add(edit)

    def reverting_edit(self) -> Edit | None:
        """Return the edit that leads back to the stored labels, None when they are shown."""
        labels, base = self.loaded.labels, self.loaded.base_labels
        strokes = []
        for frame in range(len(labels)):
            now, then = labels[frame].reshape(-1), base[frame].reshape(-1)
            indices = np.flatnonzero(now != then).astype(np.int32)
            if len(indices):
                strokes.append(Stroke(frame=frame, flat_indices=indices, before=now[indices], after=then[indices]))
        return Edit(strokes=tuple(strokes), tool="revert", reverts=True) if strokes else None

    def toggle_flag(self) -> bool:
        """Flag the shown frame and slice, or take the flag off; returns whether it is flagged now."""
        here = (self.frame, self.slice)
        self.flags ^= {here}
        return here in self.flags

    def order(self, verdict: Verdict, *, reason: str = "", stay: bool = False) -> SaveOrder:
        """Freeze a decision about the case as it is shown.

        ACCEPT of edited labels becomes CORRECT, accepting saves. With `stay` the labels are copied, because the
        reader may go on painting while they are stored.

        Raises
        ------
        DecisionError
            No case is shown, or it has no labels to decide about.
        """
        loaded = self.loaded
        if loaded is None:
            raise DecisionError("no case is open; choose one in the queue")
        keep = verdict in (Verdict.ACCEPT, Verdict.CORRECT)
        edited = keep and self.is_edited and not np.array_equal(loaded.labels, loaded.base_labels)
        if keep:
            corrected = edited or (loaded.segmentation and loaded.segmentation.source is Source.CORRECTED)
            verdict = Verdict.CORRECT if corrected else Verdict.ACCEPT
        if loaded.segmentation is None and not edited:
            raise DecisionError(
                f"case {loaded.case.id}: there are no labels to decide about; paint them, or predict the case first "
                "(Models tab, or 'napari-ssl predict')"
            )
        return SaveOrder(
            loaded=loaded,
            verdict=verdict,
            reader=self.reader,
            reason=reason,
            comment=self.comment,
            seconds=round(self.seconds, 1),
            decided_at=datetime.now(UTC),
            flags=tuple(sorted(self.flags)),
            labels=(loaded.labels.copy() if stay else loaded.labels) if edited else None,
            frames=loaded.labelled_frames,
            strokes=self.strokes,
            n_records=self.strokes.n_records,
            unverified=tuple(sorted(self.unverified)),
        )

    def has_decided(self, order: SaveOrder) -> bool:
        """Whether exactly this stands already, so that accepting again says nothing new."""
        standing = order.loaded.decision
        return (
            standing is not None
            and order.labels is None
            and standing.verdict is order.verdict
            and order.verdict in (Verdict.ACCEPT, Verdict.CORRECT)
            and standing.segmentation_id == order.loaded.segmentation.id
            and not order.flags
            and standing.comment == order.comment
        )

    def saved(self, order: SaveOrder, saved: Saved) -> None:
        """Take over what was stored, when the case is still on screen."""
        loaded = order.loaded
        loaded.decision = saved.decision
        if self.loaded is not loaded or order.labels is None:
            return
        loaded.segmentation = saved.segmentation
        loaded.base_labels = order.labels if order.labels is not loaded.labels else order.labels.copy()
        loaded.base_hash = saved.segmentation.label_hash
        loaded.is_outdated = False


def last_standing(decisions: Iterable[Decision]) -> Decision | None:
    """Return the newest decision that can be taken back; `decisions` are of one reader, oldest first."""
    decisions = list(decisions)
    retracted = {d.retracts_id for d in decisions}
    kept = [d for d in decisions if d.verdict is not Verdict.TAKE_BACK and d.id not in retracted]
    return kept[-1] if kept else None
