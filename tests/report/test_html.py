"""Pages escape what they are told and refer to nothing outside themselves."""

from __future__ import annotations

import re

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing

from napari_ssl.report.html import (
    Cell,
    Facts,
    Figure,
    Heading,
    Page,
    Paragraph,
    Picture,
    Section,
    Table,
    inline_svg,
    render_page,
    write_page,
)
from napari_ssl.report.plots import bland_altman_figure, save_both, svg_text


def drawing() -> Drawing:
    figure = Drawing()
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1])
    axes.set_title("a < b & c")
    return figure


def test_a_page_holds_every_kind_of_block_and_nothing_from_outside():
    blocks = [
        Paragraph(text="plain <b>text</b>", is_warning=True),
        Heading(text="a heading"),
        Facts(facts={"Seeds": "0, 1"}),
        Table(
            columns=["Arm", "Dice"], rows=[["<script>", Cell("0.9 (0.1)", "seeds ±0.01", "better")]], strong_rows=[0]
        ),
        Figure(svg=svg_text(drawing()), caption="a caption"),
        Picture(png=b"\x89PNG", alt="a picture"),
    ]
    text = render_page(Page(title="A & B", sections=[Section(title="One", blocks=blocks)]))
    assert "<title>A &amp; B</title>" in text
    assert "plain &lt;b&gt;text&lt;/b&gt;" in text
    assert "<td>&lt;script&gt;</td>" in text
    assert '<td class="better">0.9 (0.1)<span class="note">seeds ±0.01</span></td>' in text
    assert not re.search(r"https?:|url\((?!#)|@import|<link|<script", text)
    assert 'src="data:image/png;base64,iVBORw==' in text
    assert "a &lt; b &amp; c" in text  # text stays text in the drawing


def test_sections_without_blocks_are_left_out_and_links_lead_to_the_others():
    sections = [
        Section(title=t, blocks=[Paragraph(text="x")] if t != "Empty" else []) for t in ("A b", "C", "D", "Empty")
    ]
    text = render_page(Page(title="t", sections=sections))
    assert "Empty" not in text
    assert '<a href="#a-b">' in text
    assert '<section id="a-b">' in text


def test_a_row_that_does_not_fit_its_table_is_refused():
    with pytest.raises(ValueError, match="2 columns"):
        Table(columns=["a", "b"], rows=[["only one"]])


def test_the_same_figure_gives_the_same_svg():
    assert svg_text(drawing()) == svg_text(drawing())


def test_inline_svg_drops_addresses_and_keeps_links_between_its_parts():
    text = inline_svg(
        '<?xml version="1.0"?><!DOCTYPE svg PUBLIC "x" "http://a.b/c"><svg xmlns="http://www.w3.org/2000/svg" '
        'xmlns:xlink="http://w"><metadata>\n<a href="http://x"/></metadata><use xlink:href="#m1"/></svg>'
    )
    assert text == '<svg><use href="#m1"/></svg>'


def test_figures_are_written_as_svg_and_png(tmp_path):
    row = {"pairs": [["s1", 60.0, 58.0], ["s2", 50.0, 53.0]], "agreement": {"bias": -0.5, "lower": -7.4, "upper": 6.4}}
    text = save_both(bland_altman_figure("LV EF (%)", {"supervised": row}), tmp_path / "figures" / "ef")
    assert (tmp_path / "figures" / "ef.svg").read_text() == text
    assert (tmp_path / "figures" / "ef.png").read_bytes().startswith(b"\x89PNG")
    assert "bias: −0.5" in text


def test_a_page_is_written_whole(tmp_path):
    path = write_page(Page(title="t", sections=[]), tmp_path / "new" / "page.html")
    assert path.read_text().rstrip().endswith("</html>")
