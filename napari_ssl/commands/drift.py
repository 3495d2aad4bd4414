"""``qc drift``: is the loop getting better?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from napari_ssl.commands.options import JSON, STUDY, catching, report
from napari_ssl.core.parameters import from_mapping, from_texts

__all__ = ["drift"]


@click.command("drift")
@STUDY
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A limit, e.g. loss_rise_percent=10.")
@JSON
@catching
def drift(study: Path, settings: tuple[str, ...], as_json: bool) -> None:
    """Compare the rounds: validation, flagged proposals, ratings against scores; say whether to stop."""
    from napari_ssl.measures.drift import DriftLimits
    from napari_ssl.rounds.drift import study_drift
    from napari_ssl.study.study import Study

    limits = from_mapping(DriftLimits, from_texts(DriftLimits, settings))
    with Study.open(study, read_only=True) as opened:
        document = study_drift(opened, limits).to_dict()
    lines = [_line(r) for r in document["rounds"]]
    lines += [a["message"] for a in document["alarms"]]
    report(document, as_json, [*lines, document["advice"]])


def _line(record: dict[str, Any]) -> str:
    flagged = record["share_flagged"]
    parts = [
        f"round {record['round']}  {record['model_id']}  {record['method']}",
        f"validation loss {_number(record['validation_loss'], 4)}, Dice {_number(record['validation_dice'], 3)}",
        "no proposal judged" if flagged is None else f"{100 * flagged:.0f} % of {record['n_proposals']} flagged",
    ]
    if record["n_rated"]:
        parts.append(
            f"{record['n_rated']} rated: {100 * record['share_rated_good']:.0f} % good, "
            f"{100 * record['mean_probability_good']:.0f} % expected"
        )
    return "; ".join(parts)


def _number(value: float | None, digits: int) -> str:
    return "unknown" if value is None else f"{value:.{digits}f}"
