"""``kill -9`` of a whole window in which somebody paints: all but at most the last edit is found again."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gui_driver import READER

from napari_ssl.gui.loaded_case import load_case
from napari_ssl.io.images import hash_labels

CHILD = Path(__file__).with_name("edit_window_child.py")


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_window_loses_at_most_the_last_edit(review_study, tmp_path, seed):
    environment = {**os.environ, "NAPARI_CONFIG": str(tmp_path / "s.yaml"), "NAPARI_SSL_HOME": str(tmp_path / "home")}
    environment["PYTHONPATH"] = os.pathsep.join([str(CHILD.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(CHILD), str(review_study.folder), str(seed)]
    chance = random.Random(seed)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        for _ in range(chance.randrange(4, 9)):
            line = child.stdout.readline()
            assert line, "the window ended by itself"
        time.sleep(chance.uniform(0, 0.2))
        child.send_signal(signal.SIGKILL)
        told = [line, *child.stdout.readlines()]
    n_told, wanted = told[-1].split()
    loaded = load_case(review_study, "case0", READER)
    extra = len(loaded.history.edits) - int(n_told)
    assert extra >= 0
    for _ in range(extra):  # written, and not told any more
        loaded.history.undo().paint(loaded.labels, backwards=True)
    assert hash_labels(loaded.labels) == wanted and int(n_told) >= 3
