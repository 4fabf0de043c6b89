"""Templates for `kubectl get -o jsonpath` that print one line for each object, and the reading of such a line.

https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def template(fields: Mapping[str, str]) -> str:
    r"""Return the template that prints the values of ``fields`` (jsonpath by name) of every object, with a tab between them.

    >>> template({"name": "{.metadata.name}", "labels": "{.metadata.labels}"})
    '{range .items[*]}{.metadata.name}{"\\t"}{.metadata.labels}{"\\n"}{end}'
    """
    return "{range .items[*]}" + '{"\\t"}'.join(fields.values()) + '{"\\n"}{end}'


class Line:
    r"""One object: the values by the names of ``fields``. A value is "" where the object has no such field.

    >>> line = Line({"name": "{.metadata.name}", "labels": "{.metadata.labels}"}, 'a\t{"app":"x"}')
    >>> line["name"], line.json("labels"), Line({"n": "{.n}"}, "").number("n")
    ('a', {'app': 'x'}, 0)
    """

    def __init__(self, fields: Mapping[str, str], text: str) -> None:
        values = text.split("\t")
        if len(values) != len(fields):
            raise ValueError(f"kubectl printed {len(values)} of {len(fields)} fields")
        self._values = dict(zip(fields, values, strict=True))

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def number(self, name: str) -> int:
        """Return a whole number, 0 where there is none. Raises ValueError for anything else."""
        return int(self[name] or 0)

    def json(self, name: str) -> Any:
        """Return a map or a list, None where there is none. Raises ValueError for anything else."""
        return json.loads(self[name]) if self[name] else None

    def several(self, name: str) -> list[Any]:
        """Return the values that `[*]` has printed: JSON, separated by blanks. Raises ValueError for anything else."""
        return several(self[name])


def several(text: str) -> list[Any]:
    """Return all JSON values of ``text``, which are separated by blanks.

    >>> several('{"cpu":"1"} {} []')
    [{'cpu': '1'}, {}, []]
    """
    found, at, reader = [], 0, json.JSONDecoder()
    while at < len(text):
        value, at = reader.raw_decode(text, at)
        found.append(value)
        at += 1
    return found
