"""What README and documentation tell people to type is typed here, on a tiny study and with a small budget."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from conftest import DOCS

from napari_ssl.cli import main
from napari_ssl.core.catalogue import STRATEGIES
from napari_ssl.core.duration import Duration
from napari_ssl.study.study import Study

PAGES = sorted(p.name for p in DOCS.glob("*.md"))
README = DOCS.parent / "README.md"

NOT_RUN = {
    "review": "opens a window; tests/gui do",
    "demo": "opens a window after a whole loop; tests/gui and tests/rounds do both",
    "engine serve": "serves until it is stopped; tests/jobs/test_server.py",
    "engine use server": "wants a server elsewhere; tests/jobs/test_server.py",
    "engine also": "wants a server elsewhere; tests/jobs/test_server.py",
    "engine use slurm": "wants a cluster",
    "engine use kubernetes": "wants a cluster",
    "study new --database": "wants a database server; tests/study/test_postgresql_database.py",
}
"""What is parsed only, so that an option that is not there shows, and why. Everything else is run."""

QC_TRAINING = ("width=6", "n_points=12", "epochs=3", "folds=2", "max_simulated=16", "learning_curve=no")
TINY = ("--network-set", "base_channels=4", "--network-set", "levels=3")
TINY_ARM = "network.base_channels=4;network.levels=3"
SUBJECTS = "subject,sex,height_cm,weight_kg\npatient001,F,170,60\n"


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands(text: str, language: str) -> list[list[str]]:
    """Return what follows ``napari-ssl`` in each line of the shell blocks."""
    lines = [line for block in blocks(text, language) for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("napari-ssl")]


def resolve(arguments: list[str]) -> tuple[str, click.Command, list[str]]:
    """Return name, command and its arguments; fails where there is no such command."""
    command, names, rest, context = main, [], list(arguments), click.Context(main)
    while isinstance(command, click.Group) and rest:
        try:
            name, found, rest = command.resolve_command(context, rest)
        except click.UsageError as error:
            raise AssertionError(f"there is no command {' '.join([*names, rest[0]])}") from error
        command, names = found, [*names, name]
    return " ".join(names), command, rest


def small(name: str, arguments: list[str]) -> list[str]:
    """Keep the budget of a command small; what was written stays as it is."""
    if name == "study new":
        return [*arguments, "--crop", "32", "32"]
    if name == "qc train":
        return [*arguments, *_settings(QC_TRAINING)]
    if name == "compare":
        arms = [f"{arm}:{TINY_ARM}" for arm in arguments[arguments.index("--arms") + 1].split(",")]
        put = {"--iterations": "2", "--arms": ",".join(arms)}
        kept = [put.get(before, a) for before, a in zip(["", *arguments], arguments, strict=False)]
        return [*kept, "--seeds", "1", "--no-crf", "--workers", "0", *_settings(["batch_size=4"])]
    if name != "train":
        return arguments
    strategy = arguments[arguments.index("--strategy") + 1]
    kind = STRATEGIES[strategy].parameters
    values = [f"{f.name}=2 iterations" for f in kind.__dataclass_fields__.values() if _is_duration(f.default)]
    return [*arguments, *_settings([*values, "batch_size=4"]), *TINY]


def _settings(values: Iterable[str]) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def real(arguments: list[str], acdc: Path) -> list[str]:
    """Put what is there in the place of what stands for something of one's own."""
    arguments = [a.replace("/data/acdc", str(acdc)) for a in arguments]
    if "subjects.csv" in arguments:
        Path("subjects.csv").write_text(SUBJECTS)
    if {"ID", "MODEL"} & set(arguments):
        with Study.open("my_study", read_only=True) as study:
            promoted = study.promoted().id
            other = next(m.id for m in study.models() if m.id != promoted)
        arguments = [{"ID": promoted, "MODEL": other}.get(a, a) for a in arguments]
    return arguments


def _is_duration(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(Duration.parse(value))
    except Exception:
        return False


def carry_out(arguments: list[str], acdc: Path) -> None:
    name, command, rest = resolve(arguments)
    if name in NOT_RUN or (f"{name} --database" in NOT_RUN and "--database" in arguments):
        command.make_context(name, rest)
        return
    arguments = real(arguments, acdc)
    done = CliRunner().invoke(main, small(name, arguments), catch_exceptions=False)
    assert done.exit_code == 0, f"napari-ssl {' '.join(arguments)}\n{done.output}"


@pytest.mark.parametrize("page", [p for p in PAGES if commands((DOCS / p).read_text(), "sh")])
def test_commands_of_a_page_work_one_after_the_other(page, acdc_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments in commands((DOCS / page).read_text(), "sh"):
        carry_out(arguments, acdc_folder)


def test_commands_of_the_readme_work_one_after_the_other(acdc_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = commands(README.read_text(), "")
    assert len(found) > 15
    for arguments in found:
        carry_out(arguments, acdc_folder)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks((DOCS / p).read_text(), "python")])
def test_python_of_a_page_runs_from_top_to_bottom(page, acdc_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in ("study new my_study --labels acdc", f"study import my_study {acdc_folder}"):
        assert CliRunner().invoke(main, line.split()).exit_code == 0
    space: dict = {}
    for block in blocks((DOCS / page).read_text(), "python"):
        exec(compile(block, page, "exec"), space)
    assert space["labels"].shape == (3, 2, 32, 32) and len(space["report"].files) == 5
    assert set(space["seg"].names.values()) == {"RV", "Myo", "LV"}


def test_a_snippet_that_is_wrong_is_found(acdc_folder):
    with pytest.raises(AssertionError, match="there is no command studi"):
        carry_out(["studi", "new"], acdc_folder)
    with pytest.raises(click.NoSuchOption):
        carry_out(["review", "s", "--colour"], acdc_folder)
    with pytest.raises(AssertionError, match="Usage"):
        carry_out(["study", "new", "s", "--colour"], acdc_folder)
