"""``models list | promote | rollback | discard | import``."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

import click

from napari_ssl.commands.options import JSON, STUDY, catching, report
from napari_ssl.core.model import Model

__all__ = ["COMMANDS"]

_BY = click.option("--by", default=getpass.getuser, show_default="user", help="Who decides; recorded.")


@click.group()
def models() -> None:
    """See the models of a study; promote one, roll back, discard."""


def _plain(model: Model) -> dict[str, Any]:
    means = {split: summary["mean"] for split, summary in model.metrics.items()}
    return {
        "id": model.id,
        "state": model.state.value,
        "round": model.round,
        "strategy": model.strategy,
        "network": model.network,
        "parents": list(model.parents),
        "created_at": model.created_at.isoformat(),
        "metrics": means,
    }


def _line(document: dict[str, Any]) -> str:
    test = document["metrics"].get("test") or document["metrics"].get("validation") or {}
    dice = ", ".join(f"{k} {v:.3f}" for k, v in test.get("dice", {}).items())
    return f"{document['id']}  {document['state']:9}  round {document['round']}  {document['strategy']}  {dice}"


@models.command("list")
@STUDY
@JSON
@catching
def list_(study: Path, as_json: bool) -> None:
    """List the models with their scores."""
    from napari_ssl.study.study import Study

    with Study.open(study, read_only=True) as opened:
        documents = [_plain(m) for m in opened.models()]
    report({"models": documents}, as_json, [_line(d) for d in documents] or ["No model yet: napari-ssl train"])


def _change(study: Path, as_json: bool, change: Any) -> None:
    from napari_ssl.study.study import Study

    with Study.open(study) as opened:
        change(opened)
        documents = [_plain(m) for m in opened.models()]
    report({"models": documents}, as_json, [_line(d) for d in documents])


@models.command()
@STUDY
@click.argument("model_id")
@_BY
@JSON
@catching
def promote(study: Path, model_id: str, by: str, as_json: bool) -> None:
    """Let a model propose the labels from now on."""
    _change(study, as_json, lambda opened: opened.promote(model_id, by=by))


@models.command()
@STUDY
@_BY
@JSON
@catching
def rollback(study: Path, by: str, as_json: bool) -> None:
    """Go back to the model that was promoted before."""
    _change(study, as_json, lambda opened: opened.rollback(by=by))


@models.command()
@STUDY
@click.argument("model_id")
@_BY
@JSON
@catching
def discard(study: Path, model_id: str, by: str, as_json: bool) -> None:
    """Archive a candidate; its files stay."""
    _change(study, as_json, lambda opened: opened.archive(model_id, by=by))


@models.command("import")
@STUDY
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--labels",
    metavar="ORDER",
    help="What its classes are, 1=NAME,2=NAME,… with the names of the study's structures, or 'study'; needed where the "
    "model does not say.",
)
@click.option("--name", help="Name of the model; by default made of the folder's.")
@JSON
@catching
def import_(study: Path, path: Path, labels: str | None, name: str | None, as_json: bool) -> None:
    """Take in a MONAI bundle (folder or zip), or a folder with card.json and weights.safetensors, as a candidate."""
    from napari_ssl.rounds.model_import import import_model
    from napari_ssl.study.study import Study

    with Study.open(study) as opened:
        model, notes = import_model(opened, path, labels=labels, name=name)
    document = {**_plain(model), "notes": notes}
    report(document, as_json, [_line(document), *(f"  {note}" for note in notes)])


COMMANDS = (models,)
