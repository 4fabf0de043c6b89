"""A report as one HTML file: read back with the standard library's parsers."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks.report.model import TONES, Cell, Page, Picture, Point, Section, Span, Table, Text, Track
from runbooks.report.page import html

pytestmark = pytest.mark.unit

EVIL = "<script>alert(1)</script> & \"x\" 'y' </pre></style></svg>"


def page(text: str = "plain", **more) -> Page:
    return Page(
        title=text,
        verdict="ok",
        tone="ok",
        summary=text,
        facts=(("who", text),),
        picture=Picture(
            begin_s=0,
            end_s=10,
            tracks=(
                Track(
                    name=text,
                    spans=(Span(begin_s=0, end_s=5, label=text, tone="bad"), Span(begin_s=6, end_s=9, label="a", tone="warn")),
                    points=(Point(at_s=3, label=text, tone="changed"),),
                ),
            ),
            marks=(Point(at_s=5, label=text),),
            legend=(("bad", text),),
        ),
        sections=(
            Section(
                title=text,
                blocks=(
                    Table(header=(text,), rows=((Cell(text=text, tone="bad", to="there"),),)),
                    Text(text=text, title=text, anchor="there"),
                    Text(text=text, kind="code"),
                    Text(text=f"-{text}\n+{text}", kind="diff"),
                ),
            ),
        ),
        foot=text,
        **more,
    )


class Reader(HTMLParser):
    """Elements, attributes and texts of a page; an element that is not closed in its turn is an error."""

    VOID = ("meta", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def inside(self, tag: str) -> list[str]:
        return [text for where, text in self.texts if where == tag]


def svgs(text: str) -> list[Xml.Element]:
    return [Xml.fromstring(found) for found in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]  # noqa: S314 - our own


def test_it_asks_nobody_for_anything():
    """No element that loads something, no address in the style, and a policy that forbids the rest."""
    text = html(page())
    found = Reader(text)
    assert {tag for tag, _ in found.elements} & {
        "script",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "use",
        "image",
    } == set()
    addresses = [
        (tag, name, value)
        for tag, attributes in found.elements
        for name, value in attributes.items()
        if name in {"href", "src", "action"}
    ]
    assert sorted(addresses) == [("a", "href", "#there"), ("link", "href", "data:,")]
    (style,) = found.inside("style")
    assert "url(" not in style
    assert "@import" not in style
    assert set(re.findall(r"url\(([^)]*)\)", text)) == {"#hatch", "#dots"}
    assert not re.search(r"https?://", text)
    (policy,) = [attributes["content"] for _, attributes in found.elements if attributes.get("http-equiv")]
    assert policy.startswith("default-src 'none'; ")


@pytest.mark.parametrize("evil", [EVIL, "javascript:alert(1)", "{{ 7 * 7 }}"])
def test_what_a_host_says_stays_text(evil):
    found = Reader(html(page(evil)))
    assert "script" not in {tag for tag, _ in found.elements}
    assert found.inside("h2")[1] == evil
    assert found.inside("pre")[0] == evil
    assert found.inside("dd") == [evil]
    assert found.inside("footer") == [evil]


@settings(max_examples=30)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_any_text_comes_back_as_it_was(text):
    found = Reader(html(page(text)))
    assert found.inside("pre")[0] == text
    assert found.inside("dd") == [text]
    assert found.inside("h3") == [text]


def test_the_picture_is_well_formed_and_says_what_it_shows():
    picture, *keys = svgs(html(page(EVIL)))
    assert picture.get("role") == "img"
    assert EVIL in (picture.get("aria-label") or "")
    assert [each.text for each in picture.iter("title")][:3] == [EVIL, EVIL, "a"], "the name, which is too long, and the spans"
    assert len(keys) == 1
    boxes = [each.get("class") for each in picture.iter("rect")]
    assert boxes == ["box bad", "over", "box warn", "over"]
    assert [each.get("fill") for each in picture.iter("rect") if each.get("class") == "over"] == ["url(#hatch)", "url(#dots)"]


def test_links_lead_somewhere():
    found = Reader(html(page()))
    anchors = {attributes["id"] for _, attributes in found.elements if "id" in attributes}
    assert {attributes["href"] for tag, attributes in found.elements if tag == "a"} <= {f"#{anchor}" for anchor in anchors}


def test_a_diff_is_coloured_line_by_line():
    text = html(
        Page(
            title="t",
            verdict="ok",
            tone="ok",
            facts=(),
            sections=(Section(title="s", blocks=(Text(text="-a\n+b\n c", kind="diff"),)),),
        )
    )
    assert '<span class="del">-a</span>\n<span class="add">+b</span>\n<span> c</span>' in text


def test_every_tone_has_a_colour_in_light_and_in_dark():
    (style,) = Reader(html(page())).inside("style")
    for tone in TONES:
        assert f".{tone} {{ background: var(--{tone}); fill: var(--{tone}); }}" in style
        assert style.count(f"--{tone}: ") == 2
    assert "@media screen and (prefers-color-scheme: dark)" in style, "what is printed is never dark"
    assert "@media print" in style


def contrast(one: str, other: str) -> float:
    """The contrast of two colours. https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio"""

    def luminance(colour: str) -> float:
        digits = colour if len(colour) == 6 else "".join(2 * each for each in colour)
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_every_text_can_be_read_on_what_is_behind_it(theme):
    """4.5 is what WCAG asks of text (level AA)."""
    (style,) = Reader(html(page())).inside("style")
    colours = dict(re.findall(r"--([a-z]+): #([0-9a-f]+);", style.split(":root {")[1 + theme].split("}")[0]))
    pairs = [("on", tone) for tone in TONES] + [(text, behind) for text in ("fg", "soft", "link") for behind in ("bg", "code")]
    pairs += [("fg", "add"), ("fg", "del"), ("soft", "bg")]
    assert {
        pair: round(contrast(colours[pair[0]], colours[pair[1]]), 1)
        for pair in pairs
        if contrast(colours[pair[0]], colours[pair[1]]) < 4.5
    } == {}
