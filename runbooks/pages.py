"""The procedures as pages that a person can follow without this tool: docs/runbooks, written by `inv site.pages`.

What a page says is what the procedure is: its steps, in their order, each with its own `by_hand`. Nothing is connected to.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from runbooks.by_hand import shell
from runbooks.commands.kubectl import ADMIN_CONF
from runbooks.engine.by_hand import ByHand
from runbooks.engine.steps import Procedure, Step, Together
from runbooks.inventory.model import Site
from runbooks.render import section
from runbooks.text import listed

REFRESH = "inv site.pages"
MARK = f"<!-- written by `{REFRESH}` from the procedure's own steps; change those, not this page -->"
PKI = "/etc/kubernetes/pki/etcd"
BEGINNING = (
    "Work as root (`sudo -i`). A step's heading names its host; where it names none, the text says where. Do the steps in their order, one "
    "at a time; one that is done already is left alone. One person at a time: tell the others, and see that nobody runs the tool."
)
WORDS: Mapping[str, Sequence[str]] = {
    "kubectl": (f"export KUBECONFIG={ADMIN_CONF}",),
    "etcdctl": (
        "etcdctl() {",
        '    crictl exec -s "$(crictl ps -q --state running --label io.kubernetes.container.name=etcd | head -n 1)" etcdctl \\',
        f'        --endpoints=https://127.0.0.1:2379 --cacert={PKI}/ca.crt --cert={PKI}/server.crt --key={PKI}/server.key "$@"',
        "}",
    ),
}


@dataclass(frozen=True, slots=True)
class Page:
    """One procedure as it is built for ``flags``.

    ``given`` says what was taken for seen, ``first`` what is done before the steps; ``variant`` tells pages of one command apart.
    """

    procedure: Procedure
    flags: str = ""
    given: str = ""
    variant: str = ""
    first: str = ""

    @property
    def name(self) -> str:
        """The file's name."""
        return ".".join(filter(None, [self.procedure.key, self.variant, "md"]))

    @property
    def command(self) -> str:
        """What one types to have the tool do it."""
        return " ".join(filter(None, ["inv", self.procedure.key, self.flags]))


def written(site: Site, pages: Sequence[Page], pageless: Mapping[str, str]) -> dict[str, str]:
    """Return the pages and their index as files, by name."""
    return {"README.md": index(site, pages, pageless)} | {page.name: text(site, page) for page in pages}


