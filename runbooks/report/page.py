"""Write a report as one HTML file. It needs nothing else: no script, no font, no request to anywhere."""

from __future__ import annotations

from runbooks.render import render
from runbooks.report.layout import LANE, LEFT, RIGHT, WIDTH, draw
from runbooks.report.model import Page, Text


def html(page: Page) -> str:
    """Return ``page`` as HTML. Every text is escaped, whatever a host has said."""
    return render(
        "report.html",
        page=page,
        drawing=draw(page.picture) if page.picture else None,
        plot={"width": WIDTH, "left": LEFT, "right": RIGHT, "lane": LANE},
        diff_lines=diff_lines,
    )


def diff_lines(text: Text) -> list[tuple[str, str]]:
    r"""Return the lines of a diff, each with its class: "add", "del", "at" or "".

    >>> diff_lines(Text(text="--- /a\n+++ /a\n@@ -1 +1 @@\n-x\n+y\n z", kind="diff"))
    [('', '--- /a'), ('', '+++ /a'), ('at', '@@ -1 +1 @@'), ('del', '-x'), ('add', '+y'), ('', ' z')]
    """
    return list(map(_classed, text.text.splitlines()))


def _classed(line: str) -> tuple[str, str]:
    if line.startswith(("--- ", "+++ ")):
        return "", line
    return {"+": "add", "-": "del", "@": "at"}.get(line[:1], ""), line
