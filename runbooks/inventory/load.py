"""Load hosts.yaml into a Site. Reports all problems at once, each with its file, line and key."""

from dataclasses import dataclass
from pathlib import Path

from runbooks.errors import InventoryError
from runbooks.inventory import checks, source
from runbooks.inventory.convert import convert
from runbooks.inventory.draft import Draft
from runbooks.inventory.locate import expanded, resolve
from runbooks.inventory.model import Site
from runbooks.inventory.problems import Finding, Problem, SiteError, by_line, shown


@dataclass(frozen=True, slots=True)
class Loaded:
    """A site that passed every check, with absolute paths, and the warnings about it."""

    site: Site
    warnings: tuple[Problem, ...]


def load_site(path: Path) -> Loaded:
    """Return the site described by the file at ``path``, or raise SiteError (an InventoryError) with all of its problems."""
    name = shown(path)
    try:
        draft, site = convert(source.read(path))
    except source.UnreadableError as error:
        raise SiteError([Problem(name, error.line, "", error.message)]) from None
    found = [*draft.findings, *((draft.line(one.key), one) for one in (*checks.findings(draft), *homeless(draft)))]
    problems = by_line(Problem(name, line, one.key, one.message, one.severity) for line, one in found)
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors or site is None:
        raise SiteError(errors)
    return Loaded(resolve(site, path), problems)


def homeless(draft: Draft) -> list[Finding]:
    """Return a finding for each path whose ``~`` or ``~user`` has no home directory here. Depends on this machine, unlike `checks`."""
    found = []
    for key, value in draft.values.items():
        if isinstance(value, Path):
            try:
                expanded(value, Path())
            except InventoryError as error:
                found.append(Finding(key, f"{error}: {error.hint}"))
    return found
