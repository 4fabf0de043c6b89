"""The kubelet's own file with variables (/etc/default/kubelet), with flags that come from hosts.yaml. Pure.

What else stands there is somebody else's, and stays. A comment says which flags came from hosts.yaml, so that one that is deleted there goes.
https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/kubelet-integration/#the-kubelet-drop-in-file-for-systemd
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from runbooks.commands.kubelet_line import names_variables, spans

NAME: Final = "KUBELET_EXTRA_ARGS"
PATHS: Final = ("/etc/default/kubelet", "/etc/sysconfig/kubelet")  # of deb and rpm packages
RECORD: Final = "# ha-runbooks: these flags come from hosts.yaml:"


def path_of(unit: str) -> str:
    """Return the file that the kubelet's ``unit`` (as `systemctl cat` prints it) takes flags from, "" when it takes them from none."""
    return next((path for path in PATHS if names_variables(unit, path)), "")


def ours(text: str) -> tuple[str, ...]:
    r"""Return the flags, without dashes, that came from hosts.yaml.

    >>> ours("# ha-runbooks: these flags come from hosts.yaml: --max-pods\nKUBELET_EXTRA_ARGS=--max-pods=5")
    ('max-pods',)
    """
    found = re.findall(rf"(?m)^{re.escape(RECORD)}(.*)$", text)
    return tuple(word.removeprefix("--") for line in found for word in line.split())


def values(text: str) -> dict[str, str]:
    """Return the flags that came from hosts.yaml, with the values that they have now; without one that somebody has taken out."""
    there = _value(text)
    found = ((flag, re.search(rf"(?:^|\s)--{re.escape(flag)}[= ](\S+)", there)) for flag in ours(text))
    return {flag: match[1] for flag, match in found if match}


def with_flags(text: str, flags: Mapping[str, str]) -> str:
    """Return ``text`` with ``flags``, and without those that came from hosts.yaml before. Nothing is touched where nothing changes."""
    before = ours(text)
    if {*before} == {*flags} and values(text) == dict(flags):
        return text
    words = _value(text)
    for flag in {*before, *flags}:
        words = re.sub(rf"(^|\s)--{re.escape(flag)}(=\S*|\s+[^-\s]\S*)?(?=\s|\Z)", r"\1", words)
    value = " ".join([*([words.strip()] if words.strip() else []), *(f"--{flag}={each}" for flag, each in flags.items())])
    quoted = re.sub(r'(["\\$`])', r"\\\1", value)
    line = f'{NAME}="{quoted}"\n' if value else f"{NAME}=\n"
    if flags:
        line = f"{RECORD} {' '.join(f'--{flag}' for flag in flags)}\n{line}"
    rest = re.sub(rf"(?m)^{re.escape(RECORD)}.*\n?", "", text)
    at = [(start, end) for name, _, start, end in spans(rest) if name == NAME]
    start, end = at[-1] if at else (len(rest), len(rest))
    head = rest[:start]
    return f"{head}{'' if not head or head.endswith(chr(10)) else chr(10)}{line}{rest[end:]}"


def _value(text: str) -> str:
    """Return the value that holds: the last one."""
    return next((value for name, value, _, _ in reversed(list(spans(text))) if name == NAME), "")
