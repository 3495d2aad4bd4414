"""A comparison as page, tables and figures: ``comparison.html``, ``*.csv``, ``figures/*.svg, *.png``.

All is made from the document that `napari_ssl.rounds.comparison.compare` returns, or from its ``comparison.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari_ssl.report.comparison_csv import CASE_COLUMNS, SCORE_COLUMNS, write_tables
from napari_ssl.report.comparison_tables import (
    QUANTITIES,
    clinical_table,
    efficiency_table,
    minutes_table,
    settings_table,
    test_table,
    title_of,
)
from napari_ssl.report.comparison_tables import scores_table as page_scores
from napari_ssl.report.html import Block, Facts, Figure, Heading, Page, Paragraph, Section, write_page
from napari_ssl.report.plots import bland_altman_figure, change_figure, curve_figure, save_both, scores_figure
from napari_ssl.rounds.comparison_table import INDICES

__all__ = ["CASE_COLUMNS", "SCORE_COLUMNS", "write_comparison"]

_SMALL = 10


def write_comparison(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write tables, page and figures of a comparison into its folder and return the files.

    Raises
    ------
    StorageError
        A file cannot be written; what was there before is intact.
    """
    figures = folder / "figures"
    before = _drawn(figures)
    tables = write_tables(document, folder)
    page = Page(
        title=f"Comparison of {len(document['arms'])} arms on {document['study']}",
        subtitle=_subtitle(document),
        sections=[
            Section(title="Overlap and distance", blocks=_score_blocks(document, figures)),
            Section(title="Against the baseline", blocks=_test_blocks(document, figures)),
            Section(title="Clinical indices", blocks=_clinical_blocks(document, figures)),
            Section(title="Clinician's time", blocks=_minutes_blocks(document, figures)),
            Section(title="Cost", blocks=[efficiency_table(document)]),
            Section(title="Settings", blocks=_settings_blocks(document)),
        ],
        footer=f"napari-ssl {document['napari_ssl']}, {document['created_at']}",
    )
    html = write_page(page, folder / "comparison.html")
    for path, when in before.items():
        if path.stat().st_mtime_ns == when:  # of an earlier plan that had more figures
            with suppress(OSError):  # open in a viewer on Windows: it stays
                path.unlink()
    return [html, *tables, *sorted(_drawn(figures), key=lambda path: (path.suffix != ".svg", path))]


def _drawn(figures: Path) -> dict[Path, int]:
    """Return the figures of a comparison that are there, with the time that they were written, ns."""
    names = [*QUANTITIES, "change_of_dice", "dice_against_minutes", *(f"bland_altman_{index}" for index in INDICES)]
    paths = [figures / f"{name}.{end}" for name in names for end in ("svg", "png")]
    return {path: path.stat().st_mtime_ns for path in paths if path.exists()}


def _subtitle(document: Mapping[str, Any]) -> str:
    plan = document["plan"]
    n, seeds = len(document["subjects"]), len(plan["seeds"])
    steps = f"{plan['iterations']} optimiser steps for each arm, " if plan["iterations"] else ""
    return (
        f"{n} subject{'s' if n != 1 else ''} of the {plan['split']} split, "
        f"{steps}{seeds} seed{'s' if seeds != 1 else ''}, "
        f"post-processing of every arm alike: {_postprocessing(plan)}."
    )


def _postprocessing(plan: Mapping[str, Any]) -> str:
    used = [name for name, on in (("dense CRF", plan["crf"]), ("largest component", plan["largest_component"])) if on]
    return " and ".join(used) or "none"


def _score_blocks(document: Mapping[str, Any], figures: Path) -> list[Block]:
    blocks: list[Block] = [
        Paragraph(text=f"{run}: left out, {why}", is_warning=True) for run, why in document["failed"].items()
    ]
    if not document["steps_are_equal"]:
        blocks.append(
            Paragraph(text="The arms were trained with different numbers of optimiser steps.", is_warning=True)
        )
    if known := document.get("known_to_classifier"):
        blocks.append(
            Paragraph(
                text=f"The classifier of curves has learnt from {len(known)} of the subjects that arms select from or "
                "are tested on, whose labels this comparison hides: arms with quality control look better than they "
                "are.",
                is_warning=True,
            )
        )
    if len(document["subjects"]) < _SMALL:
        blocks.append(
            Paragraph(
                text=f"With {len(document['subjects'])} subjects only large differences can be told from chance.",
                is_warning=True,
            )
        )
    for quantity, by_structure in document["scores"].items():
        blocks.append(page_scores(document, quantity))
        title, unit = title_of(quantity)
        drawing = save_both(scores_figure(by_structure, title, unit=unit), figures / quantity)
        caption = f"{title} of every subject (mean over seeds) by structure; the bar is the mean of the arm."
        blocks.append(Figure(svg=drawing, caption=caption, alt=f"{title} by structure and arm"))
    return blocks


