"""No value is pasted into SQL, nothing from a file runs as code: looked for in the program's own text."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "napari_ssl"
STATEMENTS = {"text", "exec_driver_sql", "execute", "executemany", "executescript", "scalar", "scalars", "DDL"}
MAY_UNPICKLE = {"training/parallel.py"}
"""Reads what the same user has just written into a private folder."""
MAY_BUILD_SQL = {
    "study/postgresql_database.py",
    "study/migrations",
}
"""Names of the program's own tables, triggers and pragmas, for which SQL knows no parameters."""


def _is_pasted(node: ast.AST) -> bool:
    """Whether an expression puts values into a text."""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        texts = (node.left, node.right)
        return any(
            isinstance(t, ast.JoinedStr) or (isinstance(t, ast.Constant) and isinstance(t.value, str)) for t in texts
        )
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format"


def _name(node: ast.Call) -> str:
    parts, at = [], node.func
    while isinstance(at, ast.Attribute):
        parts.append(at.attr)
        at = at.value
    parts.append(at.id if isinstance(at, ast.Name) else "(…)")  # of what another call gives
    return ".".join(reversed(parts))


def found_in(source: str, where: str) -> list[str]:
    """Return what is dangerous in a module's text."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name, last = _name(node), _name(node).rpartition(".")[2]
        keywords = {k.arg: k.value for k in node.keywords}
        if last in STATEMENTS and node.args and _is_pasted(node.args[0]) and not where.startswith(tuple(MAY_BUILD_SQL)):
            found.append(f"{where}:{node.lineno}: a value is pasted into SQL")
        if name in ("eval", "exec", "os.system", "os.popen", "yaml.load", "marshal.loads"):
            found.append(f"{where}:{node.lineno}: {name}")
        is_pickle = name.partition(".")[0] in ("pickle", "cloudpickle", "dill", "joblib") and last in ("load", "loads")
        if is_pickle and where not in MAY_UNPICKLE:
            found.append(f"{where}:{node.lineno}: {name}")
        if name == "torch.load":
            only = keywords.get("weights_only")
            if not (isinstance(only, ast.Constant) and only.value is True):
                found.append(f"{where}:{node.lineno}: torch.load without weights_only=True")
        if (
            last in ("load", "memmap")
            and isinstance(allowed := keywords.get("allow_pickle"), ast.Constant)
            and allowed.value
        ):
            found.append(f"{where}:{node.lineno}: allow_pickle")
        if isinstance(shell := keywords.get("shell"), ast.Constant) and shell.value:
            found.append(f"{where}:{node.lineno}: shell=True")
    return found


def test_the_program_pastes_no_value_into_sql_and_runs_nothing_from_files():
    found = []
    for path in sorted(PROGRAM.rglob("*.py")):
        found += found_in(path.read_text(encoding="utf-8"), path.relative_to(PROGRAM).as_posix())
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "bad",
    [
        'connection.execute(f"DELETE FROM cases WHERE id = {case}")',
        'sa.text("SELECT * FROM cases WHERE id = " + case)',
        'connection.exec_driver_sql("SELECT %s" % case)',
        'sa.text("SELECT {}".format(case))',
        "pickle.load(file)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(command, shell=True)",
        "eval(text)",
    ],
)
def test_what_is_looked_for_is_found(bad):
    assert len(found_in(bad, "somewhere.py")) == 1


@pytest.mark.parametrize(
    "good",
    [
        'connection.execute(sa.text("SELECT 1 WHERE x = :x"), {"x": x})',
        "torch.load(path, weights_only=True)",
        "sa.text(QUERY)",
    ],
)
def test_what_is_right_is_left_alone(good):
    assert found_in(good, "somewhere.py") == []
