"""Every command that a message, a page, a script or the documentation names exists, with the flags that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import tasks
from runbooks.render import ROOT

pytestmark = pytest.mark.unit

PLACES = (
    *(
        "runbooks/**/*.py",
        "lab/**/*.py",
        "rehearse/**/*.py",
        "tasks.py",
        "templates/**/*",
        "docs/**/*.md",
        "scripts/**/*",
        "README.md",
        "CONTRIBUTING.md",
    ),
)
# `inv WORD.WORD`, and what stands behind it up to the end of the sentence, of the code, or of the line.
NAMED = re.compile(r"\binv ((?:[a-z]+\.[a-z-]+)|doctor)\b([^\n`;,:()\"'&|]*)")
FLAG = re.compile(r"(?<!\S)(--[a-z][a-z-]*)")


def flags(name: str) -> set[str]:
    """The flags of a task, as a person types them."""
    return {flag for argument in tasks.ns[name].get_arguments() for flag in argument_flags(argument)}


def argument_flags(argument: object) -> Iterator[str]:
    for name in argument.names:  # type: ignore[attr-defined]
        dashed = name.replace("_", "-")
        yield f"--{dashed}"
        if argument.kind is bool and argument.default is True:  # type: ignore[attr-defined]
            yield f"--no-{dashed}"


FLAGS = {name: flags(name) for name in tasks.ns.task_names}


def named() -> Iterator[tuple[str, str, list[str]]]:
    """Every command that is named: where, its name, its flags."""
    files: set[Path] = {path for place in PLACES for path in ROOT.glob(place) if path.is_file()}
    for path in sorted(files):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for found in NAMED.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{path.relative_to(ROOT)}:{line}", found[1], FLAG.findall(found[2])


def test_this_test_finds_commands_and_their_flags():
    found = list(named())
    assert len(found) > 300
    assert ("recover.node", ["--host"]) in [(name, words) for _, name, words in found]
    assert {"--host", "--no-backup"} <= FLAGS["recover.node"]


def test_every_command_that_is_named_exists():
    assert [(where, name) for where, name, _ in named() if name not in FLAGS] == []


def test_every_flag_that_is_named_exists():
    wrong = [(where, name, word) for where, name, words in named() for word in words if word not in FLAGS.get(name, {word})]
    assert wrong == []


def test_no_message_points_to_something_below_that_another_output_does_not_have():
    """A fix is also printed alone, as the last line, and in JSON."""
    source = {path: path.read_text(encoding="utf-8") for path in (ROOT / "runbooks").rglob("*.py")}
    assert [path.name for path, text in source.items() if "(see below)" in text or "(see above)" in text] == []
