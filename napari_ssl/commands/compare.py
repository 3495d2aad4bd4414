"""``compare``: a paper's table. Arms by seeds, trained alike, evaluated alike, tested by subject."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from napari_ssl.commands.options import DEVICE, JSON, STUDY, catching, names, report, say
from napari_ssl.commands.stopping import stop_on_signal
from napari_ssl.core.catalogue import POLICIES, choose
from napari_ssl.core.parameters import from_texts

__all__ = ["COMMANDS"]

_SILENCE_S = 20.0


@click.command()
@STUDY
@click.option(
    "--arms",
    metavar="ARM,…",
    help="Strategies, each STRATEGY or STRATEGY:NAME=VALUE;… (name, preset, network, policy, …)",
)
@click.option("--arms-file", type=click.Path(path_type=Path, dir_okay=False), help="TOML file with one [[arm]] each.")
@click.option("--baseline", metavar="NAME", help="Arm that the others are tested against; by default the first.")
@click.option("--seeds", type=click.IntRange(1, 1000), default=3, show_default=True, help="Trainings of each arm.")
@click.option("--first-seed", type=click.IntRange(0, 2**31), default=0, show_default=True)
@click.option(
    "--labelled", metavar="CASE,…", help="Only these keep their expert labels; the others count as unlabelled."
)
@click.option("--n-labelled", type=click.IntRange(min=1), help="As --labelled, so many subjects drawn at random.")
@click.option("--draw-seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Decides the draw.")
@click.option("--draw-per-seed", is_flag=True, help="Every seed draws its own labelled cases, the same for all arms.")
@click.option(
    "--iterations", type=click.IntRange(min=1), help="Optimiser steps of every arm, divided among its stages."
)
@click.option("--preset", metavar="NAME", help="Preset of every arm that has it and names none.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A parameter of every arm that has it.")
@click.option(
    "--from-promoted",
    is_flag=True,
    help="Every arm that can goes on from the promoted model, which must know no labels but the --labelled.",
)
@click.option("--split", type=click.Choice(["test", "validation"]), default="test", show_default=True)
@click.option("--crf/--no-crf", default=True, show_default=True, help="Refine every arm's labels with the dense CRF.")
@click.option("--largest-component", is_flag=True, help="Keep the largest component of each structure, in every arm.")
@click.option("--paper-protocol", is_flag=True, help="Distances in voxels too, as papers that leave the spacing out.")
@click.option(
    "--rounds",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Reviews by --policy, each followed by a new training: Dice against minutes.",
)
@click.option(
    "--policy",
    default="oracle",
    show_default=True,
    help=f"Who reviews between the rounds: {', '.join(p for p in POLICIES if p != 'clinician')}.",
)
@click.option("--policy-set", multiple=True, metavar="KEY=VALUE", help="A parameter of that policy; repeatable.")
@click.option(
    "--references",
    type=click.Path(path_type=Path),
    help="Folder with <case>.nii.gz that an oracle knows; by default it knows the labels that are held back.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the comparison; the same command goes on in it.",
)
@click.option(
    "--workers", type=click.IntRange(0, 64), default=1, show_default=True, help="Processes at a time; 0: in this one."
)
@DEVICE
@JSON
@catching
def compare(study: Path, out: Path, workers: int, references: Path | None, as_json: bool, **options: Any) -> None:
    """Train arms alike and compare them: tables, tests, plots as JSON, CSV, HTML, SVG and PNG."""
    from napari_ssl.report.comparison_page import write_comparison
    from napari_ssl.rounds import StoppedByRequest
    from napari_ssl.rounds.comparison import compare as carry_out
    from napari_ssl.rounds.policy_review import read_truth_folder
    from napari_ssl.study.study import Study

    plan = _plan(options)
    with Study.open(study, read_only=True) as opened, stop_on_signal() as should_stop:
        truth = None if references is None else read_truth_folder(opened, references)
        try:
            document = carry_out(
                opened, plan, out, references=truth, workers=workers, tell=_teller(as_json), should_stop=should_stop
            )
        except StoppedByRequest as stopped:
            raise KeyboardInterrupt(str(stopped)) from stopped
    files = write_comparison(document, out)
    report({**document, "files": [str(f) for f in files]}, as_json, [*_lines(document), f"See {files[0]}"])


def _plan(options: Mapping[str, Any]) -> Any:
    from napari_ssl.rounds.comparison_plan import ComparisonPlan, parse_arms, read_arms, with_preset

    if (options["arms"] is None) == (options["arms_file"] is None):
        raise click.UsageError("say what to compare: --arms ARM,… or --arms-file FILE")
    if options["labelled"] is not None and options["n_labelled"] is not None:
        raise click.UsageError("--labelled and --n-labelled contradict each other")
    arms = parse_arms(options["arms"]) if options["arms"] is not None else read_arms(options["arms_file"])
    labelled = names("--labelled", options["labelled"])
    kept = (
        "draw_seed",
        "draw_per_seed",
        "iterations",
        "from_promoted",
        "split",
        "crf",
        "largest_component",
        "rounds",
        "device",
    )
    entry = choose(POLICIES, options["policy"], "policy")
    return ComparisonPlan(
        arms=with_preset(arms, options["preset"]),
        baseline=options["baseline"] or "",
        seeds=tuple(range(options["first_seed"], options["first_seed"] + options["seeds"])),
        labelled=tuple(labelled) if labelled is not None else options["n_labelled"],
        common=_pairs(options["settings"]),
        in_voxels=options["paper_protocol"],
        policy=options["policy"],
        policy_parameters=_full(entry.parameters, options["policy_set"]),
        **{name: options[name] for name in kept},
    )


def _pairs(words: tuple[str, ...]) -> dict[str, str]:
    wrong = next((word for word in words if "=" not in word), None)
    if wrong is not None:
        raise click.BadParameter(f"cannot read {wrong!r}; write NAME=VALUE", param_hint="--set")
    return {name.strip(): value.strip() for name, _, value in (word.partition("=") for word in words)}


def _full(kind: type, words: tuple[str, ...]) -> dict[str, Any]:
    """A policy's values in full, so that the report states every assumption."""
    parameters = kind(**from_texts(kind, words))
    return {name: getattr(parameters, name) for name in parameters.__dataclass_fields__}


