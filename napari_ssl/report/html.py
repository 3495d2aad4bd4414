"""Pages that need nothing but themselves: one HTML file with its style, tables and figures inside.

A page is a list of sections, a section a list of blocks: `Paragraph`, `Heading`, `Facts`, `Table`, `Figure` (SVG),
`Picture` (PNG). Everything is escaped except the figures' SVG, which `napari_ssl.report.plots` draws.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from napari_ssl import __version__
from napari_ssl.io.atomic import write_bytes

__all__ = [
    "Block",
    "Cell",
    "Facts",
    "Figure",
    "Heading",
    "Page",
    "Paragraph",
    "Picture",
    "Section",
    "Table",
    "inline_svg",
    "render_page",
    "write_page",
]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table: text, a smaller note below it, and ``better``, ``worse`` or nothing as its colour."""

    text: str
    note: str = ""
    css: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """Running text; a warning stands out."""

    text: str
    is_warning: bool = False
    template: str = field(default="paragraph.html.j2", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A title inside a section."""

    text: str
    template: str = field(default="heading.html.j2", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Names and values in two columns."""

    facts: Mapping[str, str]
    template: str = field(default="facts.html.j2", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table; cells may be given as plain texts.

    Parameters
    ----------
    columns : sequence of str
    rows : sequence of sequence of Cell or str
        As long as `columns` each.
    caption : str
    strong_rows, text_columns : sequence of int
        Rows in bold, columns that hold words and not numbers; counted from 0.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    caption: str = ""
    strong_rows: Sequence[int] = ()
    text_columns: Sequence[int] = ()
    template: str = field(default="table.html.j2", init=False)

    def __post_init__(self) -> None:
        rows = [[c if isinstance(c, Cell) else Cell(str(c)) for c in row] for row in self.rows]
        for row in rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row has {len(row)} cells, the table {len(self.columns)} columns: {row[0].text}")
        object.__setattr__(self, "rows", rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A drawing as SVG, from `napari_ssl.report.plots.svg_text`; `alt` says in words what it shows."""

    svg: str
    caption: str = ""
    alt: str = ""
    template: str = field(default="figure.html.j2", init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "svg", inline_svg(self.svg))


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of pixels, as the bytes of a PNG file."""

    png: bytes
    alt: str
    caption: str = ""
    template: str = field(default="picture.html.j2", init=False)

    @property
    def base64(self) -> str:
        """The file as text, for a page that holds it itself."""
        return base64.b64encode(self.png).decode("ascii")


Block = Paragraph | Heading | Facts | Table | Figure | Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Blocks under a title."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """What links inside the page go to."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A whole page; sections without blocks are left out."""

    title: str
    sections: Sequence[Section]
    subtitle: str = ""
    footer: str = f"napari-ssl {__version__}"

    def __post_init__(self) -> None:
        object.__setattr__(self, "sections", [s for s in self.sections if s.blocks])


def render_page(page: Page) -> str:
    """Return the page as HTML: one document that refers to nothing outside itself."""
    environment = Environment(
        loader=PackageLoader("napari_ssl.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(page=page)


def write_page(page: Page, path: Path) -> Path:
    """Write the page whole or not at all; StorageError when that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, render_page(page).encode())
    return path


def inline_svg(text: str) -> str:
    """Reduce an SVG document to the element that a page takes: no prolog, metadata, scripts or addresses.

    Inside HTML an ``svg`` element needs no namespaces; links between its own parts (``#id``) stay.
    """
    text = text[text.index("<svg") :]
    for part in ("metadata", "script"):
        text = re.sub(rf"<{part}\b.*?</{part}>", "", text, flags=re.DOTALL)
    text = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", text)
    return re.sub(r'xlink:href="#', 'href="#', text)
