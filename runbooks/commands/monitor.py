"""Monitoring on a host: where our files are, what runs, what node_exporter and the proxy answer, and the commands that change it."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from runbooks.commands import files, kubectl
from runbooks.commands.base import Answer, Command, Probe, Secret, cmd, script
from runbooks.commands.files import File
from runbooks.commands.lb_paths import NOTIFY, STATE
from runbooks.commands.packages import PATIENCE_S
from runbooks.inventory.model import Host
from runbooks.inventory.words import literal

UNITS: Final = "/etc/systemd/system"
PROXY_CFG: Final = "/etc/ha-runbooks/metrics-proxy.cfg"
PROXY_UNIT: Final = "ha-runbooks-metrics.service"
RELOADER: Final = "ha-runbooks-metrics-certificate"
CERTS_UNIT: Final = "ha-runbooks-certs"
CERTS_PROGRAM: Final = "/usr/libexec/ha-runbooks/certs-textfile"
LB_TEXTFILE: Final = "/run/ha-runbooks/lb.prom"  # written by lb-hook
LB_PROM: Final = "ha-runbooks-lb.prom"
CERTS_PROM: Final = "ha-runbooks-certs.prom"

PROXY_FILES: Final = (PROXY_CFG, f"{UNITS}/{PROXY_UNIT}", f"{UNITS}/{RELOADER}.path", f"{UNITS}/{RELOADER}.service")
CERTS_FILES: Final = (CERTS_PROGRAM, f"{UNITS}/{CERTS_UNIT}.service", f"{UNITS}/{CERTS_UNIT}.timer")
# Those that are started and enabled; the others are started by them.
PROXY_UNITS: Final = (PROXY_UNIT, f"{RELOADER}.path")
CERTS_UNITS: Final = (f"{CERTS_UNIT}.timer",)
OURS: Final = (*PROXY_UNITS, f"{RELOADER}.service", *CERTS_UNITS, f"{CERTS_UNIT}.service")
# There while files were written and what reads them has not been reloaded yet.
MARK: Final = "/var/lib/ha-runbooks/monitor/unproved"

HAPROXY: Final = "haproxy"  # the package, and its own unit
EXPORTER: Final = "prometheus-node-exporter"  # Debian's package, and its unit
EXPORTER_DIRECTORY: Final = "/var/lib/prometheus/node-exporter"  # of textfiles, in that package
GROUP: Final = "monitoring.coreos.com"  # the Prometheus operator's
NOT_STARTED: Final = 67  # monitor-run.sh
OLD_HOOK: Final = 68  # monitor-run.sh


def node_files(textfiles: str) -> tuple[str, ...]:
    """Return every path of ours that belongs to a node, with what is in the directory ``textfiles``."""
    return (*PROXY_FILES, *CERTS_FILES, f"{textfiles}/{CERTS_PROM}", MARK)


def all_files(textfiles: str) -> tuple[str, ...]:
    """Return every path of ours on any host."""
    return (*node_files(textfiles), f"{textfiles}/{LB_PROM}")


class Unit(NamedTuple):
    """A systemd unit in systemd's words. ``stale``: its file is newer than what systemd has read."""

    active: str
    enabled: str
    stale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is there of monitoring on a host.

    ``manager``: apt-get, dnf, yum or "". ``packages``: HAProxy and node_exporter, as far as they are wholly installed. ``distribution``:
    how HAProxy's own unit is enabled, in systemd's word. ``unproved``: files were written, and what reads them was not reloaded.
    ``directory``: whether the textfile collector's is there. ``link``: where the link for keepalived's state leads, "" for none.
    ``untold``: that state is recorded, and the file for node_exporter is not there. ``hook``: the load balancer's hook can write it.
    """

    manager: str
    packages: dict[str, str]
    units: dict[str, Unit]
    distribution: str
    unproved: bool
    directory: bool
    link: str
    untold: bool
    hook: bool


@dataclass(frozen=True, slots=True)
class Exported:
    """What node_exporter serves on the host's own address: nothing (``answers`` False), or which of our series (without their labels).

    ``textfiles``: the value of node_textfile_scrape_error, "" where it reads no directory. ``listens``: anything listens on its port.
    """

    answers: bool
    textfiles: str = ""
    series: frozenset[str] = frozenset()
    listens: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """The token that reads metrics, and the cluster's CA (PEM)."""

    token: Secret
    ca: str


