"""YAML written by other programs or people. Every scalar stays a string. `inventory.source` reads hosts.yaml."""

from __future__ import annotations

MOST_DEPTH = 200  # nested lists and dicts; at about ten thousand PyYAML's C parser overflows its stack and the process crashes


def documents(text: str) -> list[object]:
    r"""Return the documents in ``text``: strings, lists and dicts of them. Raises ValueError when it is not YAML.

    >>> documents("a: 1.30\nb: [on, ~]\n---\nc:\n")
    [{'a': '1.30', 'b': ['on', '~']}, {'c': ''}]
    """
    import yaml  # noqa: PLC0415 - start-up time

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    depth = 0
    try:
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MOST_DEPTH:
                raise ValueError(f"nested more than {MOST_DEPTH} times")
        return list(yaml.load_all(text, Loader=loader))
    except (yaml.YAMLError, UnicodeError) as error:
        raise ValueError(" ".join(str(error).split())) from None


def mapping(text: str) -> dict[str, object]:
    """Return the one document in ``text``, which has to be a mapping; {} for no document. Raises ValueError on anything else."""
    match documents(text):
        case []:
            return {}
        case [dict() as found]:
            return found
    raise ValueError("it is not one mapping")
