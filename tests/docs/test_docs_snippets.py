"""What README and documentation tell people to type is typed here, on a tiny study and with a small budget."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from conftest import DOCS

from napari_ssl.cli import main
from napari_ssl.core.catalogue import STRATEGIES
from napari_ssl.core.duration import Duration

PAGES = sorted(p.name for p in DOCS.glob("*.md"))
README = DOCS.parent / "README.md"

RUN = (
    *("study new", "study import", "study check", "study status", "strategies", "networks"),
    *("train", "predict", "evaluate", "models list", "jobs list", "export", "qc ratings export"),
)
"""The others open windows, take minutes, or want files and servers of one's own: they are parsed, so that an option
that is not there shows; each has tests of its own."""

PLACEHOLDERS = ("MODEL", "CASE", "DIR", "FILE", "READER", "ID", "--database", "shared_study")
NOT_TRAINED = ("semi-qc-seg",)  # needs a classifier, which takes minutes


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
        found = command.get_command(context, rest[0])
        assert found is not None, f"there is no command {' '.join([*names, rest[0]])}"
        command, names, rest = found, [*names, rest[0]], rest[1:]
    return " ".join(names), command, rest


def small(name: str, arguments: list[str]) -> list[str]:
    """Keep the budget of a command small; what was written stays as it is."""
    if name == "study new":
        return [*arguments, "--crop", "32", "32"]
    if name != "train":
        return arguments
    strategy = arguments[arguments.index("--strategy") + 1]
    kind = STRATEGIES[strategy].parameters
    values = {f.name: "2 iterations" for f in kind.__dataclass_fields__.values() if _is_duration(f.default)}
    values["batch_size"] = "4"
    more = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    return [*arguments, *more, "--network-set", "base_channels=4", "--network-set", "levels=3"]


def _is_duration(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(Duration.parse(value))
    except Exception:
        return False


def carry_out(arguments: list[str], acdc: Path) -> None:
    arguments = [a.replace("/data/acdc", str(acdc)) for a in arguments]
    name, command, rest = resolve(arguments)
    stands_for_something = any(a in PLACEHOLDERS or a.startswith("/data/") for a in arguments)
    if name not in RUN or stands_for_something or any(a in NOT_TRAINED for a in arguments):
        command.make_context(name, rest)
        return
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
        carry_out(["compare", "s", "--colour"], acdc_folder)
    with pytest.raises(AssertionError, match="Usage"):
        carry_out(["study", "new", "s", "--colour"], acdc_folder)