def look(units: Sequence[str], directory: str) -> Probe[Seen]:
    """Ask what is there of monitoring. ``directory``: the textfile collector's."""
    variables = {
        "UNITS": units,
        "PACKAGES": (HAPROXY, EXPORTER),
        "HAPROXY": HAPROXY,
        "MARK": MARK,
        "DIRECTORY": directory,
        "LINK": f"{directory}/{LB_PROM}",
        "TARGET": LB_TEXTFILE,
        "STATE": STATE,
        "HOOK": NOTIFY,
    }
    return Probe(replace(script("monitor-look", variables, timeout=30, after=("packages-found",)), shown="monitor-look"), parse)


def parse(answer: Answer) -> Seen:
    """Read the lines of monitor-look.sh. Raises ValueError when a line is missing."""
    packages, _, rest = answer.stdout.partition("@@\n")
    lines = [line.split(" ") for line in rest.splitlines()]
    values = {words[0]: " ".join(words[1:]) for words in lines if words[0] != "unit"}
    try:
        return Seen(
            manager=values["manager"],
            packages=dict(line.split(" ", 1) for line in packages.splitlines()),
            units={name: Unit(active, enabled, stale == "yes") for _, name, active, enabled, stale in _units(lines)},
            distribution=values["distribution"],
            unproved=values["unproved"] == "yes",
            directory=values["directory"] == "yes",
            link=values["link"],
            untold=values["untold"] == "yes",
            hook=values["hook"] == "yes",
        )
    except KeyError as error:
        raise ValueError(f"monitor-look printed nothing about {error}") from None


def _units(lines: Iterable[list[str]]) -> Iterable[list[str]]:
    return (words for words in lines if words[0] == "unit")


def install_exporter() -> Command:
    """Install Debian's node_exporter, whose service the package enables and starts."""
    variables = {"PACKAGES": (EXPORTER,), "PATIENCE": str(PATIENCE_S)}
    return script("packages-install", variables, timeout=900, after=("packages",))


def start_exporter() -> Command:
    """Start node_exporter, now and at boot."""
    return cmd("systemctl", "enable", "--now", f"{EXPORTER}.service")


def install_haproxy() -> Command:
    """Install HAProxy, and neither start nor enable its own service, which serves nothing that this host is for."""
    variables = {"PACKAGES": (HAPROXY,), "PATIENCE": str(PATIENCE_S), "QUIET": f"{HAPROXY}.service"}
    return script("packages-install", variables, timeout=900, after=("packages", "packages-quiet"))


def place(wanted: Sequence[File]) -> Command:
    """Write files, with a mark that stays until `run` has reloaded what reads them."""
    variables = {**files.encoded(wanted), "MARK": MARK}
    shown = "files-place " + " ".join(file.path for file in wanted)
    return replace(script("files-place", variables, after=("monitor-mark",)), shown=shown)


def run(units: Sequence[str], once: Sequence[str] = (), link: str = "", site: str = "") -> Command:
    """Enable ``units``, start or reload them, start ``once`` those that run and end, let ``link`` lead to LB_TEXTFILE; then take the mark away.

    With ``link``, the hook of the load balancer writes LB_TEXTFILE for ``site`` first. Exits with NOT_STARTED when a unit does not start or
    reload, with OLD_HOOK when that hook is not there or cannot do that; then the mark stays.
    """
    variables = {"UNITS": units, "ONCE": once, "MARK": MARK}
    variables |= {"LINK": link, "TARGET": LB_TEXTFILE, "HOOK": NOTIFY, "SITE": site, "STATE": STATE}
    return replace(
        script("monitor-run", variables, timeout=400), shown=f"monitor-run {' '.join((*units, *once))} {link}".rstrip()
    )


def remove(paths: Sequence[str]) -> Command:
    """Delete files and links of ours. Units among them are stopped and disabled first."""
    units = [path.removeprefix(f"{UNITS}/") for path in paths if path.startswith(f"{UNITS}/")]
    return replace(script("monitor-remove", {"UNITS": units, "PATHS": paths}, timeout=120), shown=f"rm {' '.join(paths)}")


def left(paths: Sequence[str]) -> Probe[tuple[str, ...]]:
    """Ask which of ``paths`` are there, also as a link that leads nowhere."""
    return Probe(script("monitor-left", {"PATHS": paths}), lambda answer: tuple(answer.stdout.splitlines()))


