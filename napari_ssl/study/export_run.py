"""What every export shares: which cases are meant, where to write, how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_ssl.core.case import Case
from napari_ssl.core.export import ALL_STATES, ExportOptions
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.segmentation import Segmentation, Source
from napari_ssl.errors import LabelError, StudyError
from napari_ssl.io.export_folder import ExportFolder
from napari_ssl.study.queue_rows import QueueRow
from napari_ssl.study.study import Study

__all__ = ["ExportItem", "ExportRun", "ExportStoppedError", "chosen_items"]


class ExportStoppedError(StudyError):
    """The user stopped an export; nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportItem:
    """A case with the labels that stand for it."""

    case: Case
    segmentation: Segmentation
    row: QueueRow

    @property
    def by_hand(self) -> bool:
        """Whether a person painted the labels."""
        return self.segmentation.source in (Source.CORRECTED, Source.REFERENCE)


def chosen_items(study: Study, options: ExportOptions) -> list[ExportItem]:
    """Return the cases that the options mean, in the order of their names."""
    states, found = set(options.states), []
    rows = {row.case_id: row for row in study.queue_rows()}
    for case in study.cases(split=options.split):
        row = rows.get(case.id)  # None: imported between the two calls
        if row is None:
            continue
        segmentation = None
        if ALL_STATES in states or row.state in states:
            segmentation = study.current(case.id)
        if segmentation is None and options.with_expert and row.has_reference:
            segmentation = study.reference(case.id)
        if segmentation is not None:
            found.append(ExportItem(case=case, segmentation=segmentation, row=row))
    return found


@dataclass(kw_only=True)
class ExportRun:
    """One export while it goes on.

    Parameters
    ----------
    study : Study
    options : ExportOptions
    target : ExportFolder
    progress : callable
        Called with done, total and the name of the case.
    should_stop : callable
    notes : list of str
        What the user should know of the outcome; exports add to it.
    """

    study: Study
    options: ExportOptions
    target: ExportFolder
    progress: Callable[[int, int, str], None] = lambda done, total, text: None
    should_stop: Callable[[], bool] = lambda: False
    notes: list[str] = field(default_factory=list)

    def items(self) -> list[ExportItem]:
        """Return the cases that the options mean, in the order of their names."""
        return chosen_items(self.study, self.options)

    def each(self, items: Sequence[ExportItem]) -> Iterator[ExportItem]:
        """Go through cases, telling how far it is; ExportStoppedError as soon as that is wished."""
        for done, item in enumerate(items):
            self.check_stop()
            self.progress(done, len(items), item.case.id)
            yield item
        self.check_stop()

    def check_stop(self) -> None:
        """Raise ExportStoppedError where the user wants to stop."""
        if self.should_stop():
            raise ExportStoppedError("the export was stopped; nothing was written")

    def frames(self, item: ExportItem) -> tuple[int, ...]:
        """Return the frames of a case to export, in order; all labelled ones where no phase is known."""
        labelled = tuple(sorted(item.segmentation.frames))
        if self.options.frames == "labelled":
            return labelled
        phases = {item.case.ed_frame, item.case.es_frame} & set(labelled)
        if not phases and len(labelled) > 1:
            self.notes.append(
                f"{item.case.id}: neither end-diastole nor end-systole is known; all its frames are there"
            )
        return tuple(sorted(phases)) or labelled

    def labels(self, item: ExportItem) -> NDArray[np.uint8]:
        """Return the labels ``(T, Z, Y, X)`` of a case with the values that were asked for."""
        labels = self.study.read_labels(item.segmentation)
        if not self.options.relabel:
            return labels
        return self.relabel_table()[labels]

    def relabel_table(self) -> NDArray[np.uint8]:
        """Return the new value of every value from 0 to 255.

        Raises
        ------
        LabelError
            A value that the study has not, one outside 1 to 255, or two structures that would become one.
        """
        values, wanted = self.study.label_scheme.values, dict(self.options.relabel)
        for old, new in wanted.items():
            if old not in values or not 1 <= new <= 255:
                known = ", ".join(f"{s.value}={s.name}" for s in self.study.label_scheme.structures)
                raise LabelError(f"relabel {old}={new}: old values are {known}, new ones must be 1 to 255")
        after = [wanted.get(v, v) for v in values]
        twice = sorted(v for v in set(after) if after.count(v) > 1)
        if twice:
            both = " and ".join(
                s.name for s, v in zip(self.study.label_scheme.structures, after, strict=True) if v == twice[0]
            )
            raise LabelError(f"relabelling gives {both} the same value {twice[0]}; give each structure its own")
        table = np.arange(256, dtype=np.uint8)
        table[list(values)] = after
        return table

    def structure_values(self) -> dict[str, int]:
        """Return the value of each structure in the labels that are exported."""
        scheme: LabelScheme = self.study.label_scheme
        table = self.relabel_table()
        return {s.name: int(table[s.value]) for s in scheme.structures}
