"""What the operating system must have for the window and for its tests, named with the package that holds it.

Needs the standard library alone, so that it runs before anything is installed::

    python -m napari_ssl.system            # say what is missing; exit status 1 when something is
    python -m napari_ssl.system --install  # on Debian and Ubuntu as root, install it first
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["DEBIAN_PACKAGES", "main", "missing"]

# What a bare Debian lacks for Qt 6 and software OpenGL: library or program → package.
_LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libfontconfig.so.1": "libfontconfig1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
_PROGRAMS = {"Xvfb": "xvfb", "xvfb-run": "xvfb", "xauth": "xauth"}

DEBIAN_PACKAGES = tuple(sorted({*_LIBRARIES.values(), *_PROGRAMS.values()}))


_OPTIONAL_DEBIAN_PACKAGE = "postgresql"
"""For tests of studies that several machines share; they are skipped without it."""


def _has_postgresql() -> bool:
    return shutil.which("initdb") is not None or any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def _has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def missing(*, screenless: bool = True) -> dict[str, str]:
    """Return what is not there, library or program → Debian package.

    Parameters
    ----------
    screenless : bool
        Also look for what a virtual screen needs (the tests).
    """
    if not sys.platform.startswith("linux"):
        return {}
    lacking = {name: package for name, package in _LIBRARIES.items() if not _has_library(name)}
    if screenless:
        lacking |= {name: package for name, package in _PROGRAMS.items() if shutil.which(name) is None}
    return lacking


def _install(packages: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", *packages]):
        subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL)


def main(arguments: list[str]) -> int:
    """Report, with ``--install`` after installing where that is possible; return the exit status."""
    lacking = missing()
    may_install = hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get") is not None
    wanted = set(lacking.values())
    if not _has_postgresql():
        wanted.add(_OPTIONAL_DEBIAN_PACKAGE)
    if wanted and "--install" in arguments and may_install:
        packages = sorted(wanted)
        sys.stderr.write(f"Installing what the system lacks: {' '.join(packages)}\n")
        _install(packages)
        lacking = missing()
    for name, package in lacking.items():
        sys.stderr.write(f"The system lacks {name}; on Debian or Ubuntu the package {package} holds it.\n")
    if lacking:
        sys.stderr.write(f"Install with: sudo apt-get install {' '.join(sorted(set(lacking.values())))}\n")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
