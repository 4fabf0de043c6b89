"""Turn procedures into pages that a person can follow without this tool: docs/runbooks, written by `inv site.pages`.

A page is made from the procedure itself: its steps, in their order, each with its own `by_hand`. Connects to nothing.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from runbooks.commands.kubectl import ADMIN_CONF
from runbooks.engine.by_hand import ByHand, by_hand
from runbooks.engine.steps import Procedure, Step, Together
from runbooks.inventory.model import Site
from runbooks.inventory.settings import ETCD_DATA
from runbooks.render import section
from runbooks.text import listed

REFRESH = "inv site.pages"
MARK = f"<!-- written by `{REFRESH}` from the steps of the procedure; do not edit this page -->"
ALSO_IN: Final = {"cluster": ("day2",)}  # the wings that have commands of a chapter besides its own
WORDS = (by_hand("page", "kubectl", admin_conf=ADMIN_CONF), by_hand("page", "etcdctl", pki="/etc/kubernetes/pki/etcd"))


@dataclass(frozen=True, slots=True)
class Page:
    """One procedure as it is built for ``flags``.

    ``given`` says which situation the page assumes, ``first`` what is done before the steps. ``variant`` distinguishes several pages of
    the same command.
    """

    procedure: Procedure
    flags: str = ""
    given: str = ""
    variant: str = ""
    first: ByHand | None = None

    @property
    def name(self) -> str:
        """The name of the file, such as ``lb.setup.md``."""
        return ".".join(filter(None, [self.procedure.key, self.variant, "md"]))

    @property
    def command(self) -> str:
        """The command that carries out the procedure, such as ``inv lb.setup``."""
        return " ".join(filter(None, ["inv", self.procedure.key, self.flags]))


def written(site: Site, pages: Sequence[Page], pageless: Mapping[str, str]) -> dict[str, str]:
    """Return the pages and their index as files, by name."""
    return {"README.md": index(site, pages, pageless)} | {page.name: text(site, page) for page in pages}


def text(site: Site, page: Page) -> str:
    """Return one page as Markdown."""
    procedure = page.procedure
    parts = [
        f"{MARK}\n# {procedure.key}: {_capital(procedure.title)}",
        purpose(procedure.key),
        _say("about", command=page.command, site=site.name, given=page.given),
        "## Before you begin\n\n" + _beginning(page),
        "## Steps",
        *(_section(*each) for each in _grouped(procedure)),
    ]
    return _with_data_dir(site, re.sub(r"\n{3,}", "\n\n", "\n\n".join(part.strip() for part in parts)) + "\n")


def _with_data_dir(site: Site, text: str) -> str:
    """Return a page with the site's own directory for etcd's data; the templates have kubeadm's default, also as the name of its check."""
    own = site.kubernetes.etcd_data_dir
    check = "DirAvailable-"
    named = text.replace(check + ETCD_DATA.replace("/", "-"), check + own.replace("/", "-"))
    return re.sub(rf"{ETCD_DATA}(?![\w-])", own, named)


def index(site: Site, pages: Sequence[Page], pageless: Mapping[str, str]) -> str:
    """Return the index of the pages as Markdown."""
    rows = [
        f"| [{page.procedure.key}{f' ({page.variant})' if page.variant else ''}]({page.name}) | {_brief(page)} | {len(page.procedure)} |"
        for page in pages
    ]
    without = [f"- `{key}`: {why}" for key, why in sorted(pageless.items())]
    table = "\n".join(["| procedure | what for | steps |", "|---|---|---|", *rows])
    parts = [
        f"{MARK}\n# The runbooks, to be followed by hand",
        _say("index", refresh=REFRESH, site=site.name),
        table,
        _say("files"),
    ]
    if without:
        parts += ["Without a page:", "\n".join(without)]
    return "\n\n".join(parts) + "\n"


def purpose(key: str) -> str:
    """Return the docstring of the command ``key`` ("lb.setup"). Raises LookupError when there is no such command."""
    chapter, _, name = key.partition(".")
    for wing in (chapter, *ALSO_IN.get(chapter, ())):
        # Imported by name: no module depends on the tasks of a chapter, and only a docstring is needed here.
        for found in vars(import_module(f"runbooks.{wing}.tasks")).values():
            if hasattr(found, "body") and found.name.replace("_", "-") == name:
                return inspect.getdoc(found.body) or ""
    raise LookupError(f"there is no command {key}")


def _brief(page: Page) -> str:
    first = purpose(page.procedure.key).splitlines()[0].rstrip(".")
    return f"{first}: {page.given}" if page.variant else first


def _beginning(page: Page) -> str:
    first = [markdown(page.first)] if page.first else []
    lines = [_say("beginning"), *first]
    if gates := [numbers for numbers, steps in _grouped(page.procedure) if _is_gate(steps[0])]:
        lines.append(_say("gates", numbers=gates))
    texts = "\n".join([*first, *(markdown(step.by_hand) for step in page.procedure)])
    lines += [markdown(word) for word in WORDS if re.search(rf"\b{word.section}\b(?!\.)", texts)]
    return "\n\n".join(lines)


def markdown(words: ByHand | None) -> str:
    """Return a section of a template, rendered with its values; "" for None."""
    return section(f"by_hand/{words.wing}.md", words.section, words.values) if words else ""


def _say(macro: str, **values: Any) -> str:
    return markdown(by_hand("page", macro, **values))


def _grouped(procedure: Procedure) -> Iterator[tuple[str, Sequence[Step]]]:
    """Yield the steps with their numbers. Steps of one Together that differ only in the host are one entry."""
    number = 1
    for item in procedure.steps:
        alike: dict[tuple[str, str], dict[int, Step]] = {}
        for step in item.steps if isinstance(item, Together) else (item,):
            alike.setdefault((step.name, _general(step)), {})[number] = step
            number += 1
        for steps in alike.values():
            yield _numbers(sorted(steps)), tuple(steps.values())


def _numbers(numbers: Sequence[int]) -> str:
    """Return ``numbers`` as text: "4", "4-6" or "4, 6"."""
    if numbers[-1] - numbers[0] == len(numbers) - 1 > 0:
        return f"{numbers[0]}-{numbers[-1]}"
    return listed(numbers)


def _general(step: Step) -> str:
    """Return the manual instructions of a step, with HOST and ADDRESS instead of its own host."""
    found = markdown(step.by_hand)
    if not step.host:
        return found
    pairs = ((step.host.name, "HOST"), (str(step.host.address), "ADDRESS"))
    for word, instead in pairs:
        found = re.sub(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", instead, found)
    return found


def _section(numbers: str, steps: Sequence[Step]) -> str:
    first = steps[0]
    hosts = listed(step.host for step in steps if step.host)
    title = f"### {numbers}. {f'{hosts}: ' if hosts else ''}{first.name}"
    said = markdown(first.by_hand)
    body = said if len(steps) == 1 else _general(first)
    alike = _say("alike", address="ADDRESS" in body) if body != said else ""
    return "\n\n".join(filter(None, [title, _kind(first), alike, body]))


def _kind(step: Step) -> str:
    if _is_gate(step):
        return _say("gate")
    if not step.do:
        return _say("wait", seconds=step.within)
    return ""


def _is_gate(step: Step) -> bool:
    return not (step.done or step.do)


def _capital(title: str) -> str:
    return title[:1].upper() + title[1:]
