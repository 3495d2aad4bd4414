"""``readers plan | agreement | tasks | withdraw``: several readers on one study, and how well they agree."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

import click

from napari_ssl.commands.options import JSON, SEED, STUDY, catching, report
from napari_ssl.core.reading import ReadingKind

__all__ = ["COMMANDS"]

_READER = click.option("--reader", required=True, metavar="NAME", help="Who is to read.")
_SHARE = click.option("--share", type=float, default=0.2, show_default=True, help="Share of the cases, 0 to 1.")
_BY = click.option("--by", default=getpass.getuser, show_default="user", help="Who plans it; recorded.")


@click.group()
def readers() -> None:
    """Plan second reads, hidden repeats and gold cases; see how well readers agree."""


@readers.group("plan")
def plan() -> None:
    """Give a reader cases to read. What was given before is not given twice."""


@plan.command("second")
@STUDY
@_READER
@click.option("--of", "first_reader", metavar="NAME", help="Only what this reader has decided; by default anyone.")
@_SHARE
@SEED
@_BY
@JSON
@catching
def second(study: Path, reader: str, first_reader: str | None, share: float, seed: int, by: str, as_json: bool) -> None:
    """Second reads, blind: a share of what others have decided, without their verdicts and labels."""
    from napari_ssl.review.planning import plan_second_reads
    from napari_ssl.study.study import Study

    with Study.open(study) as opened:
        added = plan_second_reads(opened, reader, share=share, by=by, seed=seed, first_reader=first_reader)
    _report_plan(added, "second read", reader, as_json)


@plan.command("repeats")
@STUDY
@_READER
@_SHARE
@click.option("--after-days", type=float, default=7.0, show_default=True, help="Age of a decision before it repeats.")
@SEED
@_BY
@JSON
@catching
def repeats(study: Path, reader: str, share: float, after_days: float, seed: int, by: str, as_json: bool) -> None:
    """Hidden repeats: a share of the reader's own decisions comes again, unmarked."""
    from napari_ssl.review.planning import plan_repeats
    from napari_ssl.study.study import Study

    with Study.open(study) as opened:
        added = plan_repeats(opened, reader, share=share, by=by, seed=seed, after_days=after_days)
    _report_plan(added, "hidden repeat", reader, as_json)


@plan.command("gold")
@STUDY
@_READER
@click.option("-n", "count", type=click.IntRange(1), default=10, show_default=True, help="How many.")
@click.option("--good-from", type=float, default=0.9, show_default=True, help="Mean Dice of proposals that are right.")
@click.option("--wrong-below", type=float, default=0.75, show_default=True, help="Mean Dice of those that are wrong.")
@SEED
@_BY
@JSON
@catching
def gold(
    study: Path, reader: str, count: int, good_from: float, wrong_below: float, seed: int, by: str, as_json: bool
) -> None:
    """Gold cases: proposals whose quality an expert's labels tell come unmarked, good ones and wrong ones."""
    from napari_ssl.review.planning import plan_gold
    from napari_ssl.study.study import Study

    with Study.open(study) as opened:
        added = plan_gold(opened, reader, n=count, by=by, seed=seed, good_from=good_from, wrong_below=wrong_below)
    _report_plan(added, "gold case", reader, as_json)


@plan.command("adjudication")
@STUDY
@_READER
@_BY
@JSON
@catching
def adjudication(study: Path, reader: str, by: str, as_json: bool) -> None:
    """Give the reader the cases on which readers differ; the verdict settles them."""
    from napari_ssl.review.planning import plan_adjudications
    from napari_ssl.study.study import Study

    with Study.open(study) as opened:
        added = plan_adjudications(opened, reader, by=by)
    _report_plan(added, "case to settle", reader, as_json)


def _report_plan(added: list, what: str, reader: str, as_json: bool) -> None:
    document = {
        "reader": reader,
        "added": [{"id": t.id, "case": t.case_id, "segmentation": t.segmentation_id} for t in added],
    }
    if len(added) != 1:
        what = "cases to settle" if what == "case to settle" else f"{what}s"
    report(document, as_json, [f"{len(added)} {what} for {reader}"])


