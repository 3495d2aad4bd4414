"""Kills a process that writes a journal, many times at random moments, and looks what is left. Knows no Qt.

``python journal_killer.py FOLDER N SEED`` prints how often nothing, and how often the operation under way, was lost.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from napari_ssl.io.images import hash_labels
from napari_ssl.study.edit_history import Edit, Stroke
from napari_ssl.study.journal import EditJournal

SHAPE = (4, 2, 12, 12)


class Writer:
    """Does what a reader does, always the same for a seed; the labels and marks after each step are known."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.labels = np.zeros(SHAPE, np.uint8)
        self.journal = EditJournal(folder, "p0", hash_labels(self.labels), "Ada")
        self.history = self.journal.history()
        self.n_records = 0

    def step(self, *, write: bool) -> None:
        what = self.chance.choice(("edit", "edit", "edit", "undo", "redo", "look", "save"))
        if what == "undo" and self.history.next_undo is not None:
            self.history.undo().paint(self.labels, backwards=True)
            self._note(write and self.journal.add_undo)
        elif what == "redo" and self.history.next_redo is not None:
            self.history.redo().paint(self.labels)
            self._note(write and self.journal.add_redo)
        elif what == "look" and self.history.unverified:
            places = [self.chance.choice(sorted(self.history.unverified))]
            self.history.look(places)
            self._note(write and (lambda: self.journal.add_look(places)))
        elif what == "save":
            self.history = self.history.as_stored()
            if write:
                self.journal = self.journal.rebase(hash_labels(self.labels), self.n_records)
            self.n_records = 0
        else:
            edit = self._edit()
            self.history.add(edit)
            edit.paint(self.labels)
            self._note(write and (lambda: self.journal.add(edit)))

    def _note(self, write) -> None:
        self.n_records += 1
        if write:
            write()

    def _edit(self) -> Edit:
        strokes = []
        for frame in sorted(self.chance.sample(range(SHAPE[0]), self.chance.choice((1, 1, 3)))):
            indices = np.array(sorted(self.chance.sample(range(288), self.chance.choice((1, 40, 200)))), np.int32)
            before = self.labels[frame].reshape(-1)[indices].copy()
            after = np.full(len(indices), self.chance.randrange(4), np.uint8)
            strokes.append(Stroke(frame=frame, flat_indices=indices, before=before, after=after))
        marks = tuple((s.frame, 1) for s in strokes[1:])
        return Edit(strokes=tuple(strokes), tool="propagate" if marks else "paint", unverified=marks)


def write_until_killed(folder: Path, seed: int, told: int) -> None:
    writer = Writer(folder, seed)
    while True:
        writer.step(write=True)
        os.write(told, b".")


def one_kill(folder: Path, seed: int) -> int:
    """Return how many steps that the writer thought done were lost, 0, or −1 for a step it was not told of yet."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        write_until_killed(folder, seed, writing)
    os.close(writing)
    time.sleep(random.Random(seed).uniform(0.001, 0.02))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    done = 0
    while chunk := os.read(reading, 65536):
        done += len(chunk)
    os.close(reading)
    found = left_behind(folder, seed, done)
    for path in (folder / "journal").glob("*"):
        path.unlink()
    return found


def left_behind(folder: Path, seed: int, done: int) -> int:
    """Compare what a new process would show with what the steps must have given."""
    writer, states = Writer(folder / "nowhere", seed), []
    bases = {hash_labels(writer.labels): writer.labels.copy()}
    for _ in range(done + 2):
        states.append((writer.labels.copy(), set(writer.history.unverified), writer.history.cursor))
        bases[hash_labels(writer.labels)] = writer.labels.copy()
        writer.step(write=False)
    header = EditJournal(folder, "p0", "", "Ada")._file.header()
    labels = np.zeros(SHAPE, np.uint8) if header is None else bases[header.base].copy()
    history = EditJournal(folder, "p0", hash_labels(labels), "Ada").replay(labels)
    for lost, (wanted, marks, cursor) in ((0, states[done]), (-1, states[done + 1])):
        if np.array_equal(labels, wanted) and history.unverified == marks and history.cursor == cursor:
            return lost
    return 1


if __name__ == "__main__":
    place, n, first = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    results = [one_kill(place, first + k) for k in range(n)]
    print(json.dumps({"n": n, "damaged": [first + k for k, r in enumerate(results) if r == 1]}))
