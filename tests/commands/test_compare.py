"""``napari-ssl compare``: wrong usage, and from a study on disk to a table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from napari_ssl.cli import main

sys.path.append(str(Path(__file__).resolve().parents[1] / "rounds"))
from comparison_study import TINY, make_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    with make_study(tmp_path_factory.mktemp("compare")) as made:
        return made.folder


def run(*words):
    return CliRunner().invoke(main, ["compare", *[str(w) for w in words]])


def test_from_a_study_to_a_table(study, tmp_path):
    words = [study, "--arms", f"supervised:{TINY},supervised:name=longer;batch_size=5;{TINY}", "--n-labelled", 2]
    words += ["--iterations", 3, "--seeds", 1, "--no-crf", "--set", "batch_size=4", "--workers", 0]
    words += ["--out", tmp_path / "out"]
    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert list(document["arms"]) == ["supervised", "longer"]
    assert document["arms"]["longer"]["parameters"]["batch_size"] == 5
    assert document["plan"]["labelled"] == 2
    assert document["plan"]["policy_parameters"]["seconds_slice"] == 30.0
    assert all(Path(f).is_file() for f in document["files"])
    again = run(*words)
    assert "supervised" in again.stdout
    assert "comparison.html" in again.stdout


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([], 2, "--arms"),
        (["--arms", "supervised", "--labelled", "a", "--n-labelled", "2"], 2, "contradict"),
        (["--arms", "supervised", "--set", "batch_size"], 2, "NAME=VALUE"),
        (["--arms", "supervised,supervised"], 1, "two arms are called"),
        (["--arms", "supervised", "--n-labelled", "9"], 1, "5 have expert labels"),
        (["--arms", "supervised", "--labelled", "patient099"], 1, "patient099"),
        (["--arms", "supervised", "--split", "validation"], 1, "in the split validation"),
        (["--arms", "supervised", "--rounds", "1"], 1, "no unlabelled case"),
        (["--arms", "supervised:policy=qc"], 1, "qc train"),
    ],
)
def test_what_cannot_be_compared_is_told_in_a_line(study, tmp_path, words, status, message):
    done = run(study, *words, "--out", tmp_path / "out", "--workers", 0, "--seeds", 1, "--iterations", 1)
    assert done.exit_code == status
    assert message in done.output