def _teller(quiet: bool) -> Callable[[Any, Any], None]:
    from napari_ssl.core.job import EventKind

    last: dict[Any, tuple[str, float]] = {}

    def tell(unit: Any, event: Any) -> None:
        if quiet:
            return
        who = f"{unit.arm}, seed {unit.seed}"
        if event.kind is EventKind.NOTICE:
            say(f"{who}: {event.data['message']}")
        elif event.kind is EventKind.PROGRESS:
            step, (before, at) = event.data["step"], last.get(unit.hash, ("", 0.0))
            stage = step.split(":")[0]
            if stage != before or time.monotonic() - at > _SILENCE_S:
                last[unit.hash] = (stage, time.monotonic())
                say(f"{who}: {100 * event.data.get('fraction', 0):3.0f} %  {step}")

    return tell


def _lines(document: Mapping[str, Any]) -> list[str]:
    width = max(len(arm) for arm in document["arms"])
    by_structure = document["scores"]["dice"]
    lines = [f"Dice, mean (SD) over {len(document['subjects'])} subjects of the {document['plan']['split']} split"]
    lines.append(f"{'':{width}}  " + "  ".join(f"{'all' if s == 'mean' else s:>14}" for s in by_structure))
    for arm in document["arms"]:
        cells = [_cell(rows[arm]) for rows in by_structure.values()]
        against = by_structure["mean"][arm].get("against")
        p = f"  p {against['t']['p_holm']:.3g}" if against and against["t"].get("p_holm") is not None else ""
        lines.append(f"{arm:{width}}  " + "  ".join(f"{cell:>14}" for cell in cells) + p)
    for arm, points in document.get("minutes", {}).items():
        lines.append(f"{arm}: " + ", ".join(f"{p['dice']:.3f} after {p['minutes']:.0f} min" for p in points))
    return lines + [f"{run}: failed, {why}" for run, why in document["failed"].items()]


def _cell(row: Mapping[str, Any]) -> str:
    return f"{row['mean']:.3f}" + (f" ({row['sd']:.3f})" if row["sd"] is not None else "")


COMMANDS = (compare,)
