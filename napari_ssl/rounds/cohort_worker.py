"""A process that labels cases of a prediction; `cohort_workers` starts it and says which.

Standard input brings a line each: the number of a case, or ``run RUN``, the folder that it works for from now on.
Standard output says the number when the case has its record.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
from pathlib import Path

from napari_ssl.core.training import PredictionSpec, spec_from_dict
from napari_ssl.errors import StorageError
from napari_ssl.rounds.case_records import failure_of, is_done

__all__ = ["CANNOT_WRITE", "RUN", "SPEC_FILE", "log_file", "main"]

SPEC_FILE = "spec.json"
RUN = "run "
CANNOT_WRITE = "!"
"""A worker's last word where a record could not be written; the reason stands in its log."""

_log = logging.getLogger(__name__)


def log_file(run_folder: Path, number: int) -> Path:
    """Return where a worker writes what it logs during a run."""
    return run_folder / f"worker{number}.log"


def main(arguments: list[str]) -> int:
    """Label the cases whose numbers come in, one after another."""
    from napari_ssl.inference.labelling import LabellingStopped
    from napari_ssl.rounds.prediction import CaseLabeller

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    lines.put(RUN + arguments[0])
    stopped = threading.Event()
    threading.Thread(target=_listen, args=(lines, stopped), daemon=True).start()
    while (line := lines.get()) is not None and not stopped.is_set():
        if line.startswith(RUN):
            run_folder = Path(line.removeprefix(RUN))
            spec, output = _turn_to(run_folder), run_folder / "output"
            labeller = CaseLabeller(spec, output)
            continue
        number = int(line)
        case_id = spec.items[number].case_id
        try:
            if not is_done(output, case_id) and failure_of(output, case_id) is None:
                labeller.label(spec.items[number], stopped.is_set)
        except LabellingStopped:
            break
        except StorageError as error:
            _log.error("%s", error)
            _answer(CANNOT_WRITE)
            return 1
        _answer(str(number))
    return 0


def _turn_to(run_folder: Path) -> PredictionSpec:
    """Read the order of a run and write what is logged into its folder from now on."""
    log = os.open(
        log_file(run_folder, int(os.environ.get("NAPARI_SSL_WORKER", "0"))),
        os.O_WRONLY | os.O_APPEND | os.O_CREAT,
        0o666,
    )
    os.dup2(log, 2)
    os.close(log)
    return spec_from_dict(json.loads((run_folder / SPEC_FILE).read_text(encoding="utf-8")))


def _answer(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _listen(lines: queue.SimpleQueue[str | None], stopped: threading.Event) -> None:
    """Read with `os.read`: a thread inside a buffered reader blocks the interpreter's end."""
    rest = b""
    while chunk := os.read(0, 4096):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            lines.put(line.decode())
    stopped.set()
    lines.put(None)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # threads of numerical libraries do not hold up the end
