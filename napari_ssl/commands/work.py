"""``train``, ``predict`` and ``evaluate``: the same work as the window's jobs, in the foreground."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from napari_ssl.commands.cohort_progress import cohort_teller
from napari_ssl.commands.options import DEVICE, JSON, PREPROCESSING, SEED, STUDY, catching, names, report, say
from napari_ssl.commands.resources import RESOURCES, as_resources
from napari_ssl.commands.stopping import stop_on_signal
from napari_ssl.core.case import Split
from napari_ssl.core.catalogue import DEFAULT_STRATEGY, DEPLOYABLE, POLICIES, STRATEGIES, choose
from napari_ssl.core.job import Event, EventKind
from napari_ssl.core.parameters import from_texts
from napari_ssl.core.preprocessing import preprocessing_from_texts
from napari_ssl.core.training import CONFIDENCES

__all__ = ["COMMANDS"]

SOME_LEFT_OUT = 3
"""Exit status of a prediction that left cases out."""

_SILENCE_S = 20.0  # after so long a word is said of a step that goes on


def _teller(quiet: bool) -> Callable[[Event], None]:
    last = {"text": "", "at": time.monotonic()}

    def tell(event: Event) -> None:
        if quiet:
            return
        data = event.data
        if event.kind is EventKind.NOTICE:
            say(f"note: {data['message']}")
        elif event.kind is EventKind.PROGRESS and (
            data.get("validation_dice") or data["step"] != last["text"] or time.monotonic() - last["at"] > _SILENCE_S
        ):
            last.update(text=data["step"], at=time.monotonic())
            dice = data.get("validation_dice") or {}
            scores = " ".join(f"{k} {v:.3f}" for k, v in dice.items() if v is not None)
            loss = f", loss {data['loss']:.3f}" if data.get("loss") is not None else ""
            say(
                f"{100 * data.get('fraction', 0):3.0f} %  {data['step']}{loss}" + (f", Dice {scores}" if scores else "")
            )

    return tell


def _run(study: Path, make: Callable[[Any], Any], as_json: bool) -> dict[str, Any]:
    from napari_ssl.jobs.runner import run_here
    from napari_ssl.study.study import Study

    with Study.open(study) as opened, stop_on_signal() as should_stop:
        return run_here(opened, make(opened), _teller(as_json), should_stop)


EVALUATION_CRF = click.option(
    "--crf/--no-crf", default=True, show_default=True, help="Refine labels with the dense CRF before they are judged."
)


@click.command()
@STUDY
@click.option(
    "--strategy", default=DEFAULT_STRATEGY, show_default=True, metavar="NAME", help="See: napari-ssl strategies"
)
@click.option("--network", metavar="NAME", help="See: napari-ssl networks")
@click.option("--preset", metavar="NAME", help="Parameter values to start from: paper (as published), quick (minutes).")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A parameter of the strategy; repeatable.")
@click.option("--network-set", multiple=True, metavar="KEY=VALUE", help="A parameter of the network; repeatable.")
@click.option("--policy", default="accept-all", show_default=True, help=f"Who reviews: {', '.join(POLICIES)}.")
@click.option("--policy-set", multiple=True, metavar="KEY=VALUE", help="A parameter of the policy; repeatable.")
@click.option("--references", type=click.Path(path_type=Path), help="Folder with <case>.nii.gz that the oracle knows.")
@click.option("--labelled", metavar="CASE,…", help="For experiments: only these keep their expert labels.")
@EVALUATION_CRF
@PREPROCESSING
@SEED
@DEVICE
@click.option(
    "--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="Share every batch, one a GPU."
)
@RESOURCES
@JSON
@catching
def train(
    study: Path,
    strategy: str,
    network: str | None,
    preset: str | None,
    settings: tuple[str, ...],
    network_set: tuple[str, ...],
    policy: str,
    policy_set: tuple[str, ...],
    references: Path | None,
    labelled: str | None,
    crf: bool,
    preprocessing_set: tuple[str, ...],
    seed: int,
    device: str,
    processes: int,
    as_json: bool,
    **needs: Any,
) -> None:
    """Train a model; it is a candidate until it is promoted (the first is promoted at once)."""
    from napari_ssl.rounds import training_spec
    from napari_ssl.rounds.policy_review import read_truth_folder

    entry = choose(STRATEGIES, strategy, "strategy")
    default_network = entry.preset_network.get(preset or "", entry.network)
    network_entry = choose(DEPLOYABLE, network or default_network, "network")
    policy_values = from_texts(choose(POLICIES, policy, "policy").parameters, policy_set)

    def make(opened: Any) -> Any:
        values = dict(policy_values)
        if references is not None:
            values["references"] = read_truth_folder(opened, references)
        return training_spec(
            opened,
            strategy=strategy,
            network=network,
            preset=preset,
            overrides=from_texts(entry.parameters, settings),
            network_overrides=from_texts(network_entry.parameters, network_set),
            preprocessing_overrides=preprocessing_from_texts(preprocessing_set),
            policy=policy,
            policy_parameters=values,
            seed=seed,
            device=device,
            processes=processes,
            labelled_only=names("--labelled", labelled),
            crf=crf,
            resources=as_resources(**needs),
        )

    result = _run(study, make, as_json)
    report(
        result, as_json, [f"Model {result['model_id']} after {result['seconds']:.0f} s", *_metrics(result["metrics"])]
    )


def _metrics(metrics: dict[str, Any]) -> list[str]:
    lines = []
    for split, summary in metrics.items():
        mean = summary["mean"]
        dice = ", ".join(f"{k} {v:.3f}" for k, v in mean["dice"].items())
        ef = ", ".join(f"{k} {v:.1f}" for k, v in mean["ef_abs_error_points"].items())
        lines.append(f"  {split} ({summary['n']} cases): Dice {dice}" + (f"; EF error {ef} points" if ef else ""))
    return lines


def _efficiency(summary: dict[str, Any]) -> list[str]:
    if not summary:
        return []
    gpu = f", GPU {summary['peak_gpu_mb']:.0f} MB at most" if summary["peak_gpu_mb"] else ""
    return [f"  {summary['mean_seconds']:.1f} s a case, {summary['peak_rss_mb']:.0f} MB at most{gpu}"]


@click.command()
@STUDY
@click.option("--model", "model_id", metavar="ID", help="By default the promoted one.")
@click.option("--cases", metavar="CASE,…", help="By default every training case without labels or a decision.")
@click.option("--crf/--no-crf", default=True, show_default=True, help="Refine with the dense CRF.")
@click.option("--largest-component", is_flag=True, help="Keep the largest component of each structure and frame.")
@click.option(
    "--confidence",
    "kinds",
    multiple=True,
    type=click.Choice(CONFIDENCES),
    help="A confidence map to store: the largest probability, 1 - normalised entropy, what the model's confidence "
    "network takes for a person's labels, or 1 - variance of the ensemble; repeatable, the first counts in the queue. "
    "By default all that there can be.",
)
@click.option(
    "--ensemble", metavar="MODEL,…", help="Ask these models, too, for the variance; the labels stay those of --model."
)
@click.option(
    "--memory-limit",
    type=click.IntRange(100, 1_000_000),
    metavar="MB",
    help="Hold the run to so much memory of its device; FLARE's tolerance is 2048. By default what there is.",
)
@click.option(
    "--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes that share the cases."
)
@click.option(
    "--batch", "batch_size", type=click.IntRange(1, 100_000), default=250, show_default=True, help="Cases in a job."
)
@DEVICE
@RESOURCES
@JSON
@catching
def predict(
    study: Path,
    model_id: str | None,
    cases: str | None,
    crf: bool,
    largest_component: bool,
    kinds: tuple[str, ...],
    ensemble: str | None,
    memory_limit: int | None,
    workers: int,
    batch_size: int,
    device: str,
    as_json: bool,
    **needs: Any,
) -> None:
    """Propose labels, confidence and volume curves, batch by batch, for as many cases as there are.

    The same command goes on where it was stopped or lost. A case that breaks is left out, with its error; the exit
    status is then 3.
    """
    from napari_ssl.jobs.cohort import CohortOrder, label_cohort
    from napari_ssl.study.study import Study

    settings = {
        "model_id": model_id,
        "crf": crf,
        "keep_largest_component": largest_component,
        "confidence": kinds or None,
        "ensemble": names("--ensemble", ensemble) or (),
        "memory_limit_mb": memory_limit or 0,
        "workers": workers,
        "device": device,
        "resources": as_resources(**needs),
    }
    order = CohortOrder(cases=names("--cases", cases), settings=settings, batch_size=batch_size)
    with Study.open(study) as opened, stop_on_signal() as should_stop:
        result = label_cohort(opened, order, cohort_teller(as_json), should_stop)
    report(result, as_json, _labelled(result))
    if result["failed"]:
        sys.exit(SOME_LEFT_OUT)


def _labelled(result: dict[str, Any]) -> list[str]:
    failed = result["failed"]
    left_out = f", {len(failed)} left out" if failed else ""
    return [
        f"{len(result['cases'])} cases labelled by {result['model_id']} in {result['seconds']:.0f} s{left_out}",
        *_efficiency(result["efficiency"]),
        *(f"  {case}: {message}" for case, message in failed.items()),
    ]


@click.command()
@STUDY
@click.option("--model", "model_id", metavar="ID", help="By default the promoted one.")
@click.option("--split", type=click.Choice([s.value for s in Split]), default="test", show_default=True)
@EVALUATION_CRF
@DEVICE
@JSON
@catching
def evaluate(study: Path, model_id: str | None, split: str, crf: bool, device: str, as_json: bool) -> None:
    """Compare a model with the expert's labels: Dice, HD95, ASD, NSD (mm), EDV, ESV and EF errors."""
    from napari_ssl.rounds import evaluation_spec

    result = _run(study, lambda o: evaluation_spec(o, model_id=model_id, split=split, crf=crf, device=device), as_json)
    report(result, as_json, [f"Model {result['model_id']}", *_metrics({split: result["summary"]})])


COMMANDS = (train, predict, evaluate)
