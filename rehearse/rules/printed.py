r"""The objects of a set as `kubectl get -o jsonpath` would print them, so that the parsers of kubectl's answers can read a set. Pure.

Knows the parts of jsonpath that `runbooks.commands.drain_look` uses: names, ``[*]``, ``[?(@.name=="value")]``, ``{range}`` to ``{end}`` and
texts. https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

PART: Final = re.compile(r"\{(?:range (?P<range>[^{}]+)|(?P<end>end)|\"(?P<text>[^\"]*)\"|(?P<path>[.][^{}]*))\}")
STEP: Final = re.compile(r"\.((?:[^.\[\]\\]|\\.)+)|(\[\*\])|\[\?\(@\.(\w+)==\"([^\"]*)\"\)\]")


def lines(fields: Mapping[str, str], objects: Iterable[Mapping[str, Any]]) -> str:
    r"""Return one line for each object: the values of ``fields`` (jsonpath by name), with a tab between them.

    >>> lines({"name": "{.metadata.name}", "labels": "{.metadata.labels}"}, [{"metadata": {"name": "a", "labels": {"b": "c"}}}])
    'a\t{"b":"c"}\n'
    """
    return "".join("\t".join(printed(each, path) for path in fields.values()) + "\n" for each in objects)


def printed(found: Any, template: str) -> str:
    r"""Return what ``template`` prints of one object. Raises ValueError for a template with other parts.

    >>> printed({"a": [{"b": 1, "c": True}, {"b": 2}]}, "{.a[*].b}"), printed({"a": [{"b": 1}]}, '{range .a[*]}{"x"}{.b}{end}{.z}')
    ('1 2', 'x1')
    """
    text, at, said = template, 0, []
    while at < len(text):
        match = PART.match(text, at)
        if not match:
            raise ValueError(f"this template is not understood: {text[at:]}")
        at = match.end()
        if match["range"]:
            end = text.index("{end}", at)
            said += [printed(each, text[at:end]) for each in values(found, match["range"])]
            at = end + len("{end}")
        elif match["text"] is not None:
            said.append(match["text"].encode().decode("unicode_escape"))
        elif match["path"]:
            said.append(" ".join(map(shown, values(found, match["path"]))))
    return "".join(said)


def values(found: Any, path: str) -> Iterator[Any]:
    """Yield the values at ``path``. Raises ValueError for a path with other parts."""
    match = STEP.match(path)
    if not path or not match:
        if path:
            raise ValueError(f"this path is not understood: {path}")
        yield found
        return
    name, every, key, wanted = match.groups()
    if name:
        name = name.replace("\\", "")
        below = [found[name]] if isinstance(found, Mapping) and found.get(name) is not None else []
    else:
        items = found if isinstance(found, list) else []
        below = items if every else [each for each in items if each.get(key) == wanted]
    for each in below:
        yield from values(each, path[match.end() :])


def shown(value: Any) -> str:
    """Return one value as kubectl prints it: maps and lists as JSON.

    >>> shown(True), shown(3), shown("x"), shown({"a": [1]})
    ('true', '3', 'x', '{"a":[1]}')
    """
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
