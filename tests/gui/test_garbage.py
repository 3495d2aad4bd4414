"""Dead cycles with Qt objects are destroyed in the window's thread, whoever makes the garbage."""

import gc
import threading
import weakref

import pytest
from gui_driver import wait
from qtpy.QtCore import QObject

from napari_ssl.gui.garbage import GarbageCollection


class Node(QObject):
    """A Qt object in a cycle; tells which thread its end came in."""

    def __init__(self, ended_in):
        super().__init__()
        self.me = self
        weakref.finalize(self, lambda: ended_in.append(threading.current_thread()))


def make_garbage():
    """Cross the thresholds of all generations, as the reading of a study does."""
    for _ in range(200):
        kept = [[] for _ in range(1000)]
    return kept


@pytest.fixture
def automatic():
    """Collection as Python starts with, and as it was found afterwards."""
    was = gc.isenabled()
    gc.enable()
    yield
    (gc.enable if was else gc.disable)()


def in_a_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_without_it_a_thread_ends_the_cycles_of_the_window(qapp, automatic):
    ended_in = []
    Node(ended_in)
    in_a_thread(make_garbage)
    assert ended_in and ended_in[0] is not threading.main_thread(), "else the next test shows nothing"


def test_cycles_end_in_the_thread_of_the_window(qapp, automatic):
    ended_in, garbage = [], GarbageCollection(n_settling=0)
    garbage.start()
    try:
        Node(ended_in)
        in_a_thread(make_garbage)
        assert not ended_in
        kept = []
        wait(lambda: kept.append(make_garbage()) or ended_in)
        assert ended_in == [threading.main_thread()]
    finally:
        garbage.stop()
    assert gc.isenabled()


def test_two_windows_share_it_and_the_last_gives_it_back(qapp, automatic):
    first, second = GarbageCollection(), GarbageCollection()
    for each in (first, second, second):
        each.start()
    first.stop()
    first.stop()
    assert not gc.isenabled()
    second.stop()
    assert gc.isenabled()


def test_a_host_that_collects_by_itself_is_left_alone(qapp, automatic):
    gc.disable()
    garbage = GarbageCollection()
    garbage.start()
    garbage.stop()
    assert not gc.isenabled()


def test_what_was_frozen_is_collected_with_all(qapp, automatic):
    ended_in, garbage = [], GarbageCollection()
    garbage.start()
    try:
        Node(ended_in)
        garbage.freeze()
        gc.collect()
        assert not ended_in
        garbage.collect_all()
        assert ended_in == [threading.main_thread()]
    finally:
        garbage.stop()
    assert gc.get_freeze_count() == 0


def test_at_first_what_comes_is_frozen_and_later_collected(qapp, automatic):
    garbage, kept = GarbageCollection(n_settling=1), []
    garbage.start()
    try:
        wait(lambda: kept.append(make_garbage()) or gc.get_freeze_count())
        frozen, ended_in = gc.get_freeze_count(), []
        Node(ended_in)
        wait(lambda: kept.append(make_garbage()) or ended_in)
        assert gc.get_freeze_count() <= frozen
    finally:
        garbage.stop()