def exported(host: Host, port: int) -> Probe[Exported]:
    """Ask node_exporter on the host's own address."""
    variables = {"ADDRESS": str(host.address), "PORT": str(port)}
    return Probe(script("exporter-look", variables, timeout=40), parse_exported)


def parse_exported(answer: Answer) -> Exported:
    r"""Read the lines of exporter-look.sh.

    >>> parse_exported(Answer(0, "listens yes\nexporter\ntextfiles 0\nseries ha_runbooks_vrrp_master\n"))
    Exported(answers=True, textfiles='0', series=frozenset({'ha_runbooks_vrrp_master'}), listens=True)
    """
    lines = [line.partition(" ")[::2] for line in answer.stdout.splitlines()]
    found = dict(lines)
    return Exported(
        answers="exporter" in found,
        textfiles=found.get("textfiles", ""),
        series=frozenset(name for key, name in lines if key == "series"),
        listens="listens" in found,
    )


def proxied(host: Host, port: int, jobs: Sequence[tuple[str, bool]], token: Secret) -> Probe[dict[str, str]]:
    """GET the metrics of ``jobs`` (name, whether with the token) from the proxy on the host itself, with the cluster's CA.

    The result is the HTTP status of each, or why there is none.
    """
    variables = {
        "WHERE": f"{literal(host.address)}:{port}",
        "ADDRESS": str(host.address),
        "TOKEN": token,
        "JOBS": [f"{name} {'yes' if asks else 'no'}" for name, asks in jobs],
    }
    command = script("proxy-ask", variables, timeout=60)
    return Probe(replace(command, shown="proxy-ask"), lambda answer: parse_proxied(answer.stdout))


def parse_proxied(text: str) -> dict[str, str]:
    r"""Read lines of ``JOB ANSWER``.

    >>> parse_proxied("etcd 200\nkube-scheduler connect:errno=111\n")
    {'etcd': '200', 'kube-scheduler': 'connect:errno=111'}
    """
    return dict(line.split(" ", 1) for line in text.splitlines())


def account(api_host: Host, namespace: str, name: str) -> Probe[Account | None]:
    """Read the token of the account, and the CA; None while there is none. The answer is in no log."""
    words = ("-n", namespace, "get", "secret", name, "--ignore-not-found", "-o", "json")
    return Probe(kubectl.kubectl(api_host, *words), parse_account)


def parse_account(answer: Answer) -> Account | None:
    """Read a Secret as JSON, or nothing. Raises ValueError on anything else."""
    if not answer.stdout.strip():
        return None
    data: dict[str, Any] = json.loads(answer.stdout).get("data") or {}
    if not {"token", "ca.crt"} <= data.keys():
        return None
    token, ca = (b64decode(data[key]).decode() for key in ("token", "ca.crt"))
    return Account(Secret(token.strip()), ca)


def kinds(api_host: Host, wanted: Iterable[str]) -> Probe[frozenset[str]]:
    """Return which of the Prometheus operator's kinds ``wanted``, such as "prometheusrules", the cluster has definitions of."""
    names = [f"{each}.{GROUP}" for each in wanted]
    command = kubectl.kubectl(api_host, "get", "crd", *names, "--ignore-not-found", "-o", "name")
    return Probe(command, lambda answer: frozenset(re.findall(rf"(?m)/([a-z]+)\.{re.escape(GROUP)}$", answer.stdout)))


def namespace(api_host: Host, name: str) -> Probe[bool]:
    """Return whether the cluster has the namespace."""
    words = ("get", "namespace", name, "--ignore-not-found", "-o", "name")
    return Probe(kubectl.kubectl(api_host, *words), lambda answer: bool(answer.stdout.strip()))


def same(api_host: Host, manifest: str) -> Probe[bool]:
    """Return whether `kubectl apply` of ``manifest`` would change nothing (`kubectl diff`, whose output is thrown away)."""
    return Probe(kubectl.apply(api_host, manifest, "diff").expecting(0, 1), lambda answer: not answer.exited)


def there(api_host: Host, manifest: str) -> Probe[tuple[str, ...]]:
    """Return the objects of ``manifest`` that are there, such as "secret/ha-runbooks-metrics"."""
    return Probe(kubectl.apply(api_host, manifest, "list"), lambda answer: tuple(answer.stdout.split()))
