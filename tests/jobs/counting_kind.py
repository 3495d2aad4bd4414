"""A kind of job for tests: counts to a number, adding up, with a checkpoint after each step."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from napari_ssl.core.job import Event, EventKind
from napari_ssl.errors import ImageError

CHECKPOINT = "count.json"


class StoppedByRequest(Exception):  # noqa: N818
    pass


class OutOfMemoryError(RuntimeError):
    """As torch's, which this kind does not import."""


class ParkedForReview(Exception):  # noqa: N818
    def __init__(self, message, case_ids):
        super().__init__(message)
        self.case_ids = case_ids


def execute(spec, run_folder: Path, emit, should_stop) -> dict:
    orders = spec.crf
    path = run_folder / CHECKPOINT
    state = json.loads(path.read_text()) if path.exists() else {"n": 0, "sum": 0}
    if orders.get("fail"):
        raise ImageError("case p1: the image is truncated; copy it again")
    if orders.get("crash"):
        os._exit(9)
    if orders.get("park") and not (run_folder / "decided").exists():
        raise ParkedForReview("1 case waits", ("p1",))
    while state["n"] < orders["count"]:
        if should_stop():
            raise StoppedByRequest("stopped with a checkpoint")
        if orders.get("deaf"):
            emit(_progress(state, orders))
            time.sleep(60)
        time.sleep(orders["step_s"])
        state = {"n": state["n"] + 1, "sum": state["sum"] * 3 % 10007 + state["n"]}
        if state["n"] == orders.get("full_at") and (run_folder / "disk is full").exists():
            raise OSError(28, "No space left on device", str(path))
        if state["n"] == orders.get("memory_at") and not (run_folder / "told").exists():
            (run_folder / "told").touch()
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        deaths = run_folder / "deaths"
        if state["n"] == orders.get("dies_before") and (not deaths.exists() or deaths.stat().st_size < orders["times"]):
            with deaths.open("ab") as file:
                file.write(b".")
            os.kill(os.getpid(), 9)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(state))
        os.replace(temporary, path)
        emit(Event(kind=EventKind.CHECKPOINT, data={"iteration": state["n"], "path": CHECKPOINT}))
        emit(_progress(state, orders))
        if state["n"] in orders.get("dies_after", ()):  # once: the checkpoint is past it
            os.kill(os.getpid(), 9)
        if state["n"] in orders.get("allocation_ends_after", ()):  # all processes of it, as at its time limit
            time.sleep(2)  # what is told is looked at every 0.3 s
            os.kill(os.getppid(), 9)
            os.kill(os.getpid(), 9)
    if orders.get("reads"):
        (run_folder / "output").mkdir(exist_ok=True)
        (run_folder / "output" / "read.bin").write_bytes(Path(spec.items[0].image_path).read_bytes())
        (run_folder / "output" / "where.json").write_text(json.dumps({"folder": str(run_folder)}))
    return {"kind": "predict", "n": state["n"], "sum": state["sum"]}


def _progress(state, orders):
    data = {"fraction": state["n"] / orders["count"], "step": f"count {state['n']}", "loss": float("nan")}
    return Event(kind=EventKind.PROGRESS, data=data)


def adopt(study, spec, result, run_folder) -> tuple[str, ...]:
    if spec.crf.get("adopt_fails"):
        raise OSError(28, "No space left on device", str(study.folder))
    (study.folder / f"adopted-{run_folder.name}.json").write_text(json.dumps(result))
    return (spec.crf["alarm"],) if "alarm" in spec.crf else ()


def adopt_parked(study, spec, run_folder) -> None:
    (study.folder / f"parked-{run_folder.name}").touch()


def hand_in_decisions(study, run_folder) -> int:
    (run_folder / "decided").touch()
    return 1
