"""Render the templates with jinja2: files for hosts, prose for pages, reports. A missing value raises jinja2.UndefinedError."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from runbooks.commands.kubectl import url
from runbooks.inventory.words import literal

ROOT = Path(__file__).resolve().parents[1]
WRAPPED = re.compile(r"(?<=\S)\n(?=\S)")


def render(name: str, **facts: Any) -> str:
    """Render ``templates/NAME.j2``. In those called ``*.html.j2`` every value is escaped."""
    return str(_environment().get_template(f"{name}.j2").render(facts))


def section(name: str, macro: str, values: Mapping[str, Any]) -> str:
    """Render the macro ``macro`` of ``templates/NAME.j2`` as Markdown; each paragraph becomes one line.

    Raises AttributeError when there is no such macro, TypeError when it does not accept one of ``values``.
    """
    module = _environment().get_template(f"{name}.j2").module
    return WRAPPED.sub(" ", str(getattr(module, macro)(**values)).strip("\n"))


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape  # noqa: PLC0415 - start-up time

    environment = Environment(
        loader=FileSystemLoader(ROOT / "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=select_autoescape(("html.j2",), default=False),  # the others are configuration files and Markdown
    )
    environment.filters |= {"literal": literal, "url": url, "percent": "{:.0%}".format}
    return environment
