"""Draw what readers are to read again: second reads, hidden repeats, gold cases, adjudications.

Draws depend on the case and the seed alone, not on which other cases there are: planned again with more cases, what was
drawn stays drawn, and only the new ones are added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from napari_ssl.core.reading import ReadingKind, ReadingTask
from napari_ssl.core.segmentation import Segmentation, Source
from napari_ssl.errors import DecisionError
from napari_ssl.measures.agreement import mean_dice
from napari_ssl.review.audit_draw import draw
from napari_ssl.review.reads import first_reads
from napari_ssl.study.study import Study

__all__ = ["GOLD_GOOD_FROM", "GOLD_WRONG_BELOW", "plan_adjudications", "plan_gold", "plan_repeats", "plan_second_reads"]

GOLD_GOOD_FROM = 0.9
"""Mean Dice to the expert's labels from which on accepting is right."""
GOLD_WRONG_BELOW = 0.75
"""Mean Dice below which accepting is a mistake; what lies between proves nothing about a reader."""


def plan_second_reads(
    study: Study, reader: str, *, share: float, by: str, seed: int = 0, first_reader: str | None = None
) -> list[ReadingTask]:
    """Give a share of what other readers have decided to `reader`, blind; returns the reads that were added.

    Parameters
    ----------
    share : float
        0 to 1: the chance of each decided case to be read a second time.
    first_reader : str, optional
        Only what this reader has decided; else anyone's but the second reader's own.

    Raises
    ------
    DecisionError
        A share outside 0 to 1, or both readers the same.
    """
    _check_share(share)
    if reader == first_reader:
        raise DecisionError(f"a second read needs another reader than {reader}; to measure one reader plan repeats")
    reads = _first_reads(study)
    own = {version for name, version in reads if name == reader}
    newest: dict[str, int] = {}
    for (name, version), read in reads.items():
        if name != reader and first_reader in (None, name) and version not in own:
            newest[read.decision.case_id] = max(version, newest.get(read.decision.case_id, 0))
    chosen = [c for c in sorted(newest) if draw(c, seed, "second read") < share]
    return _plan(study, chosen, newest.__getitem__, reader, ReadingKind.SECOND_READ, by)


def plan_repeats(
    study: Study, reader: str, *, share: float, by: str, seed: int = 0, after_days: float = 7.0
) -> list[ReadingTask]:
    """Bring a share of the reader's own decisions again, unmarked, once they are `after_days` old."""
    _check_share(share)
    latest = datetime.now(UTC) - timedelta(days=after_days)
    newest: dict[str, int] = {}
    for (name, version), read in _first_reads(study).items():
        if name == reader and read.decision.decided_at <= latest:
            newest[read.decision.case_id] = max(version, newest.get(read.decision.case_id, 0))
    done = {(t.case_id, t.segmentation_id) for t in study.reading_tasks(reader=reader, kind=ReadingKind.REPEAT)}
    chosen = [c for c in sorted(newest) if draw(c, seed, "repeat") < share and (c, newest[c]) not in done]
    return _plan(study, chosen, newest.__getitem__, reader, ReadingKind.REPEAT, by)


def plan_gold(
    study: Study,
    reader: str,
    *,
    n: int,
    by: str,
    seed: int = 0,
    good_from: float = GOLD_GOOD_FROM,
    wrong_below: float = GOLD_WRONG_BELOW,
) -> list[ReadingTask]:
    """Mix `n` cases of known quality into the reader's queue, unmarked: half good, half wrong as far as there are any.

    Gold cases are proposals of cases that an expert has labelled, judged by their mean Dice over the expert's frames.
    Cases that the reader knows already, decided or planned, are left out.

    Raises
    ------
    DecisionError
        Limits that contradict each other, or no case that is good or wrong enough.
    """
    if not 0 <= wrong_below <= good_from <= 1:
        raise DecisionError(f"gold cases need 0 <= wrong below <= good from <= 1, got {wrong_below} and {good_from}")
    known = {d.case_id for d in study.decisions(reader=reader)}
    known |= {t.case_id for t in study.reading_tasks(reader=reader)}
    expected: dict[str, tuple[int, str]] = {}
    for case_id, (proposal, reference) in _with_reference(study).items():
        if case_id in known:
            continue
        dice = _dice(study, proposal, reference)
        if dice is not None and (dice >= good_from or dice < wrong_below):
            expected[case_id] = (proposal.id, "good" if dice >= good_from else "wrong")
    if not expected:
        raise DecisionError(
            "there is no gold case to give: needed are proposals of cases with an expert's labels that the reader has "
            f"not seen, with a mean Dice from {good_from:g} on or below {wrong_below:g}; predict labelled cases first"
        )
    by_kind = {
        kind: sorted((c for c, (_, k) in expected.items() if k == kind), key=lambda c: draw(c, seed, "gold"))
        for kind in ("wrong", "good")
    }
    n_wrong = min(len(by_kind["wrong"]), max(n // 2, n - len(by_kind["good"])))
    chosen = [*by_kind["wrong"][:n_wrong], *by_kind["good"][: n - n_wrong]]
    return study.add_reading_tasks(
        _task(c, expected[c][0], reader, ReadingKind.GOLD, by, expected=expected[c][1]) for c in sorted(chosen)
    )


def plan_adjudications(study: Study, reader: str, *, by: str) -> list[ReadingTask]:
    """Give `reader` the cases on which readers differ; the verdict settles them, and the earlier ones may be seen."""
    disputed = [row.case_id for row in study.queue_rows() if row.is_disputed]
    version: dict[str, int] = {}
    for case_id in disputed:
        reads = [r for r in _first_reads(study).values() if r.decision.case_id == case_id]
        version[case_id] = max(r.shown_id for r in reads if r.category == "reject")
    return study.add_reading_tasks(
        _task(c, version[c], reader, ReadingKind.ADJUDICATION, by, is_blind=False) for c in sorted(version)
    )


def _first_reads(study: Study) -> dict:
    versions = {s.id: s for s in study.segmentations()}
    return first_reads(study.decisions(), versions, {t.id: t for t in study.reading_tasks()})


def _with_reference(study: Study) -> dict[str, tuple[Segmentation, Segmentation]]:
    reference: dict[str, Segmentation] = {}
    proposal: dict[str, Segmentation] = {}
    for version in study.segmentations():
        if version.source is Source.REFERENCE:
            reference[version.case_id] = version
        elif version.source in (Source.MODEL, Source.REFINED):
            proposal[version.case_id] = version
    return {c: (proposal[c], reference[c]) for c in proposal if c in reference}


def _dice(study: Study, proposal: Segmentation, reference: Segmentation) -> float | None:
    frames = sorted(set(proposal.frames) & set(reference.frames))
    if not frames:
        return None
    return mean_dice(study.read_labels(proposal)[frames], study.read_labels(reference)[frames], study.label_scheme)


def _plan(
    study: Study, cases: Iterable[str], version_of: Callable[[str], int], reader: str, kind: ReadingKind, by: str
) -> list[ReadingTask]:
    return study.add_reading_tasks(_task(c, version_of(c), reader, kind, by) for c in cases)


def _task(case_id: str, version: int, reader: str, kind: ReadingKind, by: str, **more: object) -> ReadingTask:
    return ReadingTask(
        case_id=case_id,
        segmentation_id=version,
        reader=reader,
        kind=kind,
        planned_by=by,
        created_at=datetime.now(UTC),
        **more,
    )


def _check_share(share: float) -> None:
    if not 0 < share <= 1:
        raise DecisionError(f"the share of cases must be above 0 and at most 1, got {share:g}")
