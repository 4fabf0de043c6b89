"""Load hosts.yaml into a Site. Reports all problems at once, each with its file, line and key."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from runbooks.inventory import checks, places, source
from runbooks.inventory.convert import convert
from runbooks.inventory.draft import Draft
from runbooks.inventory.locate import resolve
from runbooks.inventory.model import Site
from runbooks.inventory.problems import Problem, SiteError, by_line, shown


@dataclass(frozen=True, slots=True)
class Loaded:
    """A site that passed every check, with absolute paths, and the warnings about it."""

    site: Site
    warnings: tuple[Problem, ...]
    draft: Draft

    def problems(self, path: Path, found: Iterable[tuple[str, str]]) -> list[Problem]:
        """Return what was found later, keys and messages, with their places in the file at ``path``."""
        return list(by_line(Problem(shown(path), self.draft.line(key), key, message) for key, message in found))


def load_site(path: Path) -> Loaded:
    """Return the site described by the file at ``path``, or raise SiteError (an InventoryError) with all of its problems."""
    try:
        return loaded(source.read(path), path)
    except source.UnreadableError as error:
        raise SiteError([Problem(shown(path), error.line, "", error.message)]) from None


def loaded(tree: source.Node, path: Path) -> Loaded:
    """Return the site that ``tree`` describes, as if it stood in the file at ``path``. Raises SiteError as `load_site`."""
    name = shown(path)
    draft, site = convert(tree)
    found = [*draft.findings, *((draft.line(one.key), one) for one in (*checks.findings(draft), *places.findings(draft, path)))]
    problems = by_line(Problem(name, line, one.key, one.message, one.severity) for line, one in found)
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors or site is None:
        raise SiteError(errors)
    return Loaded(resolve(site, path), problems, draft)
