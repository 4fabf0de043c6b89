"""HAProxy and keepalived on a load balancer: what they do now, and how to change it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from runbooks.commands import files
from runbooks.commands.base import Answer, Command, Probe, script
from runbooks.commands.files import File
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF, LIBRARY
from runbooks.inventory.model import Host, Site

PACKAGES = ("haproxy", "keepalived", "socat")
# The oldest versions that understand our configuration: HAProxy's clitcpka-idle came with 2.3, which nobody maintains any more;
# keepalived's max_auto_priority and track_file (until then vrrp_track_file) with 2.1, and 2.2 is what this was proven with.
OLDEST: Mapping[str, tuple[int, int]] = {"haproxy": (2, 4), "keepalived": (2, 2)}
# SELinux lets HAProxy listen on and connect to a few well-known ports only, 6443 not being one of them.
SELINUX_BOOLEANS = ("haproxy_connect_any",)
REFUSED = 65  # lb-apply.sh: haproxy or keepalived refused its staged file
KEPT_GENERATIONS = 5


@dataclass(frozen=True, slots=True)
class Unit:
    """A systemd unit: its states in systemd's words, and since when it has been active."""

    active: str
    sub: str
    enabled: str
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LbState:
    """What one LB does now. ``stats`` and ``metrics`` are HTTP statuses, "" when nothing answers."""

    haproxy: Unit
    keepalived: Unit
    holds_vip: bool
    nonlocal_bind: bool
    haproxy_down: bool
    drained: bool
    vrrp: str
    vrrp_for_s: int
    haproxy_loaded: str
    keepalived_loaded: str
    api: Literal["open", "refused", "silent"]
    stats: str
    metrics: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One server behind HAProxy: its state in HAProxy's words, since how many seconds, and why."""

    proxy: str
    server: str
    status: str
    since_s: int
    check: str
    sessions: int

    @property
    def up(self) -> bool:
        """Whether HAProxy sends connections to it."""
        return self.status.startswith("UP") or self.status == "no check"


def installed() -> Probe[dict[str, str]]:
    """Which of the packages that an LB needs are wholly installed, and their versions."""
    return Probe(script("packages-found", {"PACKAGES": PACKAGES}), parse_installed)


def parse_installed(answer: Answer) -> dict[str, str]:
    """Read lines of ``name version``."""
    words = (line.partition(" ") for line in answer.stdout.splitlines() if line.strip())
    return {name: version.strip() for name, _, version in words}


def install() -> Command:
    """Install HAProxy, keepalived and socat with the host's own package manager."""
    return script("packages-install", {"PACKAGES": PACKAGES}, timeout=900, after=("apt",))


def state(site: Site, host: Host) -> Probe[LbState]:
    """What ``host`` does now, as seen from the host itself."""
    variables = {
        "VIP": str(site.endpoint.vip),
        "FAMILY": str(site.endpoint.vip.version),
        "API_PORT": str(site.endpoint.port),
        "ADDRESS": str(host.address),
        "STATS_PORT": str(site.load_balancer.stats_port),
        "METRICS_PORT": str(site.load_balancer.metrics_port),
    }
    return Probe(replace(script("lb-look", variables, timeout=20), shown="lb-look"), parse_state)


def parse_state(answer: Answer) -> LbState:
    """Read lines of ``key value``. Raises ValueError when a line is missing."""
    said = dict(line.partition(" ")[::2] for line in answer.stdout.splitlines())
    try:
        vrrp, _, since = said["vrrp_state"].partition(" ")
        return LbState(
            haproxy=_unit(said, "haproxy"),
            keepalived=_unit(said, "keepalived"),
            holds_vip=said["holds"] != "0",
            nonlocal_bind=said["nonlocal_bind"] == "1",
            haproxy_down=said["haproxy_down"] == "1",
            drained=said["drain"] == "1",
            vrrp=vrrp if said["keepalived.ActiveState"] == "active" else "",
            vrrp_for_s=int(said["clock"]) - int(since) if since else 0,
            haproxy_loaded=said["haproxy.cfg.loaded"],
            keepalived_loaded=said["keepalived.conf.loaded"],
            api=_knocked(said["api"]),
            stats=said.get("stats", ""),
            metrics=said.get("metrics", ""),
        )
    except KeyError as error:
        raise ValueError(f"lb-look said nothing about {error}") from None


def backends() -> Probe[tuple[Backend, ...] | None]:
    """Every server behind HAProxy; None when HAProxy does not answer on its socket."""
    return Probe(script("lb-backends").expecting(0, 69), lambda answer: None if answer.exited else parse_backends(answer.stdout))


def parse_backends(text: str) -> tuple[Backend, ...]:
    """Read HAProxy's `show stat` (CSV with a ``#`` before its header). Raises ValueError when it is none."""
    try:
        rows = list(csv.DictReader(text.removeprefix("# ").splitlines()))
        return tuple(_backend(row) for row in rows if row["svname"] not in {"FRONTEND", "BACKEND"})
    except (csv.Error, KeyError) as error:
        raise ValueError(f"this is no table of HAProxy's: {error}") from None


def _backend(row: dict[str, str]) -> Backend:
    return Backend(
        proxy=row["pxname"],
        server=row["svname"],
        status=row["status"] or "",
        since_s=int(row["lastchg"] or 0),
        check=" ".join(filter(None, [row["check_status"], row["check_code"], row.get("last_chk", "")])),
        sessions=int(row["scur"] or 0),
    )


def apply(wanted: Sequence[File]) -> Command:
    """Check the whole configuration on the host, keep the present one, and put the new one in place; 65 when it is refused."""
    variables = {
        **files.encoded(wanted),
        "LIBRARY": LIBRARY,
        "HAPROXY_CFG": HAPROXY_CFG,
        "KEEPALIVED_CONF": KEEPALIVED_CONF,
        "KEEP": str(KEPT_GENERATIONS),
    }
    return replace(
        script("lb-apply", variables, timeout=120), shown="lb-apply (haproxy -c, keepalived -t, keep the old files, rename)"
    )


def previous(wanted: Sequence[File]) -> Probe[str]:
    """Which directory holds the newest kept generation that differs from what is there now; "" when there is none."""
    paths = [file.path for file in wanted]
    return Probe(replace(script("lb-previous", {"PATHS": paths}), shown="lb-previous"), lambda answer: answer.stdout.strip())


def run_service(unit: str) -> Command:
    """Enable a unit, and start it, or reload it when it runs."""
    return script("service-run", {"UNIT": unit}, timeout=120)


def load_sysctl(path: str) -> Command:
    """Make the kernel follow a sysctl file now."""
    return script("sysctl-load", {"FILE": path})


def drain(*, on: bool) -> Command:
    """Let the VIP go to the other LB and keep it there, or end that."""
    return script("lb-drain", {"VALUE": "1" if on else "0"})


def probe_vip(site: Site, seconds: int) -> Probe[tuple[int, int, int]]:
    """Open a connection through the VIP every 20 ms for ``seconds``: tried, failed, longest outage in ms."""
    variables = {"VIP": str(site.endpoint.vip), "PORT": str(site.endpoint.port), "SECONDS_LONG": str(seconds)}
    command = script("vip-probe", variables, timeout=seconds + 30, root=False)
    return Probe(command, lambda answer: _three(answer.stdout))


def _three(text: str) -> tuple[int, int, int]:
    tried, failed, longest = text.split()
    return int(tried), int(failed), int(longest)


def _unit(said: dict[str, str], unit: str) -> Unit:
    return Unit(
        said[f"{unit}.ActiveState"],
        said[f"{unit}.SubState"],
        said.get(f"{unit}.UnitFileState", ""),
        said[f"{unit}.ActiveEnterTimestamp"],
    )


def _knocked(word: str) -> Literal["open", "refused", "silent"]:
    if word == "open":
        return "open"
    return "refused" if word == "refused" else "silent"
