"""What a host should have for monitoring, and what is still missing on it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from runbooks.commands import monitor
from runbooks.commands.firewall import Openings
from runbooks.commands.lb_paths import NOTIFY
from runbooks.commands.monitor import Exported, Seen
from runbooks.inventory.model import Host
from runbooks.inventory.words import Address
from runbooks.monitor.rules.scope import PREFIX, Scope
from runbooks.monitor.rules.targets import proxied, readers
from runbooks.rules.lb import too_old
from runbooks.text import listed

CERTIFICATES: Final = f"{PREFIX}certificates_read_timestamp_seconds"
KEEPALIVED: Final = f"{PREFIX}vrrp_master"
MASKED: Final = "masked-runtime"  # an installation of HAProxy was interrupted


def has_proxy(scope: Scope, host: Host) -> bool:
    """Whether metrics of ``host`` are read through the proxy on it."""
    return host.is_control_plane and bool(proxied(scope))


def units(scope: Scope, host: Host) -> tuple[str, ...]:
    """Return the units that should run on ``host`` and be enabled."""
    return (
        *(monitor.PROXY_UNITS if has_proxy(scope, host) else ()),
        *(monitor.CERTS_UNITS if host.is_control_plane else ()),
    )


def once(host: Host) -> tuple[str, ...]:
    """Return the services that are started once, so that nobody waits for their timers."""
    return (f"{monitor.CERTS_UNIT}.service",) if host.is_control_plane else ()


def all_paths() -> tuple[str, ...]:
    """Return every path that this tool writes for monitoring on any host, but those in the directory of the textfiles."""
    return (*monitor.PROXY_FILES, *monitor.CERTS_FILES)


def openings(scope: Scope, host: Host) -> Openings:
    """Return what the firewall of ``host`` has to let in: its proxy and its node_exporter, for those who may read the proxy only."""
    ports = [scope.settings.proxy_port] if has_proxy(scope, host) else []
    ports += [scope.settings.node_exporter_port] if "node-exporter" in scope.jobs else []
    return Openings(
        rules=tuple(
            f'rule family="ipv{each.version}" source address="{each}" port port="{port}" protocol="tcp" accept'
            for port in ports
            for each in readers(scope)
        )
    )


def series(scope: Scope, host: Host) -> frozenset[str]:
    """Return the series of ours that node_exporter on ``host`` should serve."""
    if "node-exporter" not in scope.jobs:
        return frozenset()
    return frozenset([*([CERTIFICATES] if host.is_control_plane else []), *([KEEPALIVED] if host.is_lb else [])])


def cannot_install(scope: Scope, host: Host, seen: Seen, exported: Exported) -> str:
    """Say why node_exporter is not there and is not installed, "" when it is, or can be. Never beside something that has its port."""
    if "node-exporter" not in scope.jobs or exported.answers:
        return ""
    port = scope.settings.node_exporter_port
    if exported.listens:
        return f"{host}: something listens on port {port}, and does not answer at {host.address} as node_exporter in plain HTTP"
    if monitor.EXPORTER in seen.packages:
        return ""
    where = f"{host}: no node_exporter answers at port {port}"
    if scope.settings.node_exporter == "present":
        return f"{where}, and hosts.yaml says that something else installs it (monitoring.node_exporter: present)"
    if seen.manager != "apt-get":
        return f"{where}, and {seen.manager or 'this host'} has no package of it that is known here"
    return ""


def no_directory(scope: Scope, host: Host, seen: Seen, exported: Exported) -> str:
    """Say that the directory for files of ours is missing on ``host`` and nothing will make it, "" when it is there, comes, or is not needed."""
    if seen.directory or not (host.is_control_plane or host.is_lb):
        return ""
    installed = "node-exporter" in scope.jobs and scope.settings.node_exporter == "install" and not exported.answers
    comes = installed and monitor.EXPORTER not in seen.packages and scope.settings.textfiles == monitor.EXPORTER_DIRECTORY
    return "" if comes else f"{host}: there is no directory {scope.settings.textfiles}"


def cannot_tell(host: Host, seen: Seen) -> str:
    """Say that a load balancer's hook cannot tell keepalived's state, "" when it can, or ``host`` is none."""
    return f"{host}: {NOTIFY} is not there, or is from before monitoring" if host.is_lb and not seen.hook else ""


def haproxy_missing(seen: Seen) -> str:
    """Say what is missing of HAProxy for the proxy, "" when all is there."""
    if monitor.HAPROXY not in seen.packages:
        return "HAProxy is not installed"
    return "its own service is still masked" if seen.distribution == MASKED else ""


def haproxy_too_old(seen: Seen) -> str:
    """Say that the installed HAProxy is older than the proxy's configuration needs, "" when it is not."""
    return too_old({name: version for name, version in seen.packages.items() if name == monitor.HAPROXY})


