"""The operator's own sections in haproxy.cfg (`load_balancer.haproxy_files`): how they stand there, between two lines each.

They are part of haproxy.cfg and no files of their own: the process that a reload starts has the `-f` of the one before it, so a further
file would need a restart, which ends every connection (https://docs.haproxy.org/2.6/management.html#3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import PurePath
from typing import Final

_BLOCK: Final = re.compile(
    r"(?ms)^# ---- (?P<name>\S+) of load_balancer\.haproxy_files \((?P<sha>[0-9a-f]+)\)\n(?P<text>.*?)^# ---- end of (?P=name)\n"
)


def appended(files: Mapping[str, str]) -> str:
    """Return the end of haproxy.cfg: the ``files``, each between two lines that name it and the digest of its text."""
    found = []
    for path, text in files.items():
        name, whole = PurePath(path).name, text if text.endswith("\n") or not text else f"{text}\n"
        found.append(f"\n# ---- {name} of load_balancer.haproxy_files ({_sha(whole)})\n{whole}# ---- end of {name}\n")
    return "".join(found)


def without(haproxy_cfg: str) -> str:
    r"""Return a haproxy.cfg without what `appended` put there; a part that somebody has changed since stays.

    >>> both = "a\n" + appended({"/x/b.cfg": "listen b\n"})
    >>> without(both), without(both.replace("listen b", "listen c")).count("listen c")
    ('a\n\n', 1)
    """
    return _BLOCK.sub(lambda found: "" if found["sha"] == _sha(found["text"]) else found[0], haproxy_cfg)


def of_the_operator(haproxy_cfg: str) -> str:
    """Return the operator's own sections of a haproxy.cfg."""
    return "".join(found["text"] for found in _BLOCK.finditer(haproxy_cfg))


def with_origins(said: str, haproxy_cfg: str, path: str) -> str:
    r"""Return what HAProxy ``said`` of the file at ``path``, with the line of the operator's own file where it speaks of one.

    >>> with_origins("[/h.cfg:3] bad", appended({"b.cfg": "listen b\\n"}), "/h.cfg")
    '[/h.cfg:3, b.cfg:1] bad'
    """

    def origin(found: re.Match[str]) -> str:
        number = int(found[1])
        for block in _BLOCK.finditer(haproxy_cfg):
            first = haproxy_cfg.count("\n", 0, block.start("text")) + 1
            if first <= number < first + block["text"].count("\n"):
                return f"{path}:{number}, {block['name']}:{number - first + 1}"
        return found[0]

    return re.sub(rf"{re.escape(path)}:(\d+)", origin, said)


def _sha(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]
