"""A report in a real browser: readable in the light and in the dark, on a narrow screen and on paper, and it asks for nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runbooks.drill.rules.page import page as drill_page
from runbooks.drill.rules.verdict import judge
from runbooks.report.model import TONES, Cell, Page, Picture, Point, Section, Span, Table, Text, Track
from runbooks.report.page import html
from tests.support import browser
from tests.support.programs import program
from tests.unit.drill.course import ETCD, FACTS, LIMITS, RESULT

pytestmark = pytest.mark.unit

LONG = "journalctl --unit=" + "a-name-without-a-blank-in-it" * 12
EVERYTHING = Page(
    title="Everything that a page can have",
    verdict="failed",
    tone="bad",
    summary=LONG,
    facts=(("who", LONG),),
    picture=Picture(
        begin_s=0,
        end_s=120,
        tracks=tuple(
            Track(
                name=f"a host with a long name, {tone}",
                spans=(
                    Span(begin_s=0, end_s=60, label="its name", tone=tone),
                    Span(begin_s=61, end_s=120, label="other", tone=tone),
                ),
                points=(Point(at_s=119, label="a point", tone=tone),),
            )
            for tone in TONES
        ),
        marks=(Point(at_s=0, label="the first moment"), Point(at_s=120, label="the last moment")),
        legend=tuple((tone, tone) for tone in TONES),
    ),
    sections=(
        Section(
            title="A section",
            anchor="there",
            blocks=(
                Table(
                    header=("one", "two"), rows=tuple((Cell(text=tone, tone=tone, to="there"), Cell(text=LONG)) for tone in TONES)
                ),
                Text(text="-old\n+new\n@@ at @@", kind="diff"),
                Text(text=LONG, kind="code"),
            ),
        ),
    ),
    foot="written by nobody",
)
PAGES = {"drill": drill_page(judge(ETCD, LIMITS, FACTS, RESULT), FACTS, RESULT, "written by nobody"), "everything": EVERYTHING}


@pytest.fixture(autouse=True)
def installed(request: pytest.FixtureRequest) -> None:
    for name in ("chromium", "pdftotext"):
        program(name, request.config)


@pytest.fixture(params=PAGES)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    path.write_text(html(PAGES[request.param]))
    return path


@pytest.mark.parametrize(("dark", "width"), [(False, 1200), (True, 1200), (False, 500)])
def test_it_is_readable_and_asks_for_nothing(written, dark, width):
    seen = browser.look(written, dark=dark, width=width)
    assert (seen.dark, max(seen.background) < 60) == (dark, dark)
    assert (seen.asked, seen.faint, seen.outside, seen.too_wide) == ([], [], [], False)
    assert seen.title


def test_on_paper_all_of_its_words_are_there(written):
    """The same words as on the screen: nothing is cut off at the edge, nothing is hidden."""
    text = written.read_text()
    wanted = [
        re.sub(r"<[^>]*>", "", cell).split() for cell in re.findall(r"<(?:td|th|h1|h2)\b[^>]*>(.*?)</(?:td|th|h1|h2)>", text)
    ]
    paper = "".join(browser.printed(written).split())
    assert len(wanted) > 5
    missing = [word for words in wanted for word in words if word not in paper and len(word) < 30]
    assert missing == []


def test_what_the_browser_cannot_read_well_is_seen(tmp_path):
    """The check itself: it finds a faint text, a picture that runs out, a page that is too wide, and a request."""
    path = tmp_path / "bad.html"
    path.write_text(
        '<html><title>bad</title><body style="background:#fff"><p style="color:#ccc">faint</p>'
        '<div style="width:3000px">wide</div><img src="http://127.0.0.1:1/missing.png">'
        '<svg width="50" height="20"><text x="0" y="10">far too long for it</text></svg></body></html>'
    )
    seen = browser.look(path)
    assert [each.partition(" ")[0] for each in seen.faint] == ["faint"]
    assert (seen.outside, seen.too_wide) == (["far too long for it"], True)
    assert seen.asked == ["http://127.0.0.1:1/missing.png"]
