"""How many damaged files the readers take: ``python benchmarks/fuzz.py --inputs 100000 [--engine atheris]``.

Each reader of `tests/fuzz/fuzz_targets.py` gets its share of the inputs, by random changes or, with atheris (installed
by hand: ``pip install atheris``), by changes that are guided by what code they reach. It prints a table: files, how
many were refused in words, the slowest, and every error that is none of ours, with the file that made it.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "fuzz"))

if "NAPARI_SSL_GUIDED" in os.environ:  # before the readers are imported
    import atheris

    with atheris.instrument_imports(include=["napari_ssl"], enable_loader_override=False):
        import fuzz_targets  # noqa: F401
from fuzz_targets import TARGETS, Target, damaged

from napari_ssl.errors import NapariSslError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--engine", choices=("random", "atheris"), default="random")
    parser.add_argument("--only", help="a part of a reader's name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "napari_ssl_fuzz")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    os.nice(10)
    targets = [t for t in TARGETS if not options.only or options.only.lower() in t.name.lower()]
    share = max(1, options.inputs // len(targets))
    if options.engine == "atheris":
        return _all_guided(targets, share, options)
    print("| reader | files | refused | slowest ms | files a second | errors of ours not |\n|---|---|---|---|---|---|")
    found = 0
    for target in targets:
        found += _attack(target, share, options)
    print(f"{share * len(targets):,} files, {found} kinds of errors that are not ours")
    return 1 if found else 0


def _attack(target: Target, n: int, options: argparse.Namespace) -> int:
    chance = random.Random(f"{options.seed}{target.name}")
    errors: collections.Counter[str] = collections.Counter()
    refused, slowest = 0, 0.0
    with tempfile.TemporaryDirectory() as name:
        path = target.prepare(Path(name))
        content = path.read_bytes()
        began = time.perf_counter()
        for _ in range(n):
            data = damaged(content, chance, target.words)
            path.write_bytes(data)
            at = time.perf_counter()
            try:
                target.read(path)
            except NapariSslError:
                refused += 1
            except Exception as error:  # what a fuzzer looks for
                where = traceback.extract_tb(error.__traceback__)[-1]
                kind = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
                if not errors[kind]:
                    _keep(options.keep, target, kind, data, error)
                errors[kind] += 1
            slowest = max(slowest, time.perf_counter() - at)
        rate = n / (time.perf_counter() - began)
    told = "; ".join(f"{kind} ({count})" for kind, count in errors.most_common()) or "none"
    print(
        f"| {target.name} | {n:,} | {100 * refused / n:.0f} % | {1000 * slowest:.0f} | {rate:.0f} | {told} |",
        flush=True,
    )
    return len(errors)


def _keep(folder: Path, target: Target, kind: str, data: bytes, error: Exception) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stem = "".join(c if c.isalnum() else "_" for c in f"{target.name} {kind}")
    (folder / f"{stem}.bin").write_bytes(data)
    (folder / f"{stem}.txt").write_text("".join(traceback.format_exception(error)))


def _all_guided(targets: list[Target], share: int, options: argparse.Namespace) -> int:
    """One process a reader, since atheris takes the process it runs in."""
    worst = 0
    for target in targets:
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, __file__, "--engine", "atheris", "--only", target.name, "--inputs", str(share)],
            env={**os.environ, "NAPARI_SSL_GUIDED": str(options.keep)},
            capture_output=True,
            text=True,
        ) if "NAPARI_SSL_GUIDED" not in os.environ else _guided(target, share, options)  # fmt: skip
        seconds = time.perf_counter() - began
        lines = [line for line in done.stderr.splitlines() if "DONE" in line or "cov:" in line]
        words = "no crash" if done.returncode == 0 else done.stderr[-2000:]
        print(
            f"| {target.name} | {share:,} | {share / seconds:.0f} a second | {words} | {lines[-1] if lines else ''} |",
            flush=True,
        )
        worst = max(worst, abs(done.returncode))
    return int(worst != 0)


def _guided(target: Target, share: int, options: argparse.Namespace) -> subprocess.CompletedProcess[str]:
    import atheris

    folder = Path(tempfile.mkdtemp())
    with atheris.instrument_imports(include=["napari_ssl"], enable_loader_override=False):
        path = target.prepare(folder)
        target.read(path)  # imports what it needs
    corpus = folder / "corpus"
    corpus.mkdir()
    (corpus / "whole").write_bytes(path.read_bytes())

    def attack(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(NapariSslError):
            target.read(path)

    words = [f"-runs={share}", "-timeout=20", f"-artifact_prefix={options.keep}/", "-max_len=100000", str(corpus)]
    options.keep.mkdir(parents=True, exist_ok=True)
    atheris.Setup([sys.argv[0], *words], attack)
    atheris.Fuzz()
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
