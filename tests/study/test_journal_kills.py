"""``kill -9`` at 200 random moments of painting, undoing, looking and saving: at most the step under way is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

KILLER = Path(__file__).with_name("journal_killer.py")


def test_killed_at_200_random_moments_nothing_that_was_done_is_lost(tmp_path):
    run = subprocess.run(
        [sys.executable, str(KILLER), str(tmp_path), "200", "1000"], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {"n": 200, "damaged": []}
