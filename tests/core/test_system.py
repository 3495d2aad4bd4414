"""What the operating system lacks is named with the package that holds it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from napari_ssl import system


@pytest.fixture
def bare(monkeypatch):
    monkeypatch.setattr(system, "_has_library", lambda name: name != "libEGL.so.1")
    monkeypatch.setattr(system.shutil, "which", lambda name: None if name == "Xvfb" else "/usr/bin/" + name)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(system, "_has_postgresql", lambda: True)


def test_a_missing_library_is_named_with_its_package(bare, capsys):
    assert system.main([]) == 1
    text = capsys.readouterr().err
    assert "The system lacks libEGL.so.1; on Debian or Ubuntu the package libegl1 holds it." in text
    assert "sudo apt-get install libegl1 xvfb" in text


def test_a_window_needs_no_virtual_screen(bare):
    assert system.missing(screenless=False) == {"libEGL.so.1": "libegl1"}


def test_what_is_missing_is_installed_where_that_is_allowed(bare, monkeypatch):
    ran = []
    monkeypatch.setattr(system.os, "geteuid", lambda: 0, raising=False)
    monkeypatch.setattr(system.subprocess, "run", lambda command, **_: ran.append(command))
    system.main(["--install"])
    assert ran[-1][-2:] == ["libegl1", "xvfb"]
    ran.clear()
    monkeypatch.setattr(system.os, "geteuid", lambda: 1000, raising=False)
    system.main(["--install"])
    assert ran == []


def test_the_server_for_shared_studies_is_installed_too_but_never_missed(bare, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(system, "_has_postgresql", lambda: False)
    monkeypatch.setattr(system.os, "geteuid", lambda: 0, raising=False)
    monkeypatch.setattr(system.subprocess, "run", lambda command, **_: ran.append(command))
    system.main(["--install"])
    assert ran[-1][-3:] == ["libegl1", "postgresql", "xvfb"]
    assert "lacks postgresql" not in capsys.readouterr().err and "postgresql" not in system.missing().values()


def test_it_runs_before_anything_is_installed():
    done = subprocess.run(
        [sys.executable, "-S", "-m", "napari_ssl.system"], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
