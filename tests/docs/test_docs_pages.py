"""The pages build without a warning, and what they say about commands and keys is what the program says."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import DOCS

sys.path.insert(0, str(DOCS))

from reference_pages import PAGES, every_command, write_pages

from napari_ssl.core.catalogue import STRATEGIES
from napari_ssl.core.export import FORMATS
from napari_ssl.gui.keys import ACTIONS


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site")
    run = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(out / "doctrees"), str(DOCS), str(out)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return out


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.links, self.pictures = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag == "img":
            self.pictures.append((values.get("src", ""), values.get("alt", "")))

    def handle_data(self, data):
        self.text.append(data)


def _page(path: Path) -> _Page:
    return _Page(path.read_text(encoding="utf-8"))


def test_every_page_is_there_and_its_links_and_pictures_lead_somewhere(site):
    pages = [p.with_suffix("").name for p in DOCS.glob("*.md")] + [f"generated/{Path(n).stem}" for n in PAGES]
    for name in pages:
        page = _page(site / f"{name}.html")
        for link in page.links:
            target = link.split("#")[0]
            if target and not re.match(r"[a-z]+:", target):
                assert ((site / f"{name}.html").parent / target).exists(), f"{name}: {link}"
        for source, alt in page.pictures:
            assert alt and ((site / f"{name}.html").parent / source).is_file(), f"{name}: {source}"
        assert "{literalinclude}" not in "".join(page.text)


def test_the_reference_names_every_command_and_every_option(site):
    text = "".join(_page(site / "generated" / "commands.html").text)
    seen = 0
    for names, command, _context in every_command():
        assert " ".join(names) in text
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                seen += 1
                assert option in text, f"{' '.join(names)} {option}"
    assert seen > 60


def test_the_reference_names_every_key_strategy_and_format(site):
    keys = "".join(_page(site / "generated" / "keys.html").text)
    assert all(action.text in keys and all(key in keys for key in action.keys) for action in ACTIONS)
    strategies = "".join(_page(site / "generated" / "strategies.html").text)
    assert all(name in strategies for name in STRATEGIES)
    formats = "".join(_page(site / "generated" / "formats.html").text)
    assert all(name in formats and entry.about in formats for name, entry in FORMATS.items())


def test_the_example_strategy_stands_in_the_page_as_it_is_run(site):
    text = "".join(_page(site / "extending.html").text)
    source = (DOCS / "examples" / "confident_labels.py").read_text()
    assert source.strip() in text.replace("\xa0", " ")


def test_generated_pages_are_written_anew_where_the_program_has_changed(tmp_path):
    write_pages(tmp_path)
    (tmp_path / "keys.md").write_text("old")
    before = (tmp_path / "commands.md").stat().st_mtime_ns
    write_pages(tmp_path)
    assert (tmp_path / "keys.md").read_text().startswith("# Keys")
    assert (tmp_path / "commands.md").stat().st_mtime_ns == before
