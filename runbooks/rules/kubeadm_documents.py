"""Plain values -> YAML documents that every YAML reader takes for the same values."""

from __future__ import annotations

from collections.abc import Mapping

import yaml


class _Dumper(yaml.SafeDumper):
    """Every text in double quotes: what one reader takes for text may be a number to another (1e3 in YAML 1.1 and 1.2)."""

    def ignore_aliases(self, data: object) -> bool:
        """Write everything out."""
        return True


_Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def documents(*values: Mapping[str, object]) -> str:
    r"""Return one document for each of ``values``: text, numbers, true and false, None, and lists and groups of them.

    >>> documents({"kind": "A", "names": ["x"]}, {"on": True})
    '"kind": "A"\n"names":\n- "x"\n---\n"on": true\n'
    """
    return "---\n".join(yaml.dump(dict(value), Dumper=_Dumper, sort_keys=False, width=10_000) for value in values)
