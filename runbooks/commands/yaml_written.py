"""YAML for people to read. `commands.yaml_text` reads YAML; `rules.kubeadm_documents` writes what only programs read."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

ODD_BREAKS: Final = re.compile("[\x85\u2028\u2029]")  # line breaks for PyYAML, but not for every reader of YAML
BLOCK: Final = re.compile(r"[ -~\n\u00a0-\u2027\u2030-\ud7ff]*")
# Text without quotes in every version of YAML. kubectl's reader takes y for a boolean and 1e3 for a number.
PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*(:[A-Za-z0-9_./-]+)*")
WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})


class _Dumper(yaml.SafeDumper):
    """Quotes text that a reader of YAML might take for another type; writes text of several lines as a block. No anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write repeated values in full instead of as aliases."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style: str | None = None
    if ODD_BREAKS.search(text):
        style = '"'
    elif "\n" in text and BLOCK.fullmatch(text):
        style = "|"
    elif not PLAIN.fullmatch(text) or text.lower() in WORDS:
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def written(value: object) -> str:
    r"""Return ``value`` as one YAML document, without a line `---`: strings, numbers, booleans, None, lists and mappings of them.

    >>> written({"kind": "A", "on": "yes", "expr": "a\n> 1\n"})
    'kind: A\n"on": "yes"\nexpr: |\n  a\n  > 1\n'
    """
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 20))
