"""Plain values written as YAML documents that every YAML parser reads the same way. Pure."""

from __future__ import annotations

from collections.abc import Mapping

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
