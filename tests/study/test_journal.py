from __future__ import annotations

import errno
import json
import multiprocessing
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from study_workers import paint_and_die

from napari_ssl.errors import LabelError, StorageError, StudyError
from napari_ssl.io.images import hash_labels
from napari_ssl.study import Edit, EditJournal, Stroke, journal_file
from napari_ssl.study.journal import waiting_cases, write_waiting

SHAPE = (3, 2, 5, 6)


@pytest.fixture
def base() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.uint8)


@pytest.fixture
def journal(tmp_path: Path, base: np.ndarray) -> EditJournal:
    return EditJournal(tmp_path, "p0", hash_labels(base), "Ada")


def _paint(journal: EditJournal, labels: np.ndarray, frame: int, indices: list[int], value: int) -> None:
    flat = labels[frame].reshape(-1)
    before = flat[indices].copy()
    flat[indices] = value
    journal.append(frame, indices, before, flat[indices])


def test_replay_gives_the_labels_as_they_were_painted(journal: EditJournal, base: np.ndarray):
    painted = base.copy()
    _paint(journal, painted, 0, [0, 1, 2, 59], 3)
    _paint(journal, painted, 2, [7], 0)
    _paint(journal, painted, 0, [1, 2], 1)
    labels = base.copy()
    assert journal.replay(labels).n_unsaved == 3
    np.testing.assert_array_equal(labels, painted)
    strokes = [s for edit in journal.history().edits for s in edit.strokes]
    assert [(s.frame, s.label, len(s.flat_indices)) for s in strokes] == [(0, 3, 4), (2, 0, 1), (0, 1, 2)]


def test_undo_and_redo_are_recorded(journal: EditJournal, base: np.ndarray):
    painted = base.copy()
    _paint(journal, painted, 1, [3, 4, 5], 2)
    first = painted.copy()
    _paint(journal, painted, 2, [3, 4, 5], 1)
    journal.add_undo()
    labels = base.copy()
    history = journal.replay(labels)
    np.testing.assert_array_equal(labels, first)
    assert history.n_unsaved == 1 and history.next_redo.frames == (2,)
    journal.add_undo()
    journal.add_redo()
    journal.add_redo()
    labels = base.copy()
    assert journal.replay(labels).n_unsaved == 2
    np.testing.assert_array_equal(labels, painted)


def test_strokes_survive_a_killed_process(tmp_path: Path, base: np.ndarray, journal: EditJournal):
    child = multiprocessing.get_context("spawn").Process(target=paint_and_die, args=(tmp_path, hash_labels(base)))
    child.start()
    child.join()
    assert child.exitcode == -9
    labels = base.copy()
    assert journal.exists() and journal.replay(labels).n_unsaved == 2
    assert labels[0].reshape(-1)[1:4].tolist() == [3, 3, 3]


@pytest.mark.parametrize("lost", [1, 5, 9, 12])
def test_a_record_that_was_cut_off_is_dropped_and_painting_goes_on(journal: EditJournal, base: np.ndarray, lost: int):
    painted = base.copy()
    _paint(journal, painted, 0, [1, 2, 3], 3)
    kept = painted.copy()
    _paint(journal, painted, 1, list(range(20)), 1)
    with open(journal.path, "r+b") as stream:
        stream.truncate(stream.seek(0, os.SEEK_END) - lost)
    labels = base.copy()
    assert journal.replay(labels).n_unsaved == 1
    np.testing.assert_array_equal(labels, kept)
    again = EditJournal(journal.path.parents[1], "p0", journal.base_hash, "Ada")
    _paint(again, labels, 2, [0], 2)
    replayed = base.copy()
    assert journal.replay(replayed).n_unsaved == 2
    np.testing.assert_array_equal(replayed, labels)


def test_a_damaged_record_ends_the_strokes(journal: EditJournal, base: np.ndarray):
    painted = base.copy()
    _paint(journal, painted, 0, [1], 3)
    _paint(journal, painted, 0, [2], 3)
    content = bytearray(journal.path.read_bytes())
    content[-2] ^= 0xFF
    journal.path.write_bytes(content)
    assert journal.n_records() == 1


