"""Which values of manifests and configuration files may be secrets: told by a short checksum, so that a change of them is seen. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256

# "authorization" is a header; kubernetes' flags --authorization-mode and the like hold no secret.
WORDS = re.compile(r"token|passw|secret|key-?_?data|authorization(?!-)|bearer|credential", re.IGNORECASE)
WITH_VALUE = re.compile(rf"(?:{WORDS.pattern})[\w-]*[\"']?[:=\s]\s*(?!(?:true|false)\b)\S", re.IGNORECASE)
# Environment and headers of HTTP probes and of the kubelet's staticPodURL, wherever they are; and a copy of a whole manifest that kubectl makes.
PLACES = re.compile(r"(?:^|\.)(?:env|httpHeaders|staticPodURLHeader)(?:[\[.]|$)|last-applied-configuration$")
IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def hidden(path: str, value: object) -> str:
    """Return the value at ``path`` (keys joined by dots, items as [name]), its checksum where it may be a secret.

    >>> hidden("env[A].value", "x"), hidden("env[A].valueFrom.secretKeyRef.name", "x"), hidden("spec.hostNetwork", "true")
    ('sha256 2d711642', 'x', 'true')
    """
    text, last = str(value), path.rpartition("]")[2]
    if PLACES.search(path) and last != ".name" and not last.startswith(".valueFrom."):
        return _checksum(text)
    return IN_URL.sub(_of_match, text)


def arguments(values: object) -> Iterator[str]:
    """Give the words of a command, without the values of flags whose name speaks of a secret; the name of a file is none.

    >>> list(arguments(["a", "--token=x", "--token", "x", "--token-auth-file=/f", "echo secret x"]))
    ['a', '--token=sha256 2d711642', '--token', 'sha256 2d711642', '--token-auth-file=/f', 'sha256 22240d95']
    """
    follows = False
    for each in values if isinstance(values, list) else [values]:
        text = str(each)
        if follows and not text.startswith("--"):
            yield _value(text)
            follows = False
            continue
        follows = False
        name, equals, value = text.partition("=")
        if not WORDS.search(text):
            yield IN_URL.sub(_of_match, text)
        elif not re.fullmatch(r"--?[\w.-]+", name):
            yield _checksum(text) if re.search(r"[\s=:]", text) else text  # a script, or an assignment
        elif equals and (WORDS.search(name) or WITH_VALUE.search(value)):
            yield f"{name}={_value(value, file=name.endswith('-file'))}"
        else:
            yield IN_URL.sub(_of_match, text)
            follows = not equals


def _value(text: str, *, file: bool = False) -> str:
    plain = text in {"", "true", "false"} or (file and text.startswith("/"))
    return text if plain else _checksum(text)


def _of_match(found: re.Match[str]) -> str:
    return _checksum(found[0])


def _checksum(text: str) -> str:
    return f"sha256 {sha256(text.encode()).hexdigest()[:8]}"
