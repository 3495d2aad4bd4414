"""``sbatch``, ``squeue`` and ``scancel`` that start real processes here, in the place of SLURM's."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

__all__ = ["install"]

_SBATCH = """#!{python}
import os, pathlib, subprocess, sys
here = pathlib.Path(__file__).parent
script = pathlib.Path(sys.argv[-1])
text = script.read_text()
if "-p forbidden" in text:
    sys.exit("sbatch: error: invalid partition specified: forbidden")
if "--test-only" in sys.argv:
    sys.exit(0)
number = len(list(here.glob("job*.sh"))) + 1
kept = here / f"job{{number}}.sh"
kept.write_text(text)
if not (here / "full").exists():
    log = open(here / f"job{{number}}.log", "wb")
    job = subprocess.Popen(["/bin/sh", str(kept)], start_new_session=True, stdout=log, stderr=log)
    (here / f"job{{number}}.pid").write_text(str(job.pid))
print("Submitted batch job", number)
"""
_SCANCEL = """#!{python}
import contextlib, os, pathlib, signal, sys
pid = pathlib.Path(__file__).parent / f"job{{sys.argv[-1]}}.pid"
if pid.exists():
    with contextlib.suppress(ProcessLookupError):
        os.killpg(int(pid.read_text()), signal.SIGKILL)
"""
_SQUEUE = """#!{python}
print("PENDING Resources")
"""


def install(folder: Path) -> Path:
    """Put the programs into `folder`, for the PATH; a file ``full`` there makes jobs wait for ever."""
    folder.mkdir()
    for name, text in (("sbatch", _SBATCH), ("scancel", _SCANCEL), ("squeue", _SQUEUE)):
        path = folder / name
        path.write_text(text.format(python=sys.executable))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder
