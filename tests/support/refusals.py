"""What real components refused: recorded answers of tests/recorded/*/*-refused-*.json, read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from runbooks.commands.base import Answer

# How each program says that it does not take something.
REFUSED = re.compile(
    r"unknown flag: --(?!end-of-known-flags)|flag provided but not defined|is not a valid feature name|old API spec|no kind \"|no kind \\\""
    r"|has not been registered|plugin \\?\"\w+\\?\" is unknown|built-in cloud providers are disabled|must be iptables"
)


def asked(answer: Answer) -> Iterator[tuple[str, str]]:
    """Yield what a program was asked, and its answer: lines "@ QUESTION", each before its answer."""
    for question, said in pairwise(answer.stdout.splitlines()):
        if question.startswith("@ "):
            yield question.removeprefix("@ "), said


def of_answers(answer: Answer) -> dict[str, list[str]]:
    """Return the questions that were answered with a refusal, and the others."""
    pairs = list(asked(answer))
    refused = [question for question, said in pairs if REFUSED.search(said)]
    return {"refused": refused, "taken": [question for question, _ in pairs if question not in refused]}


def of_gates(answer: Answer) -> dict[str, object]:
    """Return the gates that all components do not recognise, those of which that is true in some only, and the locked ones with the value."""
    unknown = {}
    locked = {}
    for line in answer.stdout.splitlines():
        if found := re.match(r"unrecognized feature gate in ([\w-]+): (.*)", line):
            unknown[found[1]] = set(found[2].split())
        elif found := re.match(r"cannot set feature gate (\w+) to \w+, feature is locked to (\w+)", line):
            locked[found[1]] = found[2]
    everywhere = set.intersection(*unknown.values())
    return {
        "components": sorted(unknown),
        "unknown": everywhere,
        "unknown_in_some": {name: gates - everywhere for name, gates in unknown.items() if gates - everywhere},
        "locked": locked,
    }
