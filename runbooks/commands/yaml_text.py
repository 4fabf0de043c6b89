"""YAML written by other programs or people. Every scalar stays a string. `inventory.source` reads hosts.yaml."""

from __future__ import annotations

from functools import cache
from typing import Any

from runbooks.commands.yaml_scalars import canonical

MOST_DEPTH = 200  # nested lists and dicts; at about ten thousand PyYAML's C parser overflows its stack and the process crashes


def documents(text: str, *, meant: bool = False) -> list[object]:
    r"""Return the documents in ``text``: strings, lists and dicts of them. Raises ValueError when it is not YAML.

    ``meant``: what is written without quotes is the text of its value (`yaml_scalars.canonical`), not as it is spelled.

    >>> documents("a: 1.30\nb: [on, ~]\n---\nc:\n")
    [{'a': '1.30', 'b': ['on', '~']}, {'c': ''}]
    >>> documents("a: 0x32\nb: [on, 'on']", meant=True)
    [{'a': '50', 'b': ['true', 'on']}]
    """
    import yaml  # noqa: PLC0415 - start-up time

    loader = _meaning() if meant else getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    depth = 0
    try:
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MOST_DEPTH:
                raise ValueError(f"nested more than {MOST_DEPTH} times")
        return list(yaml.load_all(text, Loader=loader))
    except (yaml.YAMLError, UnicodeError) as error:
        raise ValueError(" ".join(str(error).split())) from None


@cache
def _meaning() -> Any:
    """Return the class of a loader whose plain scalars are canonical."""
    import yaml  # noqa: PLC0415 - start-up time

    class Meaning(getattr(yaml, "CBaseLoader", yaml.BaseLoader)):  # type: ignore[misc]
        def construct_scalar(self, node: Any) -> Any:
            text = super().construct_scalar(node)
            return text if node.style else canonical(text)

    return Meaning


def mapping(text: str, *, meant: bool = False) -> dict[str, object]:
    """Return the one document in ``text``, which has to be a mapping; {} for no document. ``meant`` as in `documents`. Raises ValueError on anything else."""
    match documents(text, meant=meant):
        case []:
            return {}
        case [dict() as found]:
            return found
    raise ValueError("it is not one mapping")