def _flip(journal: EditJournal, part: bytes | int) -> bytes:
    """Damage one byte; returns the whole file as it is then."""
    content = bytearray(journal.path.read_bytes())
    content[content.index(part) if isinstance(part, bytes) else part] ^= 0x01
    journal.path.write_bytes(content)
    return bytes(content)


@pytest.mark.parametrize("then", ["append", "rebase", "clear", "other labels"])
def test_strokes_behind_a_damaged_one_are_kept_in_a_file(journal: EditJournal, base: np.ndarray, then: str, caplog):
    painted = base.copy()
    for index in range(3):
        _paint(journal, painted, 0, [index], 3)
    first_record = journal.path.read_bytes().index(b"\n") + 1
    damaged = _flip(journal, first_record + 12)
    again = journal.with_base(journal.base_hash)
    if then == "append":
        again.append(0, [9], [0], [1])
        assert again.n_records() == 1
    elif then == "rebase":
        again.rebase(hash_labels(painted), again.n_records())
    elif then == "clear":
        again.clear()
    else:
        again.with_base(hash_labels(painted)).append(0, [9], [0], [1])
    others = [p for p in journal.path.parent.iterdir() if p != journal.path]
    assert [p.read_bytes() for p in others] == [damaged]
    if then != "other labels":  # there the file is set aside whole
        assert others[0].name in caplog.text and "p0" in caplog.text


def test_a_damaged_past_is_named_and_nothing_in_the_file_is_changed(journal: EditJournal, base: np.ndarray):
    painted = base.copy()
    for index in range(3):
        _paint(journal, painted, 0, [index], 3)
    journal = journal.rebase(hash_labels(painted), 3)
    _paint(journal, painted.copy(), 1, [5], 2)
    damaged = _flip(journal, journal.path.read_bytes().index(b"\n") + 13)
    again = journal.with_base(journal.base_hash)
    for use in (again.history, again.n_records, lambda: again.replay(painted.copy())):
        with pytest.raises(StudyError, match=r"damaged at its edit 1 of 3.*move the file away"):
            use()
    assert journal.path.read_bytes() == damaged


@pytest.mark.parametrize("part", [b'": "p0"', b'"cursor"', b'"bytes": 0'])
def test_a_first_line_that_was_changed_is_told(journal: EditJournal, base: np.ndarray, part: bytes):
    _paint(journal, base.copy(), 0, [1], 3)
    _flip(journal, journal.path.read_bytes().index(part) + len(part) - 2)
    with pytest.raises(StudyError, match=r"cannot be read"):
        journal.with_base(journal.base_hash).history()


def test_a_first_line_with_impossible_numbers_is_told(journal: EditJournal, base: np.ndarray):
    _paint(journal, base.copy(), 0, [1], 3)
    line, rest = journal.path.read_bytes().split(b"\n", 1)
    for number in ("1e999", "7", "-1"):
        document = {k: v for k, v in json.loads(line).items() if k != "check"}
        text = json.dumps(document).replace('"cursor": 0', f'"cursor": {number}')
        journal.path.write_bytes(text.encode() + b"\n" + rest)
        with pytest.raises(StudyError, match=r"cannot be read"):
            journal.with_base(journal.base_hash).history()


def test_strokes_on_other_labels_are_neither_replayed_nor_lost(tmp_path: Path, journal: EditJournal, base: np.ndarray):
    _paint(journal, base.copy(), 0, [1], 3)
    other = (base + 1) % 4
    later = EditJournal(tmp_path, "p0", hash_labels(other), "Ada")
    assert not later.exists() and later.replay(other).n_unsaved == 0
    assert EditJournal.recorded_base(tmp_path, "p0", "Ada") == journal.base_hash
    with pytest.raises(LabelError, match=r"belong to other labels"):
        journal.replay(other)
    later.append(0, [2], [0], [1])
    assert later.n_records() == 1
    assert len(list(later.path.parent.glob("*.set-aside-*"))) == 1


