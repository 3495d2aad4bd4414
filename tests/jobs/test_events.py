"""The file of events: whole lines only, whatever happens to its writers."""

from __future__ import annotations

import os

import pytest

from napari_ssl.core.job import Event, EventKind
from napari_ssl.errors import StorageError
from napari_ssl.jobs.events import EVENTS_FILE, EventReader, EventWriter, read_events


def _progress(n):
    return Event(kind=EventKind.PROGRESS, data={"fraction": n / 10, "step": "é"})


def test_what_is_written_is_read_back_in_order(tmp_path):
    events = [_progress(n) for n in range(5)]
    writer = EventWriter(tmp_path)
    for event in events:
        writer.append(event)
    assert read_events(tmp_path) == events


def test_a_run_that_has_not_told_anything_has_no_events(tmp_path):
    assert read_events(tmp_path) == []


def test_a_truncated_last_line_is_left_alone_and_ended_by_the_next_writer(tmp_path):
    EventWriter(tmp_path).append(_progress(1))
    whole = (tmp_path / EVENTS_FILE).read_bytes()
    (tmp_path / EVENTS_FILE).write_bytes(whole + whole[: len(whole) // 2])
    assert [e.data["fraction"] for e in read_events(tmp_path)] == [0.1]
    EventWriter(tmp_path).append(_progress(2))
    assert [e.data["fraction"] for e in read_events(tmp_path)] == [0.1, 0.2]


def test_a_reader_gets_a_line_only_once_it_is_whole(tmp_path):
    reader = EventReader(tmp_path)
    EventWriter(tmp_path).append(_progress(1))
    line = (tmp_path / EVENTS_FILE).read_bytes()
    (tmp_path / EVENTS_FILE).write_bytes(line[:20])
    assert reader.read_new() == []
    (tmp_path / EVENTS_FILE).write_bytes(line)
    assert [e.data["fraction"] for e in reader.read_new()] == [0.1]
    assert reader.read_new() == []


@pytest.mark.parametrize(
    "line", [b"[]", b"{}", b'{"v": 99, "kind": "progress"}', b"\xff\xfe", b'{"v": 1, "kind": "new"}']
)
def test_lines_that_are_no_event_of_this_version_are_skipped(tmp_path, line):
    (tmp_path / EVENTS_FILE).write_bytes(line + b"\n")
    EventWriter(tmp_path).append(_progress(1))
    assert [e.kind for e in read_events(tmp_path)] == [EventKind.PROGRESS]


def test_numbers_that_json_does_not_know_become_null(tmp_path):
    EventWriter(tmp_path).append(
        Event(kind=EventKind.PROGRESS, data={"loss": float("nan"), "dice": [float("inf"), 0.5]})
    )
    assert read_events(tmp_path)[0].data == {"loss": None, "dice": [None, 0.5]}


def test_a_reader_from_the_end_sees_only_what_comes(tmp_path):
    writer = EventWriter(tmp_path)
    writer.append(_progress(1))
    reader = EventReader(tmp_path, from_end=True)
    writer.append(_progress(2))
    assert [e.data["fraction"] for e in reader.read_new()] == [0.2]


def test_a_full_disk_is_an_error_in_words(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    (tmp_path / EVENTS_FILE).symlink_to("/dev/full")
    with pytest.raises(StorageError, match="make room"):
        EventWriter(tmp_path).append(_progress(1))
