"""Every reader of files from elsewhere against damaged ones: an answer, or an error in words; no crash, no hang.

``NAPARI_SSL_FUZZ=100000 pytest tests/fuzz`` reads so many files in all; ``benchmarks/fuzz.py`` says how it went.
"""

from __future__ import annotations

import os
import random
import signal
import sys

import pytest
from fuzz_targets import TARGETS, Target, damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_ssl.errors import NapariSslError

pytest.importorskip("torch")

IN_ALL = int(os.environ.get("NAPARI_SSL_FUZZ", "500"))
LONGEST_S = 20
FUZZ = settings(
    max_examples=max(10, IN_ALL // len(TARGETS)),
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    **({"derandomize": True} if "NAPARI_SSL_FUZZ" not in os.environ else {}),
)


class TooSlow(BaseException):
    """A reader that does not come back; nothing in the program catches it."""


def _hangs(_signal, _frame):
    raise TooSlow(f"a file took more than {LONGEST_S} s")


@pytest.fixture
def whole(tmp_path, target):
    return target.prepare(tmp_path)


@pytest.mark.timeout(0 if "NAPARI_SSL_FUZZ" in os.environ else 300)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_a_damaged_file_is_read_or_refused_in_words(target: Target, whole):
    content = whole.read_bytes()
    target.read(whole)  # what is damaged below is right as it is

    @FUZZ
    @given(st.integers(0, 2**64) | st.binary(max_size=200))
    def attack(seed):
        data = seed if isinstance(seed, bytes) else damaged(content, random.Random(seed), target.words)
        whole.write_bytes(data)
        if sys.platform != "win32":
            signal.signal(signal.SIGALRM, _hangs)
            signal.alarm(LONGEST_S)
        try:
            target.read(whole)
        except NapariSslError as error:
            assert len(str(error)) > 10
        finally:
            if sys.platform != "win32":
                signal.alarm(0)

    attack()
