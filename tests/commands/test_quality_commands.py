"""`qc evaluate` at the terminal, on classifiers whose card is whole or damaged."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.study import Study

ALL = {"auc": 0.9, "sensitivity": 1.0, "specificity": 0.8}


@pytest.fixture
def evaluate(tmp_path):
    """Call with a card's metrics: exit status and what was said."""

    def call(metrics):
        folder = tmp_path / "classifier"
        folder.mkdir()
        (folder / "weights.safetensors").write_bytes(b"w")
        card = {"id": "a", "kind": "short-axis", "threshold": 0.5, **({} if metrics is None else {"metrics": metrics})}
        (folder / "card.json").write_text(json.dumps(card))
        with Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"]) as study:
            study.register_classifier(folder)
        done = CliRunner().invoke(main, ["qc", "evaluate", str(tmp_path / "study")])
        return done.exit_code, done.output

    return call


def test_the_figures_of_the_held_out_folds_are_told(evaluate):
    status, text = evaluate({"all": ALL, "learning_curve": {"points": [{"n": 20, "auc": 0.7}]}})
    assert status == 0 and "AUC 0.900" in text and "learnt from   20: AUC 0.700" in text


@pytest.mark.parametrize(
    "metrics", [None, {}, {"all": {"auc": "x"}}, {"all": dict.fromkeys(ALL)}, {"all": ALL, "learning_curve": 3}]
)
def test_a_card_without_them_is_named_with_what_to_do(evaluate, metrics):
    status, text = evaluate(metrics)
    assert status == 1 and text.count("\n") == 1
    assert "classifier a: its card.json" in text and "qc train" in text
