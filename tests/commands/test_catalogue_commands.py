"""``strategies`` and ``networks``."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.commands import catalogue
from napari_ssl.core.catalogue import DEFAULT_STRATEGY, NETWORKS, STRATEGIES


def _document(*arguments):
    outcome = CliRunner().invoke(main, [*arguments, "--json"])
    assert outcome.exit_code == 0, outcome.output
    return json.loads(outcome.output)


def test_networks_are_listed_with_paper_dimensions_and_sourced_parameters():
    listed = {d["name"]: d for d in _document("networks")["networks"]}
    assert set(listed) == set(NETWORKS)
    for name, document in listed.items():
        assert document["dimensions"] == list(NETWORKS[name].dimensions)
        assert document["paper"] and document["sentence"].endswith(".")
        assert all(p["source"] for p in document["parameters"])
        assert "sizes" not in document


def test_measured_networks_have_parameters_and_multiply_adds():
    documents = _document("networks", "--measure")["networks"]
    listed = {d["name"]: d for d in documents}
    flat, deep = listed["vnet"]["sizes"]
    assert (flat["image"], deep["image"]) == ([224, 224], [16, 64, 64])
    assert deep["parameters"] == pytest.approx(45.6e6, rel=0.01)
    assert [s["dimensions"] for s in listed["swin-unet"]["sizes"]] == [2]
    assert all(s["multiply_adds"] > 1e8 for d in documents for s in d["sizes"])
    told = "\n".join(catalogue._lines(documents))
    assert "27.17 M parameters" in told
    assert "multiply-adds for 16×64×64 and 4 classes" in told


def test_every_strategy_has_a_paper_presets_and_sourced_parameters():
    for document in _document("strategies")["strategies"]:
        assert document["name"] in STRATEGIES
        assert document["paper"]
        assert all(p["source"] for p in document["parameters"])
        assert {"paper", "quick"} <= set(document["presets"])


def test_what_a_preset_brings_is_told_its_network_and_preprocessing_too():
    documents = _document("strategies")["strategies"]
    listed = {d["name"]: d for d in documents}
    assert [d["name"] for d in documents if d["is_default"]] == [DEFAULT_STRATEGY]
    assert not listed["supervised"]["uses_unlabelled"] and listed["asdnet"]["uses_unlabelled"]
    assert listed["self-labelling"]["preset_networks"] == {"paper": "swin-unet"}
    told = catalogue._lines(documents)
    paper = next(line for line in told if line.startswith("  preset paper: network=swin-unet"))
    assert "keep=best" in paper and "preprocessing.high_percentile=95.0" in paper
    assert "  preset paper: the defaults" in told  # of alternating-crf, whose defaults are the paper's


def test_listing_imports_no_torch():
    code = (
        "import sys; from click.testing import CliRunner; from napari_ssl.cli import main; "
        "assert CliRunner().invoke(main, ['networks']).exit_code == 0; assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
