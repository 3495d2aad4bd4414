"""What the pages about provenance are made of: the record of a study, decisions and label versions as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from napari_ssl.core.decision import Decision, Verdict
from napari_ssl.core.model import Model
from napari_ssl.core.segmentation import Segmentation
from napari_ssl.errors import CheckpointError
from napari_ssl.report.html import Cell, Table
from napari_ssl.study.study import Study

__all__ = [
    "SHORT",
    "Record",
    "decision_behind",
    "decision_table",
    "lineage",
    "numbers",
    "place_tables",
    "read_record",
    "retractions",
    "version_table",
    "when",
]

SHORT = 12
"""Digits of a hash that people compare."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a study holds, looked up many times."""

    study: Study
    models: Mapping[str, Model]
    decisions: Mapping[str, Sequence[Decision]]
    versions: Mapping[str, Sequence[Segmentation]]

    def card(self, model_id: str) -> dict[str, Any] | None:
        """The card of a model; None when its files are lost, which is no reason to tell nothing."""
        try:
            return self.study.model_card(model_id)
        except CheckpointError:
            return None


def read_record(study: Study) -> Record:
    """Read models, decisions and label versions of a study once."""
    decisions: dict[str, list[Decision]] = {}
    for decision in study.decisions():
        decisions.setdefault(decision.case_id, []).append(decision)
    versions: dict[str, list[Segmentation]] = {}
    for segmentation in study.segmentations():
        versions.setdefault(segmentation.case_id, []).append(segmentation)
    return Record(study, {m.id: m for m in study.models()}, decisions, versions)


def when(moment: datetime | str) -> str:
    """Return a moment in the time zone of whoever reads the page."""
    moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def numbers(values: Iterable[int]) -> str:
    """List numbers; a dash when there are none."""
    return ", ".join(str(v) for v in values) or "–"


# -- decisions ---------------------------------------------------------------------------------------------------------


def retractions(decisions: Iterable[Decision]) -> dict[int, Decision]:
    """Return what was taken back, and by which decision."""
    return {d.retracts_id: d for d in decisions if d.verdict is Verdict.TAKE_BACK}


def decision_behind(decisions: Sequence[Decision], label_hash: str, before: datetime) -> Decision | None:
    """The decision that let labels into a training: the newest about them, not taken back before the model was made."""
    undone = {key for key, d in retractions(decisions).items() if d.decided_at < before}
    fitting = [
        d
        for d in decisions
        if d.label_hash == label_hash
        and d.verdict in (Verdict.ACCEPT, Verdict.CORRECT)
        and d.id not in undone
        and d.decided_at <= before
    ]
    return fitting[-1] if fitting else None


def _decision_row(decision: Decision, versions: Mapping[int, Segmentation], undone: Mapping[int, Decision]) -> list:
    version = versions.get(decision.segmentation_id)
    what = decision.verdict.value.replace("_", " ")
    if decision.retracts_id is not None:
        what = f"takes decision {decision.retracts_id} back"
    later = undone.get(decision.id)
    place = [f"frames {numbers(decision.frames)}"] if decision.frames else []
    place += [f"slices {numbers(decision.slices)}"] if decision.slices else []
    return [
        str(decision.id),
        when(decision.decided_at),
        decision.reader,
        Cell(what, f"taken back {when(later.decided_at)}" if later else "", "worse" if later else ""),
        f"version {version.version}" if version else "–",
        decision.model_id or "–",
        f"{decision.seconds:.0f} s",
        Cell(decision.reason or "–", "; ".join(place)),
        decision.comment or "–",
    ]


_DECISION_COLUMNS = ("No.", "When", "Reader", "Decision", "Labels", "Proposed by", "Time spent", "Reason", "Comment")


def decision_table(decisions: Sequence[Decision], versions: Iterable[Segmentation], caption: str) -> Table:
    """List decisions, oldest first, with what became of them."""
    by_id, undone = {s.id: s for s in versions}, retractions(decisions)
    return Table(
        columns=_DECISION_COLUMNS,
        rows=[_decision_row(d, by_id, undone) for d in decisions],
        caption=caption,
        text_columns=(1, 2, 3, 4, 5, 7, 8),
    )


def place_tables(study: Study, case_id: str) -> list[Table]:
    """Verdicts on single frames and slices, with those taken back."""
    found = study.place_verdicts(case_id, standing=False)
    if not found:
        return []
    undone = {v.retracts_id for v in found if v.retracts_id is not None}
    rows = [
        [
            when(v.judged_at),
            v.reader,
            f"frame {v.frame}" + ("" if v.slice is None else f", slice {v.slice}"),
            Cell("taken back" if v.retracts_id is not None else v.verdict, "taken back" if v.id in undone else ""),
            v.reason or "–",
            v.comment or "–",
        ]
        for v in found
    ]
    columns = ("When", "Reader", "Place", "Verdict", "Reason", "Comment")
    return [Table(columns=columns, rows=rows, caption="Single frames and slices.", text_columns=(1, 2, 3, 4, 5))]


# -- labels ------------------------------------------------------------------------------------------------------------


def lineage(versions: Sequence[Segmentation], segmentation: Segmentation) -> list[Segmentation]:
    """Return a label version and those that it was corrected from, the newest first."""
    by_id, chain = {s.id: s for s in versions}, [segmentation]
    while chain[-1].parent_id is not None and chain[-1].parent_id in by_id:
        chain.append(by_id[chain[-1].parent_id])
    return chain


def _maker(segmentation: Segmentation) -> str:
    return segmentation.reader or segmentation.model_id or "import"


def version_table(versions: Sequence[Segmentation]) -> Table:
    """List label versions, oldest first."""
    by_id = {s.id: s for s in versions}
    rows = [
        [
            str(s.version),
            s.source.value,
            _maker(s),
            when(s.created_at),
            f"version {by_id[s.parent_id].version}" if s.parent_id in by_id else "–",
            str(len(s.frames)),
            s.label_hash[:SHORT],
        ]
        for s in versions
    ]
    columns = ("Version", "Kind", "Made by", "When", "Corrected from", "Frames", "Hash (SHA-256)")
    caption = "Versions are kept; none is ever overwritten."
    return Table(columns=columns, rows=rows, caption=caption, text_columns=(1, 2, 3, 4))
