"""What a person does instead of the steps on load balancers."""

from __future__ import annotations

from collections.abc import Sequence

from runbooks.by_hand import shell
from runbooks.commands.files import File
from runbooks.commands.firewall import Openings
from runbooks.commands.lb import OLDEST, PACKAGES, SELINUX_BOOLEANS
from runbooks.commands.paths import FLAGS, HAPROXY_CFG, KEEPALIVED_CONF, LIBRARY
from runbooks.inventory.model import Host, Site

GENERATIONS = "/var/lib/ha-runbooks/lb/generations"
STATUS = "curl -s -o /dev/null -w '%{http_code} '"
SOCKET = "/run/haproxy/admin.sock"


def install_packages() -> str:
    """Packages of the host's own package manager."""
    oldest = ", ".join(f"{name} {first}.{second}" for name, (first, second) in OLDEST.items())
    return (
        f"`apt-get install --no-install-recommends {' '.join(PACKAGES)}` (dnf: `dnf install {' '.join(PACKAGES)}`). What is there "
        f"already is not upgraded: that would restart it.\nDone when `haproxy -v` and `keepalived -v` show at least {oldest}."
    )


def bind_before_holding(file: File, key: str) -> str:
    """Let the VIP be bound by the LB that does not hold it."""
    return (
        f"HAProxy has to listen on the VIP before this host holds it:{shell(f'echo {key}=1 >{file.path}', f'sysctl -p {file.path}')}"
        f"Done when `sysctl -n {key}` prints 1."
    )


def open_firewall(needed: Openings, interface: str) -> str:
    """Ports for clients, VRRP for the other LB."""
    adds = [f"--add-port={port}" for port in needed.ports] + [f"--add-rich-rule='{rule}'" for rule in needed.rules]
    lines = [f"zone=$(firewall-cmd --get-zone-of-interface={interface} || firewall-cmd --get-default-zone)"]
    lines += [f'firewall-cmd {when}--zone="$zone" {add}' for add in adds for when in ("", "--permanent ")]
    return (
        f"Only where `firewall-cmd --state` says running. No reload: it would drop what somebody has changed for the time being.{shell(*lines)}"
        'Done when `firewall-cmd --zone="$zone" --list-all` shows them, with `--permanent` as well.'
    )


def allow_ports() -> str:
    """SELinux's booleans."""
    return (
        f"Only where `getenforce` prints Enforcing or Permissive: `setsebool -P {' '.join(f'{each}=on' for each in SELINUX_BOOLEANS)}` "
        f"(takes up to half a minute).\nDone when `getsebool {' '.join(SELINUX_BOOLEANS)}` says on."
    )


def install_configuration(host: Host, files: Sequence[File]) -> str:
    """Keep the old files, have both programs check the new ones, put them in place."""
    new, old = "/root/new", "/root/old"
    check = (
        f"haproxy -c -f {new}{HAPROXY_CFG}",
        f"sed 's#{LIBRARY}/#{new}{LIBRARY}/#g' {new}{KEEPALIVED_CONF} >/root/check.conf",
    )
    place = [f"install -D -m {file.mode} {new}{file.path} {file.path}" for file in files]
    secret = (
        " Put the VRRP password in the place of `***` in keepalived.conf first." if any(file.secret for file in files) else ""
    )
    return (
        f"Copy [files/{host}](files/{host}) to `{new}` on the host, with `chmod 755 {new}{LIBRARY}/*`. (Going back to the configuration "
        f"before the last change: `cp -a {GENERATIONS}/NEWEST {new}`, the newest one that differs from what is there.){secret} "
        f"Nothing goes in place unless both checks pass:"
        f"{shell(*check, 'keepalived -t -f /root/check.conf')}"
        f"Then keep the old files and put the new ones in place:"
        f"{shell(f'mkdir -p -m 700 {old}', f'cp -a --parents {HAPROXY_CFG} {KEEPALIVED_CONF} {old}', *place, 'systemctl daemon-reload')}"
        f"Done when `cmp {new}{HAPROXY_CFG} {HAPROXY_CFG}` and the same for the other files say nothing."
    )


def run_service(unit: str) -> str:
    """Start, or reload; never restart."""
    return (
        f"`systemctl enable --now {unit}`; if it runs already, `systemctl reload {unit}` and never restart: a reload drops neither the "
        f"VIP nor a connection.\nDone when `systemctl is-active {unit}` says active, and `journalctl -u {unit} -n 20` has no complaint "
        "about the new configuration."
    )


def does_its_work(site: Site, host: Host) -> str:
    """The LB's own signs."""
    ports = {"stats": site.load_balancer.stats_port, "metrics": site.load_balancer.metrics_port}
    ask = (f"{STATUS} http://{_literal(host)}:{port}/{path}" for path, port in ports.items())
    return (
        f"On the host:{shell(*ask, _vrrp())}Go on only when both are 200 and the state is MASTER or BACKUP; until then leave the "
        "other LB alone."
    )


def prove_pair(site: Site) -> str:
    """The VIP on one LB only, and answering."""
    vip = site.endpoint.vip
    where = f"https://{f'[{vip}]' if vip.version == 6 else vip}:{site.endpoint.port}"
    return (
        f"On every LB: `ip -br address show to {vip}` prints a line on exactly one of them. From another host: `curl -k {where}/readyz` "
        "prints ok; while there is no cluster yet, a closed connection is fine, but silence is not."
    )


def able_to_hold() -> str:
    """Whether the LB may have the VIP."""
    return (
        f"On this LB: `systemctl is-active haproxy keepalived` says active twice; `{_vrrp()}` says MASTER or BACKUP; "
        f"`cat {FLAGS['down']}` is 0, or there is no such file. Go on only when all of it holds."
    )


def take_over(target: Host) -> str:
    """Drain those that outrank it."""
    drain = FLAGS["drain"]
    return (
        f"On every LB with a higher `priority` in hosts.yaml than {target}: `echo 1 >{drain}`. On {target} and those with a lower one: "
        f"`echo 0 >{drain}` (nothing to do where the file is not there). keepalived lets the VIP go within a second. For maintenance "
        "leave it so; the flag is gone after a reboot.\n"
        f"Done when `ip -br address` on {target} shows the VIP, and on the other one does not."
    )


def take_out(host: Host, backend: str) -> str:
    """No new connections to a control plane."""
    return (
        f"On each LB (one that is off needs nothing):{shell(_set(host, backend, 'maint'))}"
        f"Done when {_shown(host, backend)} says MAINT. Open connections live on."
    )


def let_in(host: Host, backend: str) -> str:
    """Connections to a control plane again."""
    return f"On each LB:{shell(_set(host, backend, 'ready'))}Done when {_shown(host, backend)} says UP (within seconds)."


def _set(host: Host, backend: str, state: str) -> str:
    return f"echo 'set server {backend}/{host} state {state}' | socat - UNIX-CONNECT:{SOCKET}"


def _shown(host: Host, backend: str) -> str:
    return f"`echo 'show stat' | socat - UNIX-CONNECT:{SOCKET} | grep '^{backend},{host},' | cut -d, -f18`"


def _vrrp() -> str:
    return "cat /run/ha-runbooks/vrrp_state"


def _literal(host: Host) -> str:
    return f"[{host.address}]" if host.address.version == 6 else str(host.address)
