"""The history of a case in readable lines: decisions, verdicts on places, label versions. Free of Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from napari_ssl.core.decision import Decision, PlaceVerdict, Verdict
from napari_ssl.core.segmentation import Segmentation, Source
from napari_ssl.gui.place_grid import place_text

__all__ = ["HistoryRow", "history_rows"]

_WORDS = {
    Verdict.ACCEPT: "accepted",
    Verdict.CORRECT: "corrected",
    Verdict.REJECT: "rejected",
    Verdict.DEFER: "deferred",
}
_ORIGINS = {
    Source.REFERENCE: "expert labels imported",
    Source.MODEL: "labels proposed",
    Source.REFINED: "labels proposed",
    Source.CORRECTED: "labels painted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One line. `decision_id` or `place_id` name what can be taken back by the reader that asks, else both are None."""

    at: datetime
    who: str
    what: str
    version: str
    model: str
    seconds: float | None
    remark: str
    segmentation_id: int
    decision_id: int | None = None
    place_id: int | None = None
    taken_back: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """The line's cells: when, who, what, labels, model, seconds, remark."""
        when = self.at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        spent = "" if self.seconds is None else f"{self.seconds:.0f} s"
        what = f"{self.what} (taken back)" if self.taken_back else self.what
        return (when, self.who, what, self.version, self.model, spent, self.remark)


def history_rows(
    segmentations: Sequence[Segmentation],
    decisions: Sequence[Decision],
    places: Sequence[PlaceVerdict],
    reader: str,
) -> list[HistoryRow]:
    """Return what happened to a case, the newest first.

    Parameters
    ----------
    decisions, places
        All rows, those that take others back among them.
    reader : str
        Who asks: only own decisions can be taken back.
    """
    versions = {s.id: s for s in segmentations}
    rows = [_made(s) for s in segmentations]
    undone = {d.retracts_id for d in decisions if d.verdict is Verdict.TAKE_BACK}
    rows += [_decided(d, versions, undone, decisions, reader) for d in decisions]
    undone_places = {v.retracts_id for v in places if v.retracts_id is not None}
    rows += [_judged(v, versions, undone_places, reader) for v in places]
    return sorted(rows, key=lambda row: row.at, reverse=True)


def _made(segmentation: Segmentation) -> HistoryRow:
    n = len(segmentation.frames)
    return HistoryRow(
        at=segmentation.created_at,
        who=segmentation.reader or segmentation.model_id or "import",
        what=_ORIGINS[segmentation.source],
        version=f"version {segmentation.version}",
        model=segmentation.model_id or "",
        seconds=None,
        remark=f"{n} frame{'s' if n != 1 else ''}",
        segmentation_id=segmentation.id,
    )


def _version(versions: dict[int, Segmentation], number: int) -> str:
    return f"version {versions[number].version}" if number in versions else "–"


def _decided(
    decision: Decision, versions: dict[int, Segmentation], undone: set, decisions: Sequence[Decision], reader: str
) -> HistoryRow:
    what = _WORDS.get(decision.verdict, "")
    if decision.verdict is Verdict.TAKE_BACK:
        earlier = next((d for d in decisions if d.id == decision.retracts_id), None)
        what = f"took “{_WORDS.get(earlier.verdict, '') if earlier else 'a decision'}” back"
    places = [f"frames {', '.join(map(str, decision.frames))}"] if decision.frames else []
    places += [f"slices {', '.join(map(str, decision.slices))}"] if decision.slices else []
    remark = "; ".join(part for part in (decision.reason, *places, decision.comment) if part)
    mine = decision.reader == reader and decision.verdict is not Verdict.TAKE_BACK and decision.id not in undone
    return HistoryRow(
        at=decision.decided_at,
        who=decision.reader,
        what=what,
        version=_version(versions, decision.segmentation_id),
        model=decision.model_id or "",
        seconds=decision.seconds,
        remark=remark,
        segmentation_id=decision.segmentation_id,
        decision_id=decision.id if mine else None,
        taken_back=decision.id in undone,
    )


def _judged(verdict: PlaceVerdict, versions: dict[int, Segmentation], undone: set, reader: str) -> HistoryRow:
    where = place_text((verdict.frame, verdict.slice))
    is_back = verdict.retracts_id is not None
    mine = verdict.reader == reader and not is_back and verdict.id not in undone
    version = versions.get(verdict.segmentation_id)
    return HistoryRow(
        at=verdict.judged_at,
        who=verdict.reader,
        what=f"took “{where} {verdict.verdict.value}” back" if is_back else f"{where}: {verdict.verdict.value}",
        version=_version(versions, verdict.segmentation_id),
        model=(version.model_id or "") if version else "",
        seconds=None if is_back else verdict.seconds,
        remark="; ".join(part for part in (verdict.reason, verdict.comment) if part and not is_back),
        segmentation_id=verdict.segmentation_id,
        place_id=verdict.id if mine else None,
        taken_back=verdict.id in undone,
    )
