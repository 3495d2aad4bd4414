"""``qc train | score | evaluate | classifiers | promote``: the classifier of volume curves."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

import click

from napari_ssl.commands.drift import drift
from napari_ssl.commands.options import JSON, SEED, STUDY, catching, names, report
from napari_ssl.commands.predict_dice import predict_dice
from napari_ssl.commands.ratings import ratings_group
from napari_ssl.commands.work import _run
from napari_ssl.core.parameters import from_texts
from napari_ssl.core.quality import QcParameters
from napari_ssl.core.rating import QC_KINDS
from napari_ssl.errors import CheckpointError

__all__ = ["COMMANDS"]

_CLASSIFIER = click.option("--classifier", "classifier_id", metavar="ID", help="By default the one in use.")


@click.group()
def qc() -> None:
    """Judge segmentations by their volume curves: train a classifier, score proposals."""


@qc.command()
@STUDY
@click.option("--kind", type=click.Choice(QC_KINDS), help="By default what the label scheme says.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A parameter (qc parameters); repeatable.")
@SEED
@JSON
@catching
def train(study: Path, kind: str | None, settings: tuple[str, ...], seed: int, as_json: bool) -> None:
    """Train a classifier from ratings, decisions and, as long as these are few, simulated faults."""
    from napari_ssl.rounds.quality import qc_training_spec

    overrides = from_texts(QcParameters, settings)
    result = _run(study, lambda o: qc_training_spec(o, kind=kind, overrides=overrides, seed=seed), as_json)
    evidence = ", ".join(f"{n} {source}" for source, n in result["evidence"].items())
    lines = [
        f"Classifier {result['classifier_id']} after {result['seconds']:.0f} s from {evidence} curve sets",
        "  on subjects never seen: " + _figures(result["metrics"]),
        f"  flags below a probability of {result['threshold']:.2f}",
    ]
    report(result, as_json, lines)


def _figures(metrics: dict[str, Any]) -> str:
    parts = []
    for name, title in (
        ("auc", "AUC"),
        ("sensitivity", "sensitivity for erroneous"),
        ("specificity", "specificity"),
    ):
        interval = metrics.get("intervals", {}).get(name)
        between = f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
        parts.append(f"{title} {metrics[name]:.3f}{between}")
    return ", ".join(parts)


@qc.command()
@STUDY
@_CLASSIFIER
@click.option("--cases", metavar="CASE,…", help="By default every case that has a proposal.")
@JSON
@catching
def score(study: Path, classifier_id: str | None, cases: str | None, as_json: bool) -> None:
    """Score the newest proposals by their curves; new proposals are scored by themselves."""
    from napari_ssl.rounds.quality import qc_scoring_spec

    result = _run(
        study,
        lambda o: qc_scoring_spec(o, classifier_id=classifier_id, cases=names("--cases", cases)),
        as_json,
    )
    lines = [f"{result['scored']} proposals scored by {result['classifier_id']}, {result['flagged']} flagged"]
    report(result, as_json, lines)


@qc.command()
@STUDY
@_CLASSIFIER
@JSON
@catching
def evaluate(study: Path, classifier_id: str | None, as_json: bool) -> None:
    """Show how good a classifier is: held-out folds of its training, and its scores against the readers' ratings."""
    from napari_ssl.rounds.quality import against_ratings, classifier_in_use
    from napari_ssl.study.study import Study

    with Study.open(study, read_only=True) as opened:
        chosen = classifier_id or classifier_in_use(opened).id
        card = opened.classifier_card(chosen)
        agreement = against_ratings(opened, chosen)
    document = {"classifier_id": chosen, "held_out": card.get("metrics"), "ratings": agreement}
    lines = [f"Classifier {chosen}", *_held_out(card)]
    if agreement is None:
        lines.append("  no proposal that was rated since is scored")
    else:
        lines.append(
            f"  {agreement['n']} proposals rated since: sensitivity for erroneous {_share(agreement['sensitivity'])}, "
            f"specificity {_share(agreement['specificity'])}"
        )
    report(document, as_json, lines)


def _held_out(card: dict[str, Any]) -> list[str]:
    """What the card says about the folds; CheckpointError where it does not."""
    try:
        curve = card["metrics"].get("learning_curve", {}).get("points", ())
        points = [f"  learnt from {p['n']:4d}: AUC {p['auc']:.3f}" for p in curve]
        return ["  held-out folds: " + _figures(card["metrics"]["all"]), *points]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"classifier {card['id']}: its card.json lacks the figures of the held-out folds or they are damaged "
            f"({error}); restore the card from a backup, or train the classifier again (napari-ssl qc train)"
        ) from error


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _plain(classifier: Any) -> dict[str, Any]:
    return {
        "id": classifier.id,
        "kind": classifier.kind,
        "state": classifier.state.value,
        "threshold": classifier.threshold,
        "created_at": classifier.created_at.isoformat(),
    }


@qc.command()
@STUDY
@JSON
@catching
def classifiers(study: Path, as_json: bool) -> None:
    """List the classifiers of a study."""
    from napari_ssl.study.study import Study

    with Study.open(study, read_only=True) as opened:
        documents = [_plain(c) for c in opened.classifiers()]
    lines = [f"{d['id']}  {d['state']:9}  {d['kind']}  flags below {d['threshold']:.2f}" for d in documents]
    report({"classifiers": documents}, as_json, lines or ["No classifier yet: napari-ssl qc train"])


@qc.command()
@STUDY
@click.argument("classifier_id")
@click.option("--by", default=getpass.getuser, show_default="user", help="Who decides; recorded.")
@JSON
@catching
def promote(study: Path, classifier_id: str, by: str, as_json: bool) -> None:
    """Use a classifier from now on, whatever is trained later."""
    from napari_ssl.study.study import Study

    with Study.open(study) as opened:
        document = _plain(opened.promote_classifier(classifier_id, by=by))
    report(document, as_json, [f"{document['id']} is in use"])


qc.add_command(ratings_group)
qc.add_command(predict_dice)
qc.add_command(drift)

COMMANDS = (qc,)
