import os
import subprocess
import sys

import pytest

from napari_ssl.gui import view_memory
from napari_ssl.gui.view_memory import ViewMemory, fitted_zoom

VIEW = {"frame": 3, "slice": 1, "zoom": 2.5, "center": [1.0, 2.0], "contrast": [0.0, 9.0], "canvas": [600, 800]}


def test_another_machine_finds_the_view_in_the_study(tmp_path, monkeypatch):
    ViewMemory(tmp_path, "a").remember("case1", VIEW)
    monkeypatch.setenv("NAPARI_SSL_HOME", str(tmp_path / "another machine"))
    again = ViewMemory(tmp_path, "a")
    assert again.recall("case1") == VIEW and again.last == "case1"
    assert again.path.parent == tmp_path / "views"


def test_readers_do_not_see_each_others_views(tmp_path):
    ViewMemory(tmp_path, "a").remember("case1", VIEW)
    assert ViewMemory(tmp_path, "b").recall("case1") == {}


def test_a_view_is_on_disk_when_the_process_is_killed_at_once(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from napari_ssl.gui.view_memory import ViewMemory\n"
        "ViewMemory(Path(sys.argv[1]), 'a').remember('case1', {'frame': 4}); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=60)
    assert ViewMemory(tmp_path, "a").recall("case1") == {"frame": 4}


def test_a_torn_line_costs_only_itself(tmp_path):
    memory = ViewMemory(tmp_path, "a")
    memory.remember("case1", {"frame": 1})
    memory.remember("case2", {"frame": 2})
    whole = memory.path.read_bytes()
    for cut in range(1, 20):
        memory.path.write_bytes(whole[:-cut])
        again = ViewMemory(tmp_path, "a")
        assert again.recall("case1") == {"frame": 1}
        again.remember("case3", {"frame": 3})
        third = ViewMemory(tmp_path, "a")
        assert third.recall("case3") == {"frame": 3} and third.recall("case1") == {"frame": 1}


def test_the_same_view_is_written_once_and_superseded_lines_are_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(view_memory, "_SLACK", 10)
    memory = ViewMemory(tmp_path, "a")
    memory.remember("case0", {"frame": 0})
    memory.remember("case0", {"frame": 0})
    assert len(memory.path.read_text().splitlines()) == 1
    for n in range(1, 30):
        memory.remember(f"case{n % 2}", {"frame": n})
    again = ViewMemory(tmp_path, "a")
    assert len(again.path.read_text().splitlines()) == 2
    assert again.recall("case0") == {"frame": 28} and again.last == "case1"


def test_the_oldest_views_are_dropped_when_there_are_too_many(tmp_path, monkeypatch):
    monkeypatch.setattr(view_memory, "_MOST", 5)
    memory = ViewMemory(tmp_path, "a")
    for n in range(8):
        memory.remember(f"case{n}", {"frame": n})
    again = ViewMemory(tmp_path, "a")
    assert [again.recall(f"case{n}") != {} for n in range(8)] == [False] * 3 + [True] * 5


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_study_that_cannot_be_written_keeps_views_in_the_settings(tmp_path, home):
    folder = tmp_path / "study"
    folder.mkdir(mode=0o500)
    ViewMemory(folder, "a").remember("case1", VIEW)
    assert home in ViewMemory(folder, "a").path.parents


def test_a_refused_folder_keeps_views_in_the_settings(tmp_path, home, monkeypatch):
    monkeypatch.setattr(view_memory.os, "access", lambda *_a: False)
    ViewMemory(tmp_path / "study", "a").remember("case1", VIEW)
    again = ViewMemory(tmp_path / "study", "a")
    assert home in again.path.parents and again.recall("case1") == VIEW


def test_a_smaller_canvas_shows_no_less():
    assert fitted_zoom(VIEW, (600, 800)) == 2.5
    assert fitted_zoom(VIEW, (300, 800)) == 1.25
    assert fitted_zoom(VIEW, (1200, 1600)) == 5.0
    assert fitted_zoom({"zoom": 2.0}, (10, 10)) == 2.0
