"""Every command with --json, on an empty and on a full study: one valid JSON document, or one line of refusal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.decision import Verdict
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.segmentation import Source
from napari_ssl.study.study import Study

sys.path.append(str(Path(__file__).parents[1] / "study"))
from study_factory import SHAPE, decide, make_items, make_labels, make_model, propose

WORDS = {
    "study check": [],
    "study import": ["{in}"],
    "study new": ["--labels", "acdc"],
    "study pressures": ["p0", "120", "80"],
    "study status": [],
    "study subjects": [],
    "export": ["--format", "nifti", "--out", "{out}"],
    "train": ["--strategy", "no-such-strategy"],  # trained with --json in tests/rounds and tests/jobs
    "predict": [],
    "evaluate": [],
    "compare": ["--out", "{out}", "--arms", "no-such-arm"],  # compared with --json in test_compare
    "models discard": ["m1"],
    "models import": ["{in}"],
    "models list": [],
    "models promote": ["m1"],
    "models rollback": [],
    "qc classifiers": [],
    "qc drift": [],
    "qc evaluate": [],
    "qc predict-dice": [],
    "qc promote": ["no-such-classifier"],
    "qc ratings agreement": [],
    "qc ratings export": ["{out}/table.csv"],
    "qc ratings import": ["{in}/table.csv"],
    "qc ratings settle": ["1", "3"],
    "qc score": [],
    "qc train": ["--set", "no_such_parameter=1"],  # trained with --json in test_quality_commands
    "readers agreement": [],
    "readers plan adjudication": ["--reader", "Eve"],
    "readers plan gold": ["--reader", "Eve"],
    "readers plan repeats": ["--reader", "Ada"],
    "readers plan second": ["--reader", "Eve"],
    "readers tasks": [],
    "readers withdraw": ["--reader", "Eve"],
    "report": ["--out", "{out}/report.html"],
    "provenance": ["--case", "p0"],
    "jobs cancel": ["no-such-job"],
    "jobs list": [],
    "jobs pause": ["no-such-job"],
    "jobs resume": ["no-such-job"],
    "jobs show": ["no-such-job"],
}
"""What stands after the study."""

OTHERS = {"demo", "engine also", "engine status", "engine use here", "engine use kubernetes", "engine use server",
          "engine use slurm", "strategies", "networks"}  # fmt: skip
"""Commands without a study: tests of the catalogue, of the demo and of the engine."""

MUST_WORK_ON_FULL = {
    *("study check", "study status", "study subjects", "study new", "study pressures", "export", "models list"),
    *("models promote", "qc classifiers", "qc drift", "qc ratings agreement", "readers agreement", "readers tasks"),
    *("readers plan second", "readers plan repeats", "report", "provenance", "jobs list"),
}


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from _commands(command.get_command(click.Context(command), name), (*path, name))
    elif any("--json" in parameter.opts for parameter in command.params):
        yield " ".join(path)


def test_every_command_with_json_is_looked_at():
    assert set(_commands(main)) == set(WORDS) | OTHERS


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("json")
    Study.create(folder / "empty", label_scheme=PRESETS["acdc"]).close()
    with Study.create(folder / "full", label_scheme=PRESETS["acdc"], name="Größe\u2028") as study:
        assert not study.add_cases(make_items(folder / "images")).failed
        make_model(study, folder / "m1")
        accepted = propose(study, "p0", 0, confidence=np.full(SHAPE, 200, np.uint8))
        study.record(decide(accepted, Verdict.ACCEPT))
        frames = range(SHAPE[0])
        corrected = study.add_segmentation(
            "p1", make_labels(3, tuple(frames)), source=Source.CORRECTED, frames=frames, reader="Ada"
        )
        study.record(decide(corrected, Verdict.CORRECT))
        study.record(decide(propose(study, "p2", 0), Verdict.REJECT, comment='"basal"\n'))
    (folder / "in").mkdir()
    (folder / "in" / "table.csv").write_text("segmentation,score\n")
    return {"folder": folder, "empty": folder / "empty", "full": folder / "full"}


def _no_constant(text: str) -> None:
    raise AssertionError(f"{text} is no JSON")


@pytest.mark.parametrize("which", ["empty", "full"])
@pytest.mark.parametrize("command", WORDS)
def test_json_is_json_or_one_line_says_why_not(command, which, studies, tmp_path):
    (tmp_path / "out").mkdir()
    study = tmp_path / "new" if command == "study new" else studies[which]
    places = {"in": studies["folder"] / "in", "out": tmp_path / "out"}
    words = [*command.split(), str(study), *(w.format(**places) for w in WORDS[command]), "--json"]
    result = CliRunner().invoke(main, words)
    if result.exit_code == 0:
        assert isinstance(json.loads(result.stdout, parse_constant=_no_constant), dict | list)
        return
    assert not (which == "full" and command in MUST_WORK_ON_FULL), result.stderr
    assert result.exit_code in (1, 2) and "Traceback" not in result.stderr, result.stderr
    assert result.stderr.strip(), words
    if result.stdout:  # a refusal that lists what is wrong is a document too
        json.loads(result.stdout, parse_constant=_no_constant)