def text(site: Site, page: Page) -> str:
    """Return one page."""
    procedure = page.procedure
    parts = [
        f"{MARK}\n# {procedure.key}: {_capital(procedure.title)}",
        purpose(procedure.key),
        f"The tool does all of it with `{page.command}` (first `--plan`: it looks, and touches nothing). This page is for doing it by hand; "
        f"it is written for the hosts of {site.name}" + (f", and for this case: {page.given}." if page.given else "."),
        "## Before you begin\n\n" + _beginning(page),
        "## Steps",
        *(_section(*each) for each in _grouped(procedure)),
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n\n".join(part.strip() for part in parts)) + "\n"


def index(site: Site, pages: Sequence[Page], pageless: Mapping[str, str]) -> str:
    """Return the page that lists the others."""
    rows = [
        f"| [{page.procedure.key}{f' ({page.variant})' if page.variant else ''}]({page.name}) | {_brief(page)} | {len(page.procedure)} |"
        for page in pages
    ]
    without = [f"- `{key}`: {why}" for key, why in sorted(pageless.items())]
    intro = (
        "Each page is one procedure of this tool, step by step, for the day on which the tool cannot be used. The pages are made from the "
        f"same values that the tool runs, for the hosts of {site.name}; `{REFRESH} --to DIR` writes them for your own hosts.yaml. Print "
        "them, or keep them where you can read them while the cluster is down."
    )
    table = "\n".join(["| procedure | what for | steps |", "|---|---|---|", *rows])
    parts = [
        f"{MARK}\n# The runbooks, to be followed by hand",
        intro,
        table,
        "What the pages take from [files](files) is what the tool puts on hosts.",
    ]
    if without:
        parts += ["Without a page:", "\n".join(without)]
    return "\n\n".join(parts) + "\n"


def purpose(key: str) -> str:
    """Return what the command ``key`` ("lb.setup") says of itself."""
    chapter, _, name = key.partition(".")
    # By name: chapters are commands, and nothing is built upon them; what is wanted of one here is its words.
    module = import_module(f"runbooks.{chapter}")
    for found in vars(module).values():
        if hasattr(found, "body") and found.name.replace("_", "-") == name:
            return inspect.getdoc(found.body) or ""
    raise LookupError(f"there is no command {key}")


def _brief(page: Page) -> str:
    first = purpose(page.procedure.key).splitlines()[0].rstrip(".")
    return f"{first}: {page.given}" if page.variant else first


def _beginning(page: Page) -> str:
    procedure = page.procedure
    texts = "\n".join([page.first, *map(typed, procedure)])
    lines = [BEGINNING, *([page.first] if page.first else [])]
    gates = [numbers for numbers, steps in _grouped(procedure) if _is_gate(steps[0])]
    if gates:
        lines.append(
            f"Gates: {'steps' if len(gates) > 1 else 'step'} {', '.join(gates)}. When what a gate asks for does not hold, stop there: going on "
            "would do harm."
        )
    for word, definition in WORDS.items():
        if re.search(rf"\b{word}\b(?!\.)", texts):
            lines.append(f"`{word}` here means, in the shell of a control plane host:{shell(*definition)}")
    return "\n\n".join(lines)


def _grouped(procedure: Procedure) -> Iterator[tuple[str, Sequence[Step]]]:
    """Return the steps with their numbers; those of different hosts that say the same, and may be done at the same time, are one."""
    number = 1
    for item in procedure.steps:
        alike: dict[tuple[str, str], dict[int, Step]] = {}
        for step in item.steps if isinstance(item, Together) else (item,):
            alike.setdefault((step.name, _general(step)), {})[number] = step
            number += 1
        for steps in alike.values():
            yield _numbers(sorted(steps)), tuple(steps.values())


def _numbers(numbers: Sequence[int]) -> str:
    """Say which numbers these are: "4", "4-6", "4, 6"."""
    if numbers[-1] - numbers[0] == len(numbers) - 1 > 0:
        return f"{numbers[0]}-{numbers[-1]}"
    return listed(numbers)


def typed(step: Step) -> str:
    """Return what a person does instead of ``step``, in Markdown."""
    if isinstance(step.by_hand, ByHand):
        return section(f"by_hand/{step.by_hand.wing}.md", step.by_hand.section, step.by_hand.values)
    return step.by_hand or ""


def _general(step: Step) -> str:
    """Return what to do by hand, with HOST and ADDRESS for the step's own host."""
    found = typed(step)
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
    body = typed(first) if len(steps) == 1 else _general(first)
    if len(steps) > 1 and body != typed(first):
        body = f"HOST stands for each of these hosts{', ADDRESS for its address' if 'ADDRESS' in body else ''}.\n\n{body}"
    body = re.sub(r"\s*(?<!\*)\b(Done when|Go on (?:only )?when)\b", r"\n\n**\1**", body)
    return "\n\n".join(filter(None, [title, _kind(first), body.strip()]))


def _kind(step: Step) -> str:
    if _is_gate(step):
        return "**Gate.** Nothing is changed; go on only when it holds."
    if not step.do:
        return f"**Wait**, up to {step.within:g} s, until it is so. Nothing is changed."
    return ""


def _is_gate(step: Step) -> bool:
    return not (step.done or step.do)


def _capital(title: str) -> str:
    return title[:1].upper() + title[1:]
