"""``qc predict-dice``: how good a proposal is, predicted without a reference of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from napari_ssl.commands.options import JSON, STUDY, catching, names, report, say
from napari_ssl.commands.stopping import stop_on_signal
from napari_ssl.core.job import Event, EventKind

__all__ = ["predict_dice"]


def _workers() -> int:
    """Threads as for torch: NAPARI_SSL_THREADS or OMP_NUM_THREADS, else one core is left to the window."""
    for variable in ("NAPARI_SSL_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(variable, "")
        if text.isdigit() and int(text) >= 1:
            return int(text)
    return max(1, (os.cpu_count() or 1) - 1)


def _lines(result: dict[str, Any]) -> list[str]:
    lines = [f"Predicted Dice of {len(result['cases'])} cases in {result['seconds']:.0f} s ({result['method']})"]
    for case_id, document in result["cases"].items():
        values = (f"{k} {v:.3f}" for k, v in document.items() if isinstance(v, float))
        lines.append(f"  {case_id}: {', '.join(values)}")
    return lines + [f"  {case_id}: {why}" for case_id, why in result["failed"].items()]


@click.command("predict-dice")
@STUDY
@click.option("--cases", metavar="CASE,…", help="By default every case with a proposal.")
@click.option(
    "--references",
    type=click.IntRange(1, 1000),
    default=8,
    show_default=True,
    help="Labelled training cases that the proposals are compared with.",
)
@JSON
@catching
def predict_dice(study: Path, cases: str | None, references: int, as_json: bool) -> None:
    """Predict the Dice of proposals by registering them to labelled cases (reverse classification accuracy)."""
    from napari_ssl.rounds.predicted_dice import predict_dice as work
    from napari_ssl.study.study import Study

    def tell(event: Event) -> None:
        if as_json:
            return
        if event.kind is EventKind.NOTICE:
            say(f"note: {event.data['message']}")
        elif event.kind is EventKind.PROGRESS:
            say(f"{100 * event.data['fraction']:3.0f} %  {event.data['step']}")

    with Study.open(study) as opened, stop_on_signal() as should_stop:
        chosen = names("--cases", cases)
        result = work(
            opened, cases=chosen, n_references=references, workers=_workers(), emit=tell, should_stop=should_stop
        )
    if result["stopped"]:
        raise KeyboardInterrupt
    report(result, as_json, _lines(result))
