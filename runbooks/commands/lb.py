"""HAProxy and keepalived on a load balancer: their state now, and the commands that change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from runbooks.commands import files
from runbooks.commands.base import Answer, Command, Probe, cmd, script
from runbooks.commands.files import File
from runbooks.commands.lb_paths import HAPROXY_CFG, KEEPALIVED_CONF, LIBRARY, MARK, OURS, TAKEN_OUT
from runbooks.commands.packages import PATIENCE_S
from runbooks.inventory.model import Host, Site

PACKAGES = ("haproxy", "keepalived", "socat")
# The oldest versions that support our configuration. HAProxy's clitcpka-idle came with 2.3, which is out of maintenance.
# keepalived's max_auto_priority and track_file (formerly vrrp_track_file) came with 2.1; 2.2 is the one that was tested.
OLDEST: Mapping[str, tuple[int, int]] = {"haproxy": (2, 4), "keepalived": (2, 2)}
# By default SELinux allows HAProxy only a few well-known ports; 6443 is not one of them.
SELINUX_BOOLEANS = ("haproxy_connect_any",)
REFUSED = 65  # lb-apply.sh: haproxy or keepalived refused its staged file
NOT_ENABLED = 67  # lb-apply.sh: systemd refuses to enable a service
NOT_LOADED = 66  # lb-run.sh: the service could not load its file
KEPT_GENERATIONS = 5


@dataclass(frozen=True, slots=True)
class Unit:
    """A systemd unit: its states in systemd's words, and the time since which it has been active."""

    active: str
    sub: str
    enabled: str
    since: str


@dataclass(frozen=True, slots=True)
class OtherVip:
    """A VIP beside the one of the API on one LB: whether it is there, and keepalived's state as in `LbState`."""

    name: str
    holds: bool
    vrrp: str
    vrrp_for_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LbState:
    """The state of one LB.

    ``haproxy_down`` and ``drained`` are the flags that keepalived tracks. ``vrrp`` is the state that keepalived reported last to the
    notify script, ``vrrp_for_s`` for how many seconds it has been so. ``haproxy_loaded`` and ``keepalived_loaded`` are the SHA-256 of
    the configurations that they run with, "" where nobody has proved it; ``haproxy_file`` and ``keepalived_file`` are those of the
    files. ``haproxy_runs`` is the mark of the configuration that HAProxy itself says it runs (None: it does not answer), ``haproxy_mark``
    the one in its file; "" in a configuration without one. ``api`` is what a connection to the VIP gives. ``stats`` and ``metrics`` are
    HTTP statuses, "" when nothing answers. ``others`` are the VIPs beside the one of the API. ``foreign``: neither of the two files was
    written by this tool, so nothing there tells it what keepalived does, and HAProxy's socket and servers may be any.
    """

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
    haproxy_file: str
    keepalived_file: str
    haproxy_runs: str | None
    haproxy_mark: str
    api: Literal["open", "refused", "silent"]
    stats: str
    metrics: str
    others: tuple[OtherVip, ...] = ()
    foreign: bool = False

    @property
    def holds_any(self) -> bool:
        """Whether it holds a VIP, that of the API or another one."""
        return bool(self.held)

    @property
    def held(self) -> list[str]:
        """The VIPs that it holds, in words: "the VIP" is that of the API."""
        return [*(["the VIP"] if self.holds_vip else []), *(f"the VIP {each.name}" for each in self.others if each.holds)]


def interface(site: Site, host: Host) -> str:
    """Return the interface of ``host`` that carries the VIP and VRRP."""
    return host.interface or site.load_balancer.interface


def installed() -> Probe[dict[str, str]]:
    """Ask which of the packages that an LB needs are fully installed, and their versions."""
    return Probe(script("packages-found", {"PACKAGES": PACKAGES}), parse_installed)


def parse_installed(answer: Answer) -> dict[str, str]:
    """Read lines of ``name version``."""
    words = (line.partition(" ") for line in answer.stdout.splitlines() if line.strip())
    return {name: version.strip() for name, _, version in words}


def install() -> Command:
    """Install HAProxy, keepalived and socat with the host's own package manager."""
    variables = {"PACKAGES": PACKAGES, "PATIENCE": str(PATIENCE_S)}
    return script("packages-install", variables, timeout=900, after=("packages",))


def state(site: Site, host: Host) -> Probe[LbState]:
    """Ask for the state of ``host``, as seen from the host itself."""
    variables = {
        "VIP": str(site.endpoint.vip),
        "FAMILY": str(site.endpoint.vip.version),
        "API_PORT": str(site.endpoint.port),
        "ADDRESS": str(host.address),
        "STATS_PORT": str(site.load_balancer.stats_port),
        "METRICS_PORT": str(site.load_balancer.metrics_port),
        "HAPROXY_CFG": HAPROXY_CFG,
        "KEEPALIVED_CONF": KEEPALIVED_CONF,
        "MARK": MARK,
        "VIPS": [f"{vip.name} {vip.address}" for vip in site.load_balancer.vips],
    }
    return Probe(replace(script("lb-look", variables, timeout=20, after=("knock",)), shown="lb-look"), parse_state)


def parse_state(answer: Answer) -> LbState:
    """Read lines of ``key value``. Raises ValueError when a line is missing."""
    values = dict(line.partition(" ")[::2] for line in answer.stdout.splitlines())
    runs, clock = values.get("keepalived.ActiveState") == "active", int(values.get("clock", "0"))
    try:
        vrrp, _, since = values["vrrp_state"].partition(" ")
        return LbState(
            haproxy=_unit(values, "haproxy"),
            keepalived=_unit(values, "keepalived"),
            holds_vip=values["holds"] != "0",
            nonlocal_bind=values["nonlocal_bind"] == "1",
            haproxy_down=values["haproxy_down"] == "1",
            drained=values["drain"] == "1",
            vrrp=vrrp if values["keepalived.ActiveState"] == "active" else "",
            vrrp_for_s=int(values["clock"]) - int(since) if since else 0,
            others=tuple(
                _other(key.removeprefix("vip."), text, runs=runs, clock=clock)
                for key, text in values.items()
                if key.startswith("vip.")
            ),
            haproxy_loaded=_loaded(values["haproxy.cfg.loaded"], values["process.haproxy"]),
            keepalived_loaded=_loaded(values["keepalived.conf.loaded"], values["process.keepalived"]),
            haproxy_file=values["haproxy.cfg.file"],
            keepalived_file=values["keepalived.conf.file"],
            haproxy_runs=values.get("runs"),
            haproxy_mark=values["file_mark"],
            api=_reachability(values["api"]),
            stats=values.get("stats", ""),
            metrics=values.get("metrics", ""),
            foreign=all(
                values[f"{name}.file"] and OURS not in values.get(f"{name}.head", OURS)
                for name in ("haproxy.cfg", "keepalived.conf")
            ),
        )
    except KeyError as error:
        raise ValueError(f"lb-look printed nothing about {error}") from None


def _other(name: str, text: str, *, runs: bool, clock: int) -> OtherVip:
    holds, state, since, *_ = [*text.split(), "", ""]
    return OtherVip(name, holds == "1", state if runs else "", clock - int(since) if since else 0)


def _loaded(record: str, process: str) -> str:
    """Return the SHA-256 of a record of lb-hook or lb-run, "" when it is about another process than the one that runs now.

    A record of an earlier build names no process, and proves nothing: a failed reload was recorded as well.
    """
    sha, _, recorded = record.partition(" ")
    return sha if recorded and recorded == process else ""


def apply(
    wanted: Sequence[File],
    gone: Sequence[str] = (),
    *,
    foreign: bool = False,
    read: Sequence[str] = (HAPROXY_CFG,),
    enabled: Sequence[str] = ("haproxy", "keepalived"),
) -> Command:
    """Check the configuration on the host, keep the present one as a generation, and install the new one without the files ``gone``.

    A ``foreign`` generation, which is the operator's own, is kept for good. ``read`` are the configurations that HAProxy is started with,
    checked together. The units ``enabled`` start at boot. Changes nothing, and exits with REFUSED when haproxy or keepalived refuses its file, with NOT_ENABLED when one of
    them cannot be enabled.
    """
    variables = {
        **files.encoded(wanted),
        "GONE": gone,
        "READ": read,
        "LIBRARY": LIBRARY,
        "HAPROXY_CFG": HAPROXY_CFG,
        "TAKEN_OUT": TAKEN_OUT,
        "KEEPALIVED_CONF": KEEPALIVED_CONF,
        "KEEP": str(KEPT_GENERATIONS),
        "FOREIGN": "yes" if foreign else "no",
        "ENABLED": enabled,
        "OURS": OURS,
    }
    return replace(
        script("lb-apply", variables, timeout=120, after=("lb-taken-out", "lb-harmless", "lb-stage")),
        shown="lb-apply (haproxy -c, keepalived -t, keep the old files, rename)",
    )