def test_each_reader_has_a_journal(tmp_path: Path, journal: EditJournal, base: np.ndarray):
    _paint(journal, base.copy(), 0, [1], 3)
    assert not EditJournal(tmp_path, "p0", journal.base_hash, "Bob").exists()
    assert EditJournal.cases_with_edits(tmp_path, "Ada") == {"p0"} == EditJournal.cases_with_edits(tmp_path)
    assert EditJournal.cases_with_edits(tmp_path, "Bob") == set()


def test_saved_strokes_are_forgotten(journal: EditJournal, base: np.ndarray):
    _paint(journal, base.copy(), 0, [1], 3)
    journal.clear()
    journal.clear()
    assert not journal.exists() and journal.history().edits == []
    assert EditJournal.recorded_base(journal.path.parents[1], "p0", "Ada") is None
    _paint(journal, base.copy(), 0, [1], 3)
    assert journal.n_records() == 1


def test_a_full_disk_loses_no_earlier_stroke(journal: EditJournal, base: np.ndarray, monkeypatch):
    painted = base.copy()
    _paint(journal, painted, 0, [1], 3)

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal_file.os, "fsync", no_space)
    with pytest.raises(StorageError, match=r"journal.*No space left"):
        journal.append(0, [2], [0], [1])
    monkeypatch.undo()
    assert journal.history().edits[0].strokes[0].flat_indices.tolist() == [1]


@pytest.mark.parametrize(
    ("frame", "indices", "before", "after"), [(0, [1, 2], [0], [1]), (-1, [1], [0], [1]), (0, [-1], [0], [1])]
)
def test_strokes_that_cannot_be_are_refused(journal: EditJournal, frame, indices, before, after):
    with pytest.raises(LabelError, match=r"a stroke needs as many indices"):
        journal.append(frame, indices, before, after)
    assert not journal.exists()


def test_a_stroke_outside_the_labels_is_refused_before_any_is_painted(journal: EditJournal, base: np.ndarray):
    journal.append(0, [0], [0], [3])
    journal.append(0, [60], [0], [1])
    labels = base.copy()
    with pytest.raises(LabelError, match=r"lies outside"):
        journal.replay(labels)
    np.testing.assert_array_equal(labels, base)


def test_a_journal_needs_a_case_and_a_reader(tmp_path: Path):
    with pytest.raises(StudyError, match=r"case '../p0'"):
        EditJournal(tmp_path, "../p0", "", "Ada")
    with pytest.raises(StudyError, match=r"reader's name"):
        EditJournal(tmp_path, "p0", "", " ")


def test_a_file_that_is_no_journal_is_named(journal: EditJournal):
    journal.path.parent.mkdir()
    journal.path.write_bytes(b"\x00\x01\x02")
    with pytest.raises(StudyError, match=r"cannot be read.*move the file away"):
        journal.append(0, [1], [0], [1])


def test_a_journal_that_was_begun_and_has_no_stroke_is_no_edit(journal: EditJournal, base: np.ndarray):
    journal.append(0, [1], [0], [3])
    header = journal.path.read_bytes().split(b"\n", 1)[0] + b"\n"
    journal.path.write_bytes(header + b"\x01\x02")
    assert not journal.exists()
    assert EditJournal.cases_with_edits(journal.path.parents[1]) == set()


def test_the_past_of_saved_labels_can_be_undone_later(journal: EditJournal, base: np.ndarray):
    painted = base.copy()
    _paint(journal, painted, 1, [3, 4, 5], 2)
    saved = painted.copy()
    _paint(journal, painted, 2, [8], 1)
    after = journal.rebase(hash_labels(saved), 1)
    labels = saved.copy()
    history = after.replay(labels)
    np.testing.assert_array_equal(labels, painted)
    assert history.n_unsaved == 1 and len(history.edits) == 2
    again = after.rebase(hash_labels(painted), 1)
    assert not again.exists() and EditJournal.recorded_base(again.path.parents[1], "p0", "Ada") is None
    assert EditJournal.cases_with_edits(again.path.parents[1]) == set()
    again.add_undo()
    again.add_undo()
    labels = painted.copy()
    assert again.replay(labels).n_unsaved == 2
    np.testing.assert_array_equal(labels, base)
    assert EditJournal.cases_with_edits(again.path.parents[1]) == {"p0"}


