"""A tiny study on disk: six subjects, images of (4, 3, 10, 12), five of them labelled at frames 0 and 2."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgresql_server import LocalServer, running_server, why_no_server
from study_factory import make_items

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.study import Study


def _make(place: Path) -> Study:
    made = Study.create(place / "study", label_scheme=PRESETS["acdc"], name="Tiny")
    assert not made.add_cases(make_items(place / "images")).failed
    return made


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Study and images that were moved away from where they were made: copies find their images beside them."""
    place = tmp_path_factory.mktemp("template") / "made"
    _make(place).close()
    return place.rename(place.with_name("moved"))


@pytest.fixture
def items(tmp_path: Path, template: Path) -> list:
    shutil.copytree(template / "images", tmp_path / "images")
    return make_items(tmp_path / "images")


@pytest.fixture
def study(tmp_path: Path, template: Path, items: list) -> Iterator[Study]:
    shutil.copytree(template / "study", tmp_path / "study")
    with Study.open(tmp_path / "study") as opened:
        yield opened


@pytest.fixture
def fresh_study(tmp_path: Path) -> Iterator[Study]:
    """The same, made on the spot: its images lie where the database says."""
    with _make(tmp_path / "fresh") as made:
        yield made


@pytest.fixture(scope="session")
def postgresql() -> Iterator[LocalServer]:
    """A running server; skipped where there is none to start."""
    reason = why_no_server()
    if reason is not None:
        pytest.skip(reason)
    with running_server() as server:
        yield server


@pytest.fixture
def server_study(tmp_path: Path, items: list, postgresql: LocalServer) -> Iterator[Study]:
    """The tiny study with its database on the server."""
    scheme = PRESETS["acdc"]
    with Study.create(tmp_path / "served", label_scheme=scheme, name="Tiny", database_url=postgresql.url) as made:
        assert not made.add_cases(items).failed
        yield made


@pytest.fixture(params=["study", "server_study"], ids=["sqlite", "postgresql"])
def any_study(request: pytest.FixtureRequest) -> Study:
    """The tiny study on each kind of database."""
    return request.getfixturevalue(request.param)