@readers.command("tasks")
@STUDY
@click.option("--reader", metavar="NAME", help="Only this reader's.")
@click.option("--all", "show_all", is_flag=True, help="Also those that are done.")
@JSON
@catching
def tasks(study: Path, reader: str | None, show_all: bool, as_json: bool) -> None:
    """List planned reads. For those who plan: it tells readers which cases are repeats or gold."""
    from napari_ssl.study.study import Study

    with Study.open(study, read_only=True) as opened:
        waiting = {t.id for t in opened.reading_tasks(reader=reader, open_only=True)}
        found = opened.reading_tasks(reader=reader)
    rows = [
        {
            "id": t.id,
            "case": t.case_id,
            "segmentation": t.segmentation_id,
            "reader": t.reader,
            "kind": t.kind.value,
            "done": t.id not in waiting,
            "expected": t.expected,
            "planned_by": t.planned_by,
            "created_at": t.created_at.isoformat(),
        }
        for t in found
        if show_all or t.id in waiting
    ]
    lines = [f"{r['reader']}: {r['kind']} of {r['case']}{' (done)' if r['done'] else ''}" for r in rows]
    report({"tasks": rows}, as_json, lines or ["No read is planned"])


@readers.command("withdraw")
@STUDY
@click.option("--reader", metavar="NAME", help="Only this reader's.")
@click.option("--kind", type=click.Choice([k.value for k in ReadingKind]), help="Only reads of this kind.")
@JSON
@catching
def withdraw(study: Path, reader: str | None, kind: str | None, as_json: bool) -> None:
    """Forget planned reads that nobody has begun."""
    from napari_ssl.study.study import Study

    with Study.open(study) as opened:
        n = opened.withdraw_reading_tasks(reader=reader, kind=kind)
    report({"withdrawn": n}, as_json, [f"{n} planned reads withdrawn"])


@readers.command("agreement")
@STUDY
@click.option("--verdicts-only", is_flag=True, help="Do not compare label maps.")
@JSON
@catching
def agreement(study: Path, verdicts_only: bool, as_json: bool) -> None:
    """Kappa, Dice and EF between readers and within them, verdicts on gold cases, unbiased acceptance rate."""
    from napari_ssl.review.agreement import agreement_report
    from napari_ssl.study.study import Study

    with Study.open(study, read_only=True) as opened:
        document = agreement_report(opened, with_labels=not verdicts_only)
    report(document, as_json, _lines(document))


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [_reader_line(entry) for entry in document["readers"]] or ["Nobody has decided about a case yet"]
    lines += [_pair_line(" and ".join(entry["readers"]), entry) for entry in document["between"]]
    lines += [_pair_line(f"{entry['reader']}, hidden repeats", entry) for entry in document["within"]]
    lines += [
        f"{entry['reader']}, gold cases: {entry['n_right']} of {entry['n']} right"
        f" (wrong ones found: {_share(entry['wrong_found'])}; good ones accepted: {_share(entry['good_accepted'])})"
        for entry in document["gold"]
    ]
    if document["disputed"]:
        lines.append(f"readers differ on: {', '.join(document['disputed'])} (napari-ssl readers plan adjudication)")
    for name, text in (("audit", "Accepted in the audit stream, unbiased"), ("all", "Accepted of all that was read")):
        share = document["acceptance"][name]
        if share["n"]:
            low, high = _share(share["low"]), _share(share["high"])
            lines.append(f"{text}: {share['n_accepted']} of {share['n']}, {_share(share['rate'])} ({low} to {high})")
    return lines


def _reader_line(entry: dict[str, Any]) -> str:
    waiting = ", ".join(f"{n} {kind}" for kind, n in entry["open"].items())
    pace = "" if entry["median_seconds"] is None else f", {entry['median_seconds']:.0f} s a case"
    return (
        f"{entry['reader']}: {entry['n_read']} read ({entry['accept']} accepted, {entry['correct']} corrected, "
        f"{entry['reject']} rejected{pace}){'; open: ' + waiting if waiting else ''}"
    )


def _pair_line(who: str, entry: dict[str, Any]) -> str:
    value, interval = entry["kappa"]["value"], entry["kappa_bootstrap"]
    text = "kappa not defined" if value is None else f"kappa {value:.2f}"
    if interval["low"] is not None:
        text += f" ({interval['low']:.2f} to {interval['high']:.2f})"
    text = f"{who}: {entry['n']} cases, {text}"
    labels = entry.get("labels")
    if labels:
        text += f", Dice {labels['dice']['mean']:.3f}"
        ef = labels["lv_ef_percent"]
        if ef is not None and ef["sd"] is not None:
            text += f", EF {ef['bias']:+.1f} points (limits {ef['lower']:+.1f} to {ef['upper']:+.1f})"
    return text


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


COMMANDS = (readers,)