def test_marks_are_kept_with_the_journal(journal: EditJournal, base: np.ndarray):
    stroke = Stroke(frame=1, flat_indices=np.int32([2]), before=np.uint8([0]), after=np.uint8([1]))
    journal.add(Edit(strokes=(stroke,), tool="copy", unverified=((1, 0), (1, 1))))
    journal.add_look([(1, 0)])
    assert journal.history().unverified == {(1, 1)}
    assert journal.rebase("0" * 64, 2).history().unverified == {(1, 1)}


def test_a_journal_of_version_1_goes_on_as_version_2(journal: EditJournal, base: np.ndarray):
    painted = base.copy()
    painted[1].reshape(-1)[[3, 4]] = 2
    content = struct.pack("<iiI", 1, 2, 2) + zlib.compress(
        np.array([3, 4], "<i4").tobytes() + base[1].reshape(-1)[[3, 4]].tobytes() + bytes([2, 2]), 1
    )
    header = json.dumps({"napari-ssl journal": 1, "case": "p0", "base": journal.base_hash}).encode() + b"\n"
    journal.path.parent.mkdir()
    journal.path.write_bytes(header + struct.pack("<II", len(content), zlib.crc32(content)) + content)
    assert EditJournal.cases_with_edits(journal.path.parents[1]) == {"p0"}
    labels = base.copy()
    assert journal.replay(labels).n_unsaved == 1
    np.testing.assert_array_equal(labels, painted)
    _paint(journal, painted, 0, [1], 3)
    labels = base.copy()
    assert journal.replay(labels).n_unsaved == 2
    np.testing.assert_array_equal(labels, painted)


def test_what_the_disk_refuses_waits_in_memory_and_is_written_later(
    journal: EditJournal, base: np.ndarray, monkeypatch
):
    folder, painted = journal.path.parents[1], base.copy()

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal_file.os, "fsync", no_space)
    for frame in (0, 1):
        with pytest.raises(StorageError, match="make space"):
            _paint(journal, painted, frame, [2, 3], 1)
    assert waiting_cases(folder) == ["p0"] == write_waiting(folder)
    again = EditJournal(folder, "p0", journal.base_hash, "Ada")  # as when the case is opened again
    labels = base.copy()
    assert again.replay(labels).n_unsaved == 2
    np.testing.assert_array_equal(labels, painted)
    assert EditJournal.cases_with_edits(folder) == {"p0"}
    monkeypatch.undo()
    assert write_waiting(folder) == []
    assert journal_file.waiting_names(journal.path.parent) == set()
    labels = base.copy()
    assert again.replay(labels).n_unsaved == 2
    np.testing.assert_array_equal(labels, painted)


def test_discarded_edits_stay_in_a_file(journal: EditJournal, base: np.ndarray):
    _paint(journal, base.copy(), 0, [1], 3)
    aside = journal.discard()
    assert aside.exists() and not journal.path.exists() and not journal.exists()
    assert EditJournal.cases_with_edits(journal.path.parents[1]) == set()
    assert journal.discard() is None


@pytest.mark.parametrize("line", [b"0", b"[]", b"null", b'"x"'])
def test_a_first_line_that_is_no_record_is_refused_in_words(journal: EditJournal, base: np.ndarray, line: bytes):
    _paint(journal, base.copy(), 0, [0], 1)
    (path,) = (journal._file.path,)
    path.write_bytes(line + b"\n")
    with pytest.raises(StudyError, match="cannot be read"):
        journal.replay(base.copy())
