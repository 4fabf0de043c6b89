"""Whether what was prepared on a host for Kubernetes holds, now and after the next boot. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runbooks.commands.baseline import UNITS
from runbooks.commands.setup_look import SYSCTL_FILE, Setup
from runbooks.inventory.model import Host, Site
from runbooks.rules.finding import Finding, Severity
from runbooks.text import listed

Row = tuple[Severity, list[str], str, str]  # what was seen, why it matters, what to do
# Without these, packets of pods do not get through; the third one of `setup_look.sysctls` is for the other family.
GRAVE = {
    4: ("net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables"),
    6: ("net.ipv6.conf.all.forwarding", "net.bridge.bridge-nf-call-ip6tables"),
}

WHY_NOT_SYNCHRONISED = "chronyc tracking (or timedatectl timesync-status) says why"


def not_ready(seen: Setup, *, swap: str, member: bool = False) -> str:
    """Return what is missing in the kernel's setup, or "". ``swap`` is "off" or "keep".

    Of a ``member`` of a cluster only what `cluster.prepare` may change there: swap that is in use is not switched off under running
    pods, and what it cannot change is for `beyond`.
    """
    states = ("loadable",) if member else ("loadable", "missing")
    missing = [module for module, state in seen.modules.items() if state in states]
    if missing:
        return f"kernel modules missing: {', '.join(missing)}"
    found = [f"{key} is {value}" for key, value in seen.sysctls.items() if value != "1" and not (member and value == "missing")]
    found += undone(seen, [key for key in seen.boot if not (member and outranks(seen.boot[key].file))])
    if not member:
        found += _barred(seen)
        found += (
            [f"swap is on: {listed(dict.fromkeys((*seen.swap, *seen.swap_at_boot)))}"] if swap == "off" and _swap(seen) else []
        )
    return "; ".join(found)


def beyond(seen: Setup, *, swap: str) -> list[str]:
    """Return what is wrong on a member of a cluster, and is left for a person to change."""
    found = [*undone(seen, [key for key in seen.boot if outranks(seen.boot[key].file)]), *_barred(seen)]
    if swap == "off" and _swap(seen):
        found.append(
            f"swap is on ({listed(dict.fromkeys((*seen.swap, *seen.swap_at_boot)))}): not switched off under running pods"
        )
    return found


def undone(seen: Setup, keys: Sequence[str]) -> list[str]:
    """Return which of ``keys`` get another value than 1 at the next boot, with the file that wins."""
    return [
        f"{key} becomes {seen.boot[key].value} at the next boot ({seen.boot[key].file})"
        for key in keys
        if seen.boot[key].value != "1"
    ]


def outranks(file: str) -> bool:
    """Whether ``file`` comes after our own at boot: files are read in the order of their names, whatever directory they are in."""
    return file.rpartition("/")[2] > SYSCTL_FILE.rpartition("/")[2]


def _barred(seen: Setup) -> list[str]:
    return [f"{module} is not loaded at the next boot ({file} forbids it)" for module, file in seen.barred.items()]


def _swap(seen: Setup) -> bool:
    return bool(seen.swap or seen.swap_at_boot)


def findings(site: Site, seen: Mapping[Host, Setup]) -> list[Finding]:
    """Return a failure or a warning for each member whose preparation does not hold, or will not; one that is ok when all do."""
    rows = [row for host, setup in seen.items() for row in _findings(site, host, setup)]
    if rows or not seen:
        return rows
    return [Finding("ok", topic="preparation", seen=f"kernel, swap, held packages, containerd as prepared on {listed(seen)}")]


def _findings(site: Site, host: Host, seen: Setup) -> list[Finding]:
    prepare = f"inv cluster.prepare --host {host}"
    held: Row = (
        "warn",
        [f"not held: {listed(seen.loose)}"] if seen.loose else [],
        "the next upgrade of the system replaces them",
        prepare,
    )
    rows = [
        *_sysctls(site, host, seen, prepare),
        _modules(host, seen),
        _swapped(site, host, seen),
        held,
        *_containerd(site, host, seen),
    ]
    rows.append(_clock(site, host, seen))
    return [
        Finding(severity, topic="preparation", host=host.name, seen="; ".join(texts), why=why, fix=fix)
        for severity, texts, why, fix in rows
        if texts
    ]


def _clock(site: Site, host: Host, seen: Setup) -> Row:
    time, texts, fix = site.baseline.time, [seen.clock] if seen.clock else [], f"on {host}: install and start chrony"
    if time and (not seen.times or not set(UNITS[time.service]) & set(seen.times)):
        fix = f"inv cluster.reconfigure --only hosts --host {host}"
        texts += [f"{listed(seen.times)} runs, and hosts.yaml says {time.service}"] if seen.times else []
    elif time:
        servers = f"do {listed(time.servers)} answer? " if time.servers else ""
        fix = f"on {host}: {servers}{WHY_NOT_SYNCHRONISED}"
    return ("warn", texts, "certificates and leases need clocks that agree", fix)


def _sysctls(site: Site, host: Host, seen: Setup, prepare: str) -> list[Row]:
    grave = GRAVE[site.networks.pods.version]
    lost = {key: each for key in grave if (each := seen.boot.get(key)) and each.value != "1"}
    off = [key for key in grave if seen.sysctls.get(key, "missing") not in {"1", "missing"}]
    now = [f"{key} is {seen.sysctls[key]}" + (f" ({lost[key].file} sets it at boot)" if key in lost else "") for key in off]
    later = undone(seen, [key for key in lost if key not in off])
    beaten = list(dict.fromkeys(each.file for each in lost.values() if outranks(each.file)))
    fix = f"on {host}: remove that line from {listed(beaten)}; then {prepare}" if beaten else prepare
    why = "pods on this host do not reach services and other pods"
    return [("fail", now, why, fix), ("warn", later, f"after a reboot {why}", fix)]


def _modules(host: Host, seen: Setup) -> Row:
    why = "without it, packets of pods pass by the rules for services" if "br_netfilter" in seen.barred else ""
    return ("warn", _barred(seen), why, f"on {host}: remove that line from {listed(dict.fromkeys(seen.barred.values()))}")


def _swapped(site: Site, host: Host, seen: Setup) -> Row:
    where = listed(dict.fromkeys((*seen.swap, *seen.swap_at_boot)))
    text = f"swap is on: {where}" if seen.swap else f"swap comes back at the next boot: {where}"
    why = "with swap the kubelet does not start any more when it is restarted"
    fix = f"on {host}, with enough free memory: swapoff -a; then take it out of {listed(seen.swap_at_boot) or '/etc/fstab'}"
    return ("warn", [text] if site.kubernetes.swap == "off" and _swap(seen) else [], why, fix)


def _containerd(site: Site, host: Host, seen: Setup) -> list[Row]:
    config, wanted = seen.containerd, site.kubernetes.cgroup_driver
    found = [f"containerd's configuration disables CRI ({config.disabled})"] if config.disabled else []
    if config.invalid:
        found.append(f"containerd cannot read its configuration ({config.invalid})")
    if config.cgroups and not config.disabled and config.cgroups != wanted:
        found.append(f"containerd's configuration has the cgroup driver {config.cgroups}, and the kubelet has {wanted}")
    ignored = (
        f"containerd ignores the pause image {config.ignored} of its configuration and takes {config.sandbox}: "
        "the section belongs to another version of containerd"
    )
    fix = f"correct /etc/containerd/config.toml on {host} (docs/runbooks/files has ours); then drain the node, systemctl restart containerd"
    restart = "from containerd's next restart on,"
    return [
        ("warn", found, f"{restart} no pod starts", fix),
        ("warn", [ignored] if config.ignored else [], f"{restart} a pod starts only where that image is or can be pulled", fix),
    ]
