"""kubeadm's configuration: plain values written as YAML that every parser reads the same way, and read again with their types. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Writes every string in double quotes: without them, YAML 1.1 and 1.2 disagree on values such as 1e3."""

    def ignore_aliases(self, data: object) -> bool:
        """Write repeated values in full instead of as aliases."""
        return True


_Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def documents(*values: Mapping[str, object]) -> str:
    r"""Return one document for each of ``values``: strings, numbers, booleans, None, and lists and mappings of them.

    >>> documents({"kind": "A", "names": ["x"]}, {"on": True})
    '"kind": "A"\n"names":\n- "x"\n---\n"on": true\n'
    """
    return "---\n".join(yaml.dump(dict(value), Dumper=_Dumper, sort_keys=False, width=10_000) for value in values)


def read(text: str) -> list[dict[str, Any]]:
    r"""Return the documents in ``text``, with numbers and booleans as such. Raises ValueError when one is no mapping.

    >>> read("a: 1\n---\nb: true")
    [{'a': 1}, {'b': True}]
    """
    try:
        found = [each for each in yaml.safe_load_all(text) if each is not None]
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    if not all(isinstance(each, dict) for each in found):
        raise ValueError("this is no configuration of kubeadm")
    return found


def one(text: str) -> dict[str, Any]:
    """Return the one document in ``text``. Raises ValueError for none, or several."""
    found = read(text)
    if len(found) != 1:
        raise ValueError(f"there are {len(found)} documents, not one")
    return found[0]
