"""Stands in for ``napari_ssl.rounds.prediction`` in workers: no torch, a record a case, and faults on demand.

The study's identifiers say what happens: ``kills…`` dies, ``full…`` finds the disk full, ``slow…`` takes its time.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import types
from pathlib import Path

from napari_ssl.errors import JobError, StorageError
from napari_ssl.io.documents import write_document
from napari_ssl.rounds.case_records import begin_case, end_case, keep_failure

labelling = types.ModuleType("napari_ssl.inference.labelling")
labelling.LabellingStopped = type("LabellingStopped", (Exception,), {})


class CaseLabeller:
    def __init__(self, spec, output: Path) -> None:
        if os.environ.get("FAKE_LABELLER_CANNOT_START"):
            os._exit(7)
        self.output = output

    def label(self, item, should_stop) -> None:
        name = item.case_id
        try:
            begin_case(self.output, name)
        except JobError as error:
            keep_failure(self.output, name, error)
            return
        if name.startswith("kills"):
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("full"):
            raise StorageError(f"{name}: the disk is full")
        while name.startswith("slow"):
            time.sleep(0.01)
            if should_stop():
                raise labelling.LabellingStopped
        write_document(self.output / f"{name}.json", {"case_id": name, "worker": os.getpid()})
        end_case(self.output, name)


def install() -> None:
    """Let imports of the real modules find this one."""
    prediction = types.ModuleType("napari_ssl.rounds.prediction")
    prediction.CaseLabeller = CaseLabeller
    sys.modules["napari_ssl.rounds.prediction"] = prediction
    sys.modules["napari_ssl.inference.labelling"] = labelling