def previous(wanted: Sequence[File], *, original: bool = False) -> Probe[str]:
    """Ask for the directory of the newest kept generation that differs from the present files; "" when there is none.

    With ``original``: of the first one that is the operator's own, from before lb.setup.
    """
    which = "original" if original else "newest"
    variables = {"PATHS": [file.path for file in wanted], "KEEPALIVED_CONF": KEEPALIVED_CONF, "OURS": OURS, "WHICH": which}
    return Probe(replace(script("lb-previous", variables), shown="lb-previous"), lambda answer: answer.stdout.strip())


def run_service(unit: str, paths: Sequence[str], *, aside: bool = False, bridged: Sequence[str] = ()) -> Command:
    """Enable a unit, start it or (if it runs already) reload it, and prove that it has loaded its file.

    Exits with NOT_LOADED when it has not: then ``paths`` are as before `apply` again, if that was not proved yet. See `parse_not_loaded`.
    ``aside``: with the old files keepalived is to run again. ``bridged``: addresses that the host keeps while keepalived is reloaded.
    """
    variables = {
        "UNIT": unit,
        "ASIDE": "yes" if aside else "no",
        "BRIDGED": bridged,
        "PATHS": paths,
        "HAPROXY_CFG": HAPROXY_CFG,
        "TAKEN_OUT": TAKEN_OUT,
        "KEEPALIVED_CONF": KEEPALIVED_CONF,
        "MARK": MARK,
    }
    return replace(
        script("lb-run", variables, timeout=180, after=("lb-taken-out",)).expecting(0, NOT_LOADED), shown=f"lb-run {unit}"
    )


def parse_not_loaded(text: str) -> tuple[str, Literal["back", "broken", "none"]]:
    """Return what the service said, and what became of the old files: all is as before, they do not load either, or there were none."""
    said, _, after = text.partition("@@\n")
    return said.strip(), "back" if after.strip() == "back" else "broken" if after.strip() == "broken" else "none"


def stop_service(unit: str) -> Command:
    """Stop a unit, now and at boot."""
    return cmd("systemctl", "disable", "--now", unit)


def load_sysctl(path: str) -> Command:
    """Apply a sysctl file now."""
    return script("sysctl-load", {"FILE": path})


def drain(*, on: bool) -> Command:
    """Drain this LB, so that the VIP moves to another one and stays there, or end the drain."""
    return script("lb-drain", {"VALUE": "1" if on else "0"})


def probe_vip(site: Site, seconds: int) -> Probe[tuple[int, int, int]]:
    """Open a connection through the VIP every 20 ms for ``seconds``; gives how many were tried and failed, and the longest outage in ms."""
    variables = {"VIP": str(site.endpoint.vip), "PORT": str(site.endpoint.port), "SECONDS_LONG": str(seconds)}
    command = script("vip-probe", variables, timeout=seconds + 30, root=False)
    return Probe(command, _parse_probe)


def _parse_probe(answer: Answer) -> tuple[int, int, int]:
    tried, failed, longest_ms = map(int, answer.stdout.split())
    return tried, failed, longest_ms


def _unit(values: dict[str, str], unit: str) -> Unit:
    return Unit(
        values[f"{unit}.ActiveState"],
        values[f"{unit}.SubState"],
        values.get(f"{unit}.UnitFileState", ""),
        values[f"{unit}.ActiveEnterTimestamp"],
    )


def _reachability(word: str) -> Literal["open", "refused", "silent"]:
    if word == "open":
        return "open"
    return "refused" if word == "refused" else "silent"