def _test_blocks(document: Mapping[str, Any], figures: Path) -> list[Block]:
    if len(document["arms"]) < 2 or document["baseline"] not in document["arms"]:
        return []
    tables = [test_table(document, quantity) for quantity in document["scores"]]
    drawing = save_both(
        change_figure(document["baseline"], document["scores"]["dice"]["mean"], "Dice"), figures / "change_of_dice"
    )
    caption = (
        f"Change of Dice against {document['baseline']} for each subject, over its Dice there "
        "(mean over structures and seeds; after Ruijsink et al. 2020, Fig. 2)."
    )
    return [Figure(svg=drawing, caption=caption, alt="Change of Dice over baseline Dice"), *tables]


def _clinical_blocks(document: Mapping[str, Any], figures: Path) -> list[Block]:
    if not document["clinical"]:
        return []
    blocks: list[Block] = [*clinical_table(document), Heading(text="Agreement (Bland and Altman)")]
    for index in document["clinical"]:
        drawing = save_both(_agreement_of(document, index), figures / f"bland_altman_{index}")
        blocks.append(
            Figure(svg=drawing, caption=f"{INDICES[index]}: bias and limits of agreement.", alt=INDICES[index])
        )
    return blocks


def _agreement_of(document: Mapping[str, Any], index: str) -> Any:
    arms = document["clinical"][index]["arms"]
    return bland_altman_figure(INDICES[index], arms, colour_order=list(document["arms"]))


def _minutes_blocks(document: Mapping[str, Any], figures: Path) -> list[Block]:
    if "minutes" not in document:
        return []
    drawing = save_both(curve_figure(document["minutes"]), figures / "dice_against_minutes")
    caption = "Dice against the time that the review would have cost a clinician; bands: 95 % bootstrap over subjects."
    return [
        *(Paragraph(text=text) for text in _who_reviews(document)),
        Figure(svg=drawing, caption=caption, alt="Dice against minutes"),
        minutes_table(document),
    ]


def _who_reviews(document: Mapping[str, Any]) -> list[str]:
    """What is assumed about the time of those who review: between the rounds, and inside the runs of an arm."""
    plan, said = document["plan"], []
    if plan["rounds"]:
        assumed = _assumed(plan["policy_parameters"])
        said.append(
            f"Policy {plan['policy']} reviews what each arm proposes, {plan['rounds']} times. {assumed}".strip()
        )
    for arm, what in document["arms"].items():
        if what["policy"] == "oracle":
            said.append(
                f"In {arm} an oracle reviews inside the run. {_assumed(what.get('policy_parameters', {}))}".strip()
            )
    return said


def _assumed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in values.items())


def _settings_blocks(document: Mapping[str, Any]) -> list[Block]:
    plan = document["plan"]
    labelled = sorted({tuple(run["labelled"]) for run in document["runs"]}, key=lambda cases: (len(cases), cases))
    facts = {
        "Baseline": document["baseline"],
        "Seeds": ", ".join(str(s) for s in plan["seeds"]),
        "Labelled cases": "; ".join(f"{len(c)}: {', '.join(c)}" for c in labelled),
        "Subjects": ", ".join(document["subjects"]),
        "Set in every arm": ", ".join(f"{k} = {v}" for k, v in plan["common"].items()) or "nothing",
        "Statistics": "unit: subject; means over its cases and seeds first; paired t-test and Wilcoxon "
        "signed-rank test, two-sided; p adjusted for the number of arms (Holm); bootstrap over subjects, 5,000 times",
    }
    return [Facts(facts=facts), settings_table(document)]
