"""Freed memory is kept while a job computes, and goes back when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from napari_ssl.inference.allocation import keep_freed_memory

PROGRAM = """
import resource, sys
import psutil, torch
from napari_ssl.inference.allocation import keep_freed_memory, return_freed_memory

torch.set_num_threads(1)
if "keep" in sys.argv:
    assert keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work = lambda: torch.ones(12_000_000).add_(1)[::1000].sum()  # 48 MB
for _ in range(4):
    work()
before = faults()
for _ in range(4):
    work()
touched = faults() - before
rss = psutil.Process().memory_info().rss
return_freed_memory()
print(touched, (rss - psutil.Process().memory_info().rss) // 2**20)
"""


def figures(*arguments: str) -> tuple[int, int]:
    result = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    touched, returned_mib = map(int, result.stdout.split())
    return touched, returned_mib


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="concerns glibc")
def test_blocks_are_used_again_and_go_back_on_request():
    if not keep_freed_memory():
        pytest.skip("this system's memory is not managed by glibc")
    plain, _ = figures()
    kept, returned_mib = min(figures("keep") for _ in range(3))  # where the heap ends now and then moves a block
    assert kept < plain / 3
    assert returned_mib > 40


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
