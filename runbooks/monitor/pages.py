"""The pages to follow by hand for monitoring."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from runbooks.inventory.model import Site
from runbooks.monitor.apply import apply_procedure, remove_procedure
from runbooks.monitor.rules.scope import Scope
from runbooks.pages.page import Page

HERE: Final = Path("ha-runbooks-prometheus")


def apply(site: Site) -> Page:
    """Return the page of monitor.apply on all hosts."""
    return Page(apply_procedure(Scope(site), site.hosts, HERE))


def remove(site: Site) -> Page:
    """Return the page of monitor.remove on all hosts."""
    return Page(remove_procedure(Scope(site), site.hosts, cluster=True))


MONITOR: Final = (apply, remove)