def not_running(scope: Scope, host: Host, seen: Seen) -> str:
    """Say which unit does not run as its file says, or is not started at boot; "" when all do."""
    for name in units(scope, host):
        unit = seen.units[name]
        if unit.active != "active":
            return f"{name} is {unit.active}"
        if unit.enabled != "enabled":
            return f"{name} is {unit.enabled}, so it would not start at boot"
        if unit.stale:
            return f"systemd has not read the new file of {name}"
    if seen.unproved:
        return "files were written, and what reads them was not reloaded"
    return _state_not_told(scope, seen) if host.is_lb else ""


def _state_not_told(scope: Scope, seen: Seen) -> str:
    """Say why node_exporter on a load balancer cannot read keepalived's state, "" when it can."""
    if seen.link != monitor.LB_TEXTFILE:
        return f"{scope.settings.textfiles}/{monitor.LB_PROM} does not lead to {monitor.LB_TEXTFILE}"
    return f"keepalived has told its state, and {monitor.LB_TEXTFILE} is not there" if seen.untold else ""


def not_answering(said: Mapping[str, str], address: Address, port: int) -> str:
    """Say which job the proxy does not give to whoever has the token, "" when it gives all."""
    wrong = [f"/{name}/metrics: {_meaning(answer)}" for name, answer in said.items() if answer != "200"]
    return f"{address} port {port}: {listed(wrong)}" if wrong else ""


def _meaning(answer: str) -> str:
    """Return what an answer of the proxy means.

    >>> _meaning("503"), _meaning("500")
    ('status 503, its program does not answer on this host', 'status 500')
    """
    known = {
        "401": "the token is not accepted",
        "403": "the token may not read it",
        "404": "the proxy has another configuration",
        "503": "its program does not answer on this host",
    }
    if not answer.isdecimal():
        return answer
    return f"status {answer}" + (f", {known[answer]}" if answer in known else "")


def not_exporting(scope: Scope, host: Host, seen: Exported) -> str:
    """Say what node_exporter on ``host`` does not serve, and what to do about it; "" when it serves all that it should."""
    port, directory = scope.settings.node_exporter_port, scope.settings.textfiles
    place = f"ARGS in /etc/default/{monitor.EXPORTER}, where it is Debian's"
    if not seen.answers:
        return f"no node_exporter answers at {host.address} port {port} (--web.listen-address: {place})"
    wanted = series(scope, host)
    if wanted and not seen.textfiles:
        return f"node_exporter reads no directory: --collector.textfile.directory={directory} ({place})"
    if seen.textfiles not in {"", "0"}:
        return f"node_exporter cannot read one of the files in its directory, which should be {directory}: journalctl -u {monitor.EXPORTER}"
    if lacking := sorted(wanted - seen.series):
        return f"node_exporter does not serve {listed(lacking)}; {_why(lacking, directory)}"
    return ""


def _why(lacking: list[str], directory: str) -> str:
    if KEEPALIVED in lacking:
        return f"has keepalived told its state (inv lb.setup), and is {directory} the directory that node_exporter reads?"
    return f"is {directory} the directory that node_exporter reads? journalctl -u {monitor.CERTS_UNIT}"
