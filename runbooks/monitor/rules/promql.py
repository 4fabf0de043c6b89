"""What can be read off a PromQL expression without evaluating it: the series that it needs, and its form without spaces. Pure.

https://prometheus.io/docs/prometheus/latest/querying/basics/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

WORD: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[A-Za-z_:][\w:]*|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?:(?:ms|[smhdwy])\w*)?|\S')
KEYWORDS: Final = frozenset(
    {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right", "inf", "nan"}
)
LISTS: Final = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})  # a list of labels follows in brackets


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """A metric that an expression reads, and the jobs that it is read from; () when it does not say."""

    metric: str
    jobs: tuple[str, ...] = ()


def series(expr: str) -> frozenset[Series]:
    """Return every metric that ``expr`` reads, each with its jobs.

    >>> sorted(series('sum by (job) (rate(a_total{job="x",code=~"5.."}[5m])) / on (job) b{job=~"x|y"} > 1'))
    [Series(metric='a_total', jobs=('x',)), Series(metric='b', jobs=('x', 'y'))]
    """
    return frozenset(_series(WORD.findall(expr)))


def _series(tokens: list[str]) -> Iterator[Series]:
    at = 0
    while at < len(tokens):
        word, following = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
        at += 1
        if word in LISTS and following == "(":
            at = tokens.index(")", at) + 1
        elif word == "{":  # without a name in front: it says nothing of a single metric
            at = tokens.index("}", at) + 1
        elif re.match(r"[A-Za-z_:]", word) and word not in KEYWORDS and following not in {"(", "by", "without"}:
            jobs: tuple[str, ...] = ()
            if following == "{":
                end = tokens.index("}", at)
                jobs = _jobs(tokens[at + 1 : end])
                at = end + 1
            yield Series(word, jobs)


def _jobs(matchers: list[str]) -> tuple[str, ...]:
    if "job" not in matchers:
        return ()
    value = next(each for each in matchers[matchers.index("job") :] if each.startswith('"'))
    return tuple(value.strip('"').split("|"))


def normal(expr: str) -> str:
    r"""Return ``expr`` without what Prometheus writes in another way when it is asked for its rules: spaces, numbers, the order of matchers.

    >>> normal('sum by(job) (a{x="1",b!="2"}) > 1e+06') == normal('sum by (job)(a{b!="2", x="1"})\n > 1000000')
    True
    """
    found, matchers = [], None
    for word in map(_number, WORD.findall(expr)):
        if word == "{":
            matchers = [""]
        elif matchers is None:
            found.append(word)
        elif word == "}":
            found.append("{" + ",".join(sorted(matchers)) + "}")
            matchers = None
        elif word == ",":
            matchers.append("")
        else:
            matchers[-1] += word
    return " ".join([*found, *(matchers or ())])


def _number(word: str) -> str:
    try:
        return repr(float(word)) if word[0].isdigit() or word[0] == "." else word
    except ValueError:
        return word  # a duration, or the range [5m]
