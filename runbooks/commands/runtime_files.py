"""The files of the container runtime that this tool writes on a node, wherever it has written them; and the proxies with which services run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from runbooks.commands.base import Answer, Command, Probe, cmd, script
from runbooks.commands.files import File, Found, parse_found

CERTS: Final = "/etc/containerd/certs.d"
CA: Final = "ha-runbooks-ca.crt"
PARTS: Final = "/etc/containerd/ha-runbooks"
PROXIED: Final = ("containerd", "kubelet")
# By its name it comes after other drop-ins, such as http-proxy.conf and override.conf: the last one wins.
PROXY_PART: Final = "zz-ha-runbooks-proxy.conf"


@dataclass(frozen=True, slots=True)
class Proxied:
    """The proxies of a service that runs. ``given``: its variables; ``files``: what sets one in its unit besides our drop-in."""

    given: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: tuple[str, ...] = ()


def look(paths: Iterable[str]) -> Probe[dict[str, Found]]:
    """Return the probe for those of ``paths`` that exist, and for every file of the runtime that this tool has written before."""
    variables = {"PATHS": list(paths), "TOP": "", "CERTS": CERTS, "CA": CA, "PARTS": PARTS, "PART": PROXY_PART, "UNITS": PROXIED}
    return Probe(
        replace(script("files-found", variables, after=("runtime-files",)), shown="files-found, of the runtime"), parse_found
    )


def remove(paths: Sequence[str]) -> Command:
    """Remove files that hosts.yaml does not ask for any more."""
    return cmd("rm", "-f", "--", *paths)


def set_modes(wanted: Sequence[File]) -> Command:
    """Set mode and owner of files whose contents are right. Their times stay: nothing has to read them again."""
    paths = [file.path for file in wanted]
    variables = {"PATHS": paths, "MODES": [file.mode for file in wanted], "OWNERS": [file.owner for file in wanted]}
    return replace(script("files-mode", variables), shown=" ".join(["files-mode", *paths]))


def environment() -> Probe[dict[str, Proxied]]:
    """Read the proxies with which containerd and the kubelet run, by service; a service that does not run is left out."""
    command = script("service-proxy", {"UNITS": PROXIED, "PART": PROXY_PART})
    return Probe(replace(command, shown="the proxies of containerd and the kubelet"), parse_environment)


def parse_environment(answer: Answer) -> dict[str, Proxied]:
    r"""Parse what service-proxy.sh prints. Raises ValueError for anything else.

    >>> parse_environment(Answer(0, "unit containerd\nset HTTP_PROXY=http://a:1\nfile /x.conf\nunit kubelet\n"))["containerd"].files
    ('/x.conf',)
    """
    found: dict[str, Proxied] = {}
    for line in answer.stdout.splitlines():
        kind, _, text = line.partition(" ")
        unit = next(reversed(found), "")
        if kind == "unit":
            found[text] = Proxied()
        elif kind == "set" and unit:
            name, _, given = text.partition("=")
            found[unit] = replace(found[unit], given={**found[unit].given, name: given})
        elif kind == "file" and unit:
            found[unit] = replace(found[unit], files=(*found[unit].files, text))
        else:
            raise ValueError(f"service-proxy said {line!r}")
    return found
