"""The batches of a cohort, as many at once as the place of work has room for; on this computer one after another.

The ledger knows all that are under way, in order and whole, so that each one's run is found again after a crash.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol

from napari_ssl.core.job import ShouldStop
from napari_ssl.jobs.place import Servers, place_in_use

__all__ = ["label_batches", "n_at_once"]

_POLL_S = 0.2

Label = Callable[[Sequence[str], tuple[int, int], ShouldStop], None]


class _Ledger(Protocol):
    def begin(self, *batches: Sequence[str]) -> None:
        """Batches that are under way from now on."""


def n_at_once() -> int:
    """Return how many batches the place of work takes at a time.

    Raises
    ------
    EngineError
        No server answers.
    """
    place = place_in_use()
    if place is None:
        return 1
    if isinstance(place, Servers):
        from napari_ssl.jobs.children import ask_servers

        return max(1, sum(offer.slots for offer, _ in ask_servers(place.servers).values()))
    return place.jobs


def label_batches(batches: Sequence[Sequence[str]], label: Label, ledger: _Ledger, should_stop: ShouldStop) -> None:
    """Label every batch; what the first one raises that fails is raised when the others have stopped.

    Parameters
    ----------
    label : callable
        Labels a batch and notes in the ledger that it is done; called with (number from 1, of how many).
    """
    n = min(n_at_once(), max(1, len(batches)))
    if n == 1:
        for number, batch in enumerate(batches, start=1):
            ledger.begin(batch)
            label(batch, (number, len(batches)), should_stop)
        return
    _label_at_once(batches, label, ledger, should_stop, n)


def _label_at_once(
    batches: Sequence[Sequence[str]], label: Label, ledger: _Ledger, should_stop: ShouldStop, n: int
) -> None:
    failed = threading.Event()
    waiting = enumerate(batches, start=1)
    under_way: dict[Future[None], Sequence[str]] = {}
    broken: list[Sequence[str]] = []
    first_error: BaseException | None = None

    def stop() -> bool:
        return failed.is_set() or should_stop()

    with ThreadPoolExecutor(n, thread_name_prefix="napari-ssl batch") as pool:
        while True:
            if not stop():
                new = list(itertools.islice(waiting, n - len(under_way)))
                if new:
                    ledger.begin(*broken, *under_way.values(), *(batch for _, batch in new))
                for number, batch in new:
                    under_way[pool.submit(label, batch, (number, len(batches)), stop)] = batch
            if not under_way:
                break
            done, _ = wait(under_way, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            for future in done:
                batch = under_way.pop(future)
                if (error := future.exception()) is not None:
                    broken.append(batch)  # its run is gone on with by the next order
                    first_error = first_error or error
                    failed.set()
            if done and (under_way or broken):  # the end of one says nothing of the others
                ledger.begin(*broken, *under_way.values())
    if first_error is not None:
        raise first_error
    if next(waiting, None) is not None:
        raise KeyboardInterrupt("stopped; the same order goes on")
