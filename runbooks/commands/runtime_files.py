"""The files of the container runtime that this tool writes on a node, wherever it has written them; and the proxies with which services run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from runbooks.commands.base import Answer, Command, Probe, cmd, script
from runbooks.commands.files import Found, parse_found

CERTS: Final = "/etc/containerd/certs.d"
CA: Final = "ha-runbooks-ca.crt"
PARTS: Final = "/etc/containerd/ha-runbooks"
PROXIED: Final = ("containerd", "kubelet")
PROXY_PART: Final = "ha-runbooks-proxy.conf"


def look(paths: Iterable[str]) -> Probe[dict[str, Found]]:
    """Return the probe for those of ``paths`` that exist, and for every file of the runtime that this tool has written before."""
    variables = {"PATHS": list(paths), "TOP": "", "CERTS": CERTS, "CA": CA, "PARTS": PARTS, "PART": PROXY_PART, "UNITS": PROXIED}
    return Probe(
        replace(script("files-found", variables, after=("runtime-files",)), shown="files-found, of the runtime"), parse_found
    )


def remove(paths: Sequence[str]) -> Command:
    """Remove files that hosts.yaml does not ask for any more."""
    return cmd("rm", "-f", "--", *paths)


def environment() -> Probe[dict[str, dict[str, str]]]:
    """Read the proxies with which containerd and the kubelet run, by service and variable; a service that does not run is left out."""
    command = replace(script("service-proxy", {"UNITS": PROXIED}), shown="the proxies of containerd and the kubelet")
    return Probe(command, parse_environment)


def parse_environment(answer: Answer) -> dict[str, dict[str, str]]:
    r"""Parse what service-proxy.sh prints. Raises ValueError for anything else.

    >>> parse_environment(Answer(0, "unit containerd\nset HTTP_PROXY=http://a:1\nunit kubelet\n"))
    {'containerd': {'HTTP_PROXY': 'http://a:1'}, 'kubelet': {}}
    """
    found: dict[str, dict[str, str]] = {}
    for line in answer.stdout.splitlines():
        kind, _, text = line.partition(" ")
        if kind == "unit":
            found[text] = {}
        elif kind == "set" and found:
            name, _, given = text.partition("=")
            found[list(found)[-1]][name] = given
        else:
            raise ValueError(f"service-proxy said {line!r}")
    return found
