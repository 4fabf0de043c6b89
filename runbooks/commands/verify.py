"""What the hosts and API servers of a cluster report about themselves; `commands.objects` reads the cluster's objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from runbooks.commands import certs
from runbooks.commands.base import Answer, Probe, script
from runbooks.commands.certs import Certificate
from runbooks.commands.kubectl import as_clients, url
from runbooks.inventory.checks_ports import API_PORT
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import literal

FAILED_CHECK = re.compile(r"\[-\](\S+) failed")
SYSTEM_CONFIGMAPS = "/api/v1/namespaces/kube-system/configmaps"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What one host reports about itself.

    clock   seconds since 1970.
    sums    SHA-256 of the files that all control plane hosts share, by path.
    served  the certificate that the host's API server presents, or None.
    """

    clock: int
    joined: bool
    units: dict[str, str]
    manifests: frozenset[str]
    sums: dict[str, str]
    openssl: bool
    certificates: tuple[Certificate, ...]
    served: Certificate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The answer of the API server at ``server`` to ``/what?verbose``: passed and failed checks, or the error."""

    server: str
    what: str
    passed: int
    failed: tuple[str, ...]
    error: str

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not (self.failed or self.error)


@dataclass(frozen=True, slots=True)
class Written:
    """How long each part of a write through the VIP took, in ms, and the error, or ""."""

    took: dict[str, int]
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """The state of one host for `cluster.status`.

    api      "ok", what is wrong, or "" on a host without an API server.
    running  the static pods whose containers run; None when they were not read.
    """

    units: dict[str, str]
    joined: bool
    manifests: frozenset[str]
    api: str
    running: frozenset[str] | None


# ---- one host


def host_facts(host: Host) -> Probe[HostFacts]:
    """Read what ``host`` knows from its own files and programs."""
    api = f"{literal(host.address)}:{API_PORT}" if host.is_control_plane else ""
    return Probe(replace(script("verify-host", {"API": api}, timeout=30, after=("certs-find",)), shown="verify-host"), parse_host)


def parse_host(answer: Answer) -> HostFacts:
    """Parse lines of ``key value``. Raises ValueError when the clock is missing."""
    said = _Lines(answer.stdout)
    certificates = tuple(each for text in said.all("certificate") if (each := certs.certificate(text)))
    return HostFacts(
        clock=int(said.one("clock")),
        joined="yes" in said.all("joined"),
        units=dict(_pair(text) for text in said.all("unit")),
        manifests=frozenset(said.all("manifest")),
        sums={path: digest for digest, path in map(_pair, said.all("sum"))},
        openssl="yes" in said.all("openssl"),
        certificates=tuple(each for each in certificates if each.path != "served"),
        served=next((each for each in certificates if each.path == "served"), None),
    )


def host_status(host: Host) -> Probe[HostStatus]:
    """Read the state of ``host`` quickly."""
    server = url(host.address) if host.is_control_plane else ""
    return Probe(
        replace(script("verify-quick", {"SERVER": server}, timeout=30, after=("api-ask",)), shown="verify-quick"), parse_status
    )


def parse_status(answer: Answer) -> HostStatus:
    """Parse lines of ``key value``."""
    said = _Lines(answer.stdout)
    return HostStatus(
        units=dict(_pair(text) for text in said.all("unit")),
        joined="yes" in said.all("joined"),
        manifests=frozenset(said.all("manifest")),
        api=_readiness(next(iter(said.all("api")), "")),
        running=frozenset(said.all("running")) if said.all("containers") else None,
    )


def _readiness(text: str) -> str:
    """Return "ok", "", or the failed checks: the answer of a server that is not ready lists all of them."""
    failed = FAILED_CHECK.findall(text)
    return f"not ready: {', '.join(failed)}" if failed else brief(text)


# ---- API servers


def health(servers: Iterable[str]) -> Probe[tuple[Health, ...]]:
    """Read /readyz of the API servers at these URLs from one control plane host, and /livez of one of which a check failed."""
    return Probe(
        replace(script("verify-api", {"SERVERS": servers}, timeout=30, after=("api-ask",)), shown="verify-api"), parse_health
    )


def parse_health(answer: Answer) -> tuple[Health, ...]:
    r"""Parse lines of ``SERVER livez|readyz EXIT ANSWER``; kubectl, where it is asked, puts the checks of a failing server into its error.

    >>> parse_health(Answer(0, "https://a readyz 1 Error: ([+]ping ok\\n[-]etcd failed: reason withheld\\n) prevented it\n"))[0].failed
    ('etcd',)
    """
    found = []
    for line in answer.stdout.splitlines():
        server, what, status, *text = line.split(" ", 3)
        server = server.partition("#")[0]
        said = text[0] if text else ""
        failed = tuple(FAILED_CHECK.findall(said))
        error = "" if status == "0" or failed else brief(said) or "it gave no answer"
        found.append(Health(server=server, what=what, passed=len(re.findall(r"\[\+\]\S+ ok", said)), failed=failed, error=error))
    return tuple(sorted(found, key=lambda each: (each.server, each.what)))


# ---- a write


def write(site: Site, name: str) -> Probe[Written]:
    """Create, read and delete a ConfigMap called ``name`` in kube-system through the VIP."""
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "ha-runbooks"}},
        "data": {"written": name},
    }
    variables = {
        "SERVER": as_clients(site),
        "COLLECTION": SYSTEM_CONFIGMAPS,
        "NAME": name,
        "MANIFEST": json.dumps(manifest, separators=(",", ":")),
        "WORD": f'"written":"{name}"',
    }
    return Probe(
        replace(script("verify-write", variables, timeout=30, after=("api-ask",)), shown=f"verify-write NAME={name}"),
        parse_written,
    )


def parse_written(answer: Answer) -> Written:
    """Parse lines of ``created|read|deleted MILLISECONDS``, or ``failed VERB ERROR``."""
    said = _Lines(answer.stdout)
    took = {key: int(said.one(key)) for key in ("created", "read", "deleted") if said.all(key)}
    failed = next((brief(text) for text in said.all("failed")), "")
    return Written(took, failed or ("" if len(took) == 3 else "it was not finished"))


# ---- reading


class _Lines:
    """Lines of ``key value``, by key and in order."""

    def __init__(self, text: str) -> None:
        self._pairs = [_pair(line) for line in text.splitlines() if line.strip()]

    def all(self, key: str) -> list[str]:
        return [value for name, value in self._pairs if name == key]

    def one(self, key: str) -> str:
        found = self.all(key)
        if not found:
            raise ValueError(f"it said nothing about {key}")
        return found[0]


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition(" ")
    return key, value.strip()


def brief(text: str) -> str:
    """Return the error of kubectl or curl in one line of at most 160 characters, without the parts that are always the same."""
    line = " ".join(text.split())
    line = re.sub(r"^(error: |Error from server \(\w+\): |Unable to connect to the server: )", "", line)
    line = re.sub(r" - did you specify the right host or port\?$", "", line)
    return line if len(line) <= 160 else f"{line[:157]}..."
