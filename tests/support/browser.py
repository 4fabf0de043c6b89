"""A real browser (Debian's chromium) that opens a page, in a network of its own without any way out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from html import unescape
from pathlib import Path

LIGHT, DARK = 1, 0  # Blink's numbers for preferredColorScheme
READABLE = 4.5  # https://www.w3.org/TR/WCAG22/#contrast-minimum
PROBE = r"""
document.currentScript.remove();
const numbers = (text) => (text.match(/[\d.]+/g) || []).map(Number);
const shine = (rgb) => rgb.slice(0, 3).map((c) => c / 255)
  .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const contrast = (a, b) => { const [x, y] = [shine(a), shine(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
const opaque = (rgb) => rgb.length === 3 || rgb[3] === 1;
function behind(element) {
  for (let at = element; at; at = at.parentElement) {
    const found = numbers(getComputedStyle(at).backgroundColor);
    if (opaque(found)) return found;
  }
  return [255, 255, 255];
}
function below(element) {
  const { x, y, height } = element.getBoundingClientRect();
  const box = [...element.closest("svg").querySelectorAll("rect.box")].find((each) => {
    const r = each.getBoundingClientRect();
    return r.left <= x && x <= r.right && r.top <= y + height / 2 && y + height / 2 <= r.bottom;
  });
  return box ? numbers(getComputedStyle(box).fill) : behind(element.closest("svg"));
}
addEventListener("load", () => {
const faint = [], outside = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join(" ").trim();
  const svg = element.closest("svg");
  if (!own || ["SCRIPT", "STYLE", "title"].includes(element.tagName)) continue;
  const ratio = svg ? contrast(numbers(getComputedStyle(element).fill), below(element))
    : contrast(numbers(getComputedStyle(element).color), behind(element));
  if (ratio < READABLE) faint.push(`${own} (${ratio.toFixed(1)})`);
  const place = element.getBoundingClientRect(), edge = svg && svg.getBoundingClientRect();
  if (svg && (place.left < edge.left - 1 || place.right > edge.right + 1)) outside.push(own);
}
document.body.innerHTML += `<pre id="seen">${JSON.stringify({
  dark: matchMedia("(prefers-color-scheme: dark)").matches, background: numbers(getComputedStyle(document.body).backgroundColor),
  asked: performance.getEntriesByType("resource").map((each) => each.name), too_wide: document.documentElement.scrollWidth > innerWidth,
  faint, outside, title: document.title}).replaceAll("&", "&amp;").replaceAll("<", "&lt;")}</pre>`;
});
"""


@dataclass(frozen=True, slots=True)
class Look:
    """What the browser made of a page.

    background   red, green and blue, 0 to 255. ``dark``: whether it was asked for its dark form.
    asked        the addresses that the page asked for.
    faint        texts whose contrast is less than READABLE; ``outside``: texts of a picture that run out of it.
    too_wide     whether the page is wider than the window.
    """

    title: str
    dark: bool
    background: list[int]
    asked: list[str]
    faint: list[str]
    outside: list[str]
    too_wide: bool


def look(page: Path, *, dark: bool = False, width: int = 1200) -> Look:
    """Open a copy of ``page`` that measures itself; a page of ours has no script, and would run none."""
    text = page.read_text()
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory, "page.html")
        allowed = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
        copy.write_text(allowed.replace("</body>", f"<script>const READABLE = {READABLE};{PROBE}</script></body>"))
        scheme = f"--blink-settings=preferredColorScheme={DARK if dark else LIGHT}"
        shown = browse(directory, copy, "--dump-dom", scheme, f"--window-size={width},1600")
    found = re.search(r'<pre id="seen">(.*?)</pre>', shown, re.DOTALL)
    assert found, shown[-3000:]
    return Look(**json.loads(unescape(found[1])))


def printed(page: Path) -> str:
    """Return the text of ``page`` as it is printed, on a machine whose browser prefers dark pages."""
    with tempfile.TemporaryDirectory() as directory:
        paper = Path(directory, "page.pdf")
        browse(directory, page, f"--print-to-pdf={paper}", f"--blink-settings=preferredColorScheme={DARK}")
        done = subprocess.run(["pdftotext", "-layout", str(paper), "-"], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def browse(directory: str, page: Path, *flags: str) -> str:
    """Run the browser with ``flags`` on ``page`` and return what it prints; everything that it keeps is in ``directory``."""
    alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    headless = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={directory}/profile",
    ]
    command = [*alone, *headless, *flags, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=os.environ | {"HOME": directory})
    assert done.returncode == 0, done.stderr
    return done.stdout
