"""One self-contained HTML page about a round of a study, its figures beside it as SVG and PNG."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.report.comparison_tables import clinical_table, scores_table, test_table, title_of
from napari_ssl.report.figures import overlay_figure
from napari_ssl.report.html import (
    Block,
    Cell,
    Facts,
    Figure,
    Heading,
    Page,
    Paragraph,
    Picture,
    Section,
    Table,
    write_page,
)
from napari_ssl.report.plots import bland_altman_figure, change_figure, save_both, scores_figure
from napari_ssl.report.quality_plots import calibration_figure, roc_figure, rounds_figure
from napari_ssl.rounds.comparison_table import INDICES

__all__ = ["Example", "write_round_page"]

_CHANGES = {
    "dice": ("Dice", 3),
    "hd95_mm": ("HD95 (mm)", 1),
    "asd_mm": ("ASD (mm)", 2),
    "nsd": ("NSD", 3),
    "ef_abs_error_points": ("EF error (points)", 1),
}
_VERDICTS = ("accept", "correct", "reject", "defer", "take_back")


class Example(NamedTuple):
    """A slice to show: labels are (Y, X), or None where nothing was kept."""

    image_yx: NDArray[Any]
    found: NDArray[Any] | None
    reference: NDArray[Any] | None
    frame: int
    slice: int
    pixel_aspect: float


def write_round_page(
    document: Mapping[str, Any],
    folder: Path,
    *,
    scheme: LabelScheme,
    example_of: Callable[[str], Example | None] = lambda case_id: None,
) -> list[Path]:
    """Write ``round-N.html`` and ``figures/`` and return the files.

    Parameters
    ----------
    document : mapping
        What `rounds.round_summary.summarise_round` gathers.
    example_of : callable
        Returns the slice to show of a case; None leaves it out.

    Raises
    ------
    StorageError
        A file cannot be written; what was there before is intact.
    """
    figures = folder / "figures" / f"round-{document['round']}"
    page = Page(
        title=f"{document['study']}: round {document['round']}",
        subtitle=_subtitle(document),
        sections=[
            Section(title="What changed", blocks=_change_blocks(document, figures)),
            Section(title="Cohort", blocks=_cohort_blocks(document)),
            Section(title="Models", blocks=_model_blocks(document)),
            Section(title="Overlap and distance", blocks=_score_blocks(document, figures)),
            Section(title="Clinical indices", blocks=_clinical_blocks(document, figures)),
            Section(title="Quality control", blocks=_quality_blocks(document, figures)),
            Section(title="Readers", blocks=_reader_blocks(document)),
            Section(title="Examples", blocks=_example_blocks(document, scheme, example_of)),
        ],
        footer=f"napari-ssl {document['napari_ssl']}, {document['created_at']}",
    )
    drawn = sorted(figures.glob("*.svg")) + sorted(figures.glob("*.png"))
    return [write_page(page, folder / f"round-{document['round']}.html"), *drawn]


def _subtitle(document: Mapping[str, Any]) -> str:
    cohort = document["cohort"]
    n = len(document["arms"])
    judged = f"{n} model{'s' if n != 1 else ''} on the {document['split']} split" if n else "nothing evaluated yet"
    return f"{cohort['cases']} cases of {cohort['subjects']} subjects; {judged}."


def _n(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _change_blocks(document: Mapping[str, Any], figures: Path) -> list[Block]:
    drift = document["drift"]
    blocks: list[Block] = [
        Paragraph(text=a["message"], is_warning=True) for a in drift["alarms"] if a["round"] == document["round"]
    ]
    change = document["change"]
    if change is None:
        first = len(document["rounds"]) < 2 or document["before"] is None
        text = "This is the first round." if first else "The round before was not evaluated on the same cases."
        blocks.append(Paragraph(text=text))
    else:
        rows = []
        for quantity, (title, digits) in _CHANGES.items():
            for structure, row in change.get(quantity, {}).items():
                css = row["verdict"] if row["verdict"] in ("better", "worse") else ""
                interval = "–" if row["low"] is None else f"{row['low']:+.{digits}f} to {row['high']:+.{digits}f}"
                rows.append(
                    [
                        f"{title}, {'all' if structure == 'mean' else structure}",
                        *(_n(row["old"], digits), _n(row["new"], digits)),
                        *(Cell(f"{row['difference']:+.{digits}f}", css=css), interval),
                        *(str(row["better"]), str(row["worse"])),
                    ]
                )
        columns = ["Quantity", "Before", "Now", "Change", "95 %", "Better", "Worse"]
        caption = f"{document['before']} against {document['example_model']}, paired by subject; bootstrap intervals."
        blocks.append(Table(columns=columns, rows=rows, caption=caption))
    if len(drift["rounds"]) > 1:
        drawing = save_both(rounds_figure(drift["rounds"]), figures / "rounds")
        blocks.append(Figure(svg=drawing, caption="Validation and quality control over the rounds.", alt="Rounds"))
        blocks.append(Paragraph(text=drift["advice"], is_warning=bool(drift["stop"])))
    return blocks


def _range(pair: list[float], unit: str) -> str:
    if not pair:
        return "–"
    low, high = (f"{v:g}" for v in pair)
    return f"{low} {unit}".strip() if low == high else f"{low} to {high} {unit}".strip()


def _cohort_blocks(document: Mapping[str, Any]) -> list[Block]:
    cohort = document["cohort"]
    facts = {
        "Cases, subjects": f"{cohort['cases']}, {cohort['subjects']}",
        "Splits": ", ".join(f"{k} {v}" for k, v in cohort["by_split"].items()),
        "Groups": ", ".join(f"{k} {v}" for k, v in cohort["by_group"].items()),
        "Frames": _range(cohort["frames"], ""),
        "Slices": _range(cohort["slices"], ""),
        "Pixel size": _range([round(v, 3) for v in cohort["pixel_mm"]], "mm"),
        "Slice distance": _range([round(v, 3) for v in cohort["slice_mm"]], "mm"),
        "Training set now": ", ".join(f"{k} {v}" for k, v in cohort["training_set"].items()),
    }
    return [Facts(facts=facts)]


def _model_blocks(document: Mapping[str, Any]) -> list[Block]:
    rows = [
        [
            *(m["id"], str(m["round"]), m["state"], m["strategy"], m["network"], m["policy"] or "–"),
            ", ".join(f"{k} {v}" for k, v in m["counts"].items()) or "–",
            m["created_at"],
        ]
        for m in document["models"]
    ]
    columns = ["Model", "Round", "State", "Strategy", "Network", "Policy", "Learnt from", "Made"]
    blocks: list[Block] = [Table(columns=columns, rows=rows, text_columns=[6])]
    for model in document["models"]:
        for selection in model["selections"] if model["round"] == document["round"] else []:
            chosen = [[case, why] for case, why in selection["why"].items()]
            caption = f"{model['id']}, {selection['step']}: pseudo-labels that were learnt from, and why."
            blocks.append(Table(columns=["Case", "Why"], rows=chosen, caption=caption, text_columns=[1]))
    return blocks


def _score_blocks(document: Mapping[str, Any], figures: Path) -> list[Block]:
    blocks: list[Block] = []
    for quantity, by_structure in document["scores"].items():
        title, unit = title_of(quantity)
        drawing = save_both(scores_figure(by_structure, title, unit=unit), figures / quantity)
        caption = f"{title} of every subject by structure; the bar is the model's mean."
        blocks += [
            scores_table(document, quantity),
            Figure(svg=drawing, caption=caption, alt=f"{title} by structure and model"),
        ]
    if len(document["arms"]) > 1:
        rows = document["scores"]["dice"]["mean"]
        drawing = save_both(change_figure(document["baseline"], rows, "Dice"), figures / "change_of_dice")
        caption = f"Change of Dice against {document['baseline']} for each subject, over its Dice there."
        blocks += [
            Figure(svg=drawing, caption=caption, alt="Change of Dice over Dice before"),
            test_table(document, "dice"),
        ]
    return blocks


def _clinical_blocks(document: Mapping[str, Any], figures: Path) -> list[Block]:
    if not document["clinical"]:
        return []
    blocks: list[Block] = [*clinical_table(document), Heading(text="Agreement (Bland and Altman)")]
    for index, row in document["clinical"].items():
        drawing = save_both(
            bland_altman_figure(INDICES[index], row["arms"], colour_order=list(document["arms"])),
            figures / f"bland_altman_{index}",
        )
        caption = f"{INDICES[index]}: bias and limits of agreement."
        blocks.append(Figure(svg=drawing, caption=caption, alt=INDICES[index]))
    return blocks


def _quality_blocks(document: Mapping[str, Any], figures: Path) -> list[Block]:
    quality = document["quality"]
    if quality is None:
        return [Paragraph(text="No classifier of curves yet: rate some curves, or run napari-ssl qc train.")]
    if "problem" in quality:
        return [Paragraph(text=quality["problem"], is_warning=True)]
    evidence, by_source = quality["evidence"], quality["metrics"]
    basis = next((b for b in (by_source.get("decided_on"), "rated", "all") if b in by_source), None)
    metrics = by_source.get(basis, {})
    facts = {
        "Classifier": f"{quality['id']} ({quality['kind']})",
        "Learnt from": ", ".join(f"{v} {k}" for k, v in evidence.items()),
        "Proposals": f"{quality['scored']} scored, {quality['flagged']} flagged",
        "Figures below": f"cross-validated by subject, on {basis or 'no'} examples",
        "Operating point": f"flags below a probability of good of {quality['threshold']:.2f}",
    }
    for name in ("auc", "sensitivity", "specificity"):
        if metrics.get(name) is not None:
            low, high = metrics.get("intervals", {}).get(name, (None, None))
            interval = "" if low is None else f" ({low:.3f} to {high:.3f})"
            facts["AUC" if name == "auc" else name.capitalize()] = f"{metrics[name]:.3f}{interval}"
    blocks: list[Block] = [Facts(facts=facts)]
    if not evidence.get("rated"):
        blocks.append(Paragraph(text="Its examples are simulated; no reader has rated curves yet.", is_warning=True))
    if metrics.get("roc"):
        drawing = save_both(roc_figure(metrics), figures / "roc")
        blocks.append(Figure(svg=drawing, caption="Sensitivity for erroneous cases; the dot is the operating point."))
    if metrics.get("calibration"):
        drawing = save_both(calibration_figure(metrics["calibration"]["bins"]), figures / "calibration")
        blocks.append(Figure(svg=drawing, caption="Probability of good against the share that was good."))
    if document["ratings"]:
        rows = [
            [
                r["reader"],
                str(r["n"]),
                ", ".join(f"{k}: {v}" for k, v in r["by_score"].items()),
                _n(r["median_seconds"]),
            ]
            for r in document["ratings"]
        ]
        blocks.append(Table(columns=["Reader", "Ratings", "By score (0: not readable)", "Median s"], rows=rows))
    return blocks


def _reader_blocks(document: Mapping[str, Any]) -> list[Block]:
    if not document["readers"]:
        return [Paragraph(text="No decision was made in this round.")]
    rows = [
        [
            *(r["reader"], str(r["cases"])),
            *(str(r["verdicts"].get(v, 0)) for v in _VERDICTS),
            *(_n(r["minutes"]), _n(r["median_seconds"])),
            "; ".join(f"{reason} ({n})" for reason, n in r["reasons"].items()) or "–",
        ]
        for r in document["readers"]
    ]
    columns = [
        "Reader",
        "Cases",
        *(v.capitalize().replace("_", " ") for v in _VERDICTS),
        "Minutes",
        "Median s",
        "Reasons of rejection",
    ]
    return [Table(columns=columns, rows=rows, text_columns=[len(columns) - 1])]


def _example_blocks(
    document: Mapping[str, Any], scheme: LabelScheme, example_of: Callable[[str], Example | None]
) -> list[Block]:
    blocks: list[Block] = []
    for name, case_id in document["examples"].items():
        example = example_of(case_id)
        if example is None:
            continue
        panels = {"network": example.found, "reference": example.reference}
        title = f"{case_id}, frame {example.frame}, slice {example.slice}"
        drawing = overlay_figure(title, example.image_yx, panels, scheme, aspect=example.pixel_aspect)
        pixels = io.BytesIO()
        drawing.savefig(pixels, format="png", facecolor="white", dpi=110)
        caption = f"{name.capitalize()} mean Dice of {document['example_model']}."
        blocks.append(Picture(png=pixels.getvalue(), alt=f"{name} case {case_id}", caption=caption))
    if document["examples"] and not blocks:
        text = "The label maps of this model's evaluation were not kept; evaluate it again to see examples."
        blocks.append(Paragraph(text=text))
    return blocks
