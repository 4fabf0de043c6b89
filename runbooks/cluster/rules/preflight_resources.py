"""Has this host room for Kubernetes: on its disks, its ports, in its package repositories? Pure."""

from __future__ import annotations

import re

from runbooks.cluster.rules.preflight_host import minor
from runbooks.commands.preflight import CONTAINERD, ETCD, KUBELET, ports
from runbooks.commands.preflight_facts import Facts, Packages, Space
from runbooks.inventory.checks import API_PORT
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import literal
from runbooks.rules.finding import Finding, worst
from runbooks.rules.preflight_finding import fail, good, warn
from runbooks.text import GIB, first_few, listed, size_text

# GiB that a host without Kubernetes has to have free: too little to work, too little to work for long.
# etcd: its quota is 2 GiB, 8 GiB at most (etcd FAQ), and a snapshot to restore from is as large again.
# containerd: a control plane's images take 1 GiB packed and 2 unpacked, an upgrade has both versions.
# kubelet: logs and scratch space of pods.
NEEDED = {ETCD: (2, 8), CONTAINERD: (5, 15), KUBELET: (1, 5)}
# The kubelet's own hard eviction thresholds: below them it takes no pods at all (--eviction-hard).
EVICTION = {CONTAINERD: 15, KUBELET: 10}
INODES = 5
FSYNC_MS = 10  # etcd's FAQ: the 99th percentile of wal_fsync should be below 10 ms
MANAGED = ("kubeadm", "kubelet", "kubectl")


def asks_us(site: Site, host: Host, server: str) -> bool:
    """Whether a kubelet of ``host`` that asks ``server`` (a URL) is a node of this cluster."""
    ways = {(literal(site.endpoint.vip), site.endpoint.port), (site.endpoint.name or "", site.endpoint.port)}
    # From 1.31 on, the kubelet of a control plane host asks the API server beside it.
    ways |= {(literal(host.address), API_PORT)} if host.is_control_plane else set()
    return server.rstrip("/") in {f"https://{name}:{port}" for name, port in ways}


def ours(site: Site, host: Host, facts: Facts) -> bool:
    """Whether the host is, or was about to become, a node of this cluster."""
    return bool(facts.attempt) or any(asks_us(site, host, server) for server in facts.servers)


def space(site: Site, host: Host, facts: Facts) -> Finding:
    """Free bytes and inodes of every file system that will fill up, the needs of what shares one added up."""
    if not facts.spaces:
        return warn("the free space cannot be told", "df does not work there")
    mounts: dict[str, list[Space]] = {}
    for each in facts.spaces:
        mounts.setdefault(each.mount, []).append(each)
    member = ours(site, host, facts)
    found = [_on_one(mount, those, member=member) for mount, those in mounts.items()]
    everything = "; ".join(each.seen for each in found)
    gravest = worst(found)
    return gravest if gravest.fix else good(everything)


def _on_one(mount: str, those: list[Space], *, member: bool) -> Finding:
    one, names = those[0], listed(each.directory for each in those)
    least, most = (sum(NEEDED[each.directory][column] for each in those) for column in (0, 1))
    free, share = one.free / GIB, 100 * one.free / max(one.size, 1)
    floor = max((EVICTION.get(each.directory, 0) for each in those), default=0)
    seen = f"{mount}: {size_text(one.free)} free ({share:.0f} %)"
    fix = f"make room on {mount} for {names}"
    if one.inodes and 100 * one.inodes_free < INODES * one.inodes:
        return fail(f"{mount}: {one.inodes_free} of {one.inodes} inodes free", f"{fix}: fewer files, or a larger file system")
    if share < floor:
        return fail(seen, f"{fix}: below {floor} % the kubelet evicts pods")
    if member:  # what it needs it has taken already
        return good(seen)
    if free < least:
        return fail(seen, f"{fix}: {least} GiB at least, {most} to be at ease")
    return warn(seen, f"{fix}: {most} GiB") if free < most else good(seen)


def free_ports(site: Site, host: Host, facts: Facts) -> Finding:
    """Each of our ports is free, or has our own program on a host that is in the cluster already."""
    wanted = ports(site, host)
    if facts.listeners is None:
        return warn("which ports are taken cannot be told", "install ss (iproute2)")
    taken = {each.port: each.program for each in facts.listeners if each.port in wanted}
    member = ours(site, host, facts)
    own = {port: wanted[port] for port, program in taken.items() if member and _is(program, wanted[port])}
    foreign = {port: program for port, program in taken.items() if port not in own}
    if foreign:
        seen = listed(f"{port} is taken by {program or 'some program'}" for port, program in sorted(foreign.items()))
        programs = {wanted[port] for port, program in foreign.items() if _is(program, wanted[port])}
        more = f"; {listed(sorted(programs))} of another cluster: inv cluster.reset --host {host}" if programs else ""
        return fail(seen, f"stop that program, or move it to another port ({listed(sorted(wanted))} are needed){more}")
    if own:
        return good(f"in use by {listed(sorted(set(own.values())))} (already in the cluster)")
    return good(f"{listed(sorted(wanted))} are free")


def _is(program: str, wanted: str) -> bool:
    """Whether a process is that program; the kernel keeps 15 characters of a name (kube-controller-manager has more)."""
    return program == wanted[:15]


def leftovers(site: Site, host: Host, facts: Facts) -> Finding:
    """Traces of a cluster on a host that is in none: kubeadm refuses some of them, and others break what comes."""
    if ours(site, host, facts):
        if facts.attempt:
            return good(f"kubeadm {facts.attempt} did not finish here; cluster.init and cluster.join clean up before they go on")
        return good("already in the cluster")
    if facts.servers:
        return fail(
            f"the host is in another cluster ({listed(facts.servers)})",
            "take it out there (drain, delete node, kubeadm reset), or mend hosts.yaml",
        )
    grave = [path for path in facts.found if not path.startswith("/etc/cni/")]
    if grave:
        fix = f"is it still needed? Else: inv cluster.reset --host {host}"
        if any(path.startswith(ETCD) for path in grave):
            fix += f"; copy {ETCD} away first, unless there is a backup"
        return fail(f"left by another cluster: {listed(grave)}", fix)
    light = [path for path in facts.found if path.startswith("/etc/cni/")]
    if light:
        return warn(
            f"a pod network's configuration is there: {listed(light)}",
            "remove it unless it is the one that you want: the first by name wins",
        )
    return good("none")


def fsync(site: Site, host: Host, facts: Facts) -> Finding | None:
    """Etcd answers no faster than its disk; None where there will be no etcd, or the disk was not asked."""
    seen = facts.fsync
    if not seen:
        return None
    if seen.tool == "none":
        return warn(f"not measured: {seen.reason}", "install fio, then inv cluster.preflight again")
    kind = "of the etcd that runs" if seen.tool == "etcd" else f"of {seen.number} writes ({seen.tool})"
    text = f"{seen.kind} {seen.ms:.1f} ms {kind}" + ("; for the p99 install fio" if seen.kind == "mean" else "")
    if seen.ms > FSYNC_MS:
        return warn(text, f"etcd wants a p99 below {FSYNC_MS} ms: a local SSD of its own for {ETCD}")
    return good(text)


def packages(site: Site, host: Host, facts: Facts) -> Finding:
    """The wanted version is installed, or the repositories offer it; so is what kubeadm and the kubelet need beside them."""
    those, version = facts.packages, site.kubernetes.version
    names: dict[str, list[str]] = {}
    for name, offer in those.offered:
        names.setdefault(name, []).append(offer)
    missing = [name for name in MANAGED if not _has(version, [those.installed.get(name, ""), *names.get(name, [])])]
    found = [_not_offered(name, names.get(name, []), version, those) for name in missing]
    if "cri-tools" not in names and "cri-tools" not in those.installed:
        found.append(_not_offered("cri-tools", [], "", those))
    found.append(_containerd(site, those, names))
    if those.closed:
        found.append(fail(f"{those.closed} does not answer", "mend the route, the firewall or the proxy to that repository"))
    return worst([each for each in found if each.fix], otherwise=_source(version, those))


def _has(version: str, versions: list[str]) -> bool:
    """Whether one of the packages' versions is this Kubernetes: 1.30.0 as 1.30.0-1.1, perhaps with an epoch before it."""
    return any(re.match(rf"(?:\d+:)?{re.escape(version)}(?:-|\Z)", each) for each in versions)


def _not_offered(name: str, offered: list[str], version: str, those: Packages) -> Finding:
    # Newest first, as repositories list them; a page of them helps nobody.
    some = listed(first_few(offered, 6))
    installed = those.installed.get(name)
    seen = (
        f"{name} {version}".strip()
        + f" is not offered (there is {some or 'none'}"
        + (f"; {installed} is installed)" if installed else ")")
    )
    fix = "add the package repository of that minor version (pkgs.k8s.io has one for each), or mend kubernetes.version"
    trouble = f": {those.trouble}" if those.trouble and those.lists == "none" else ""
    return fail(seen + trouble, fix)


def _containerd(site: Site, those: Packages, names: dict[str, list[str]]) -> Finding:
    """The kubelet speaks only CRI v1 since 1.26, as containerd does since 1.6; 1.35 is said to be the last for containerd 1.x."""
    installed = those.installed.get("containerd.io") or those.installed.get("containerd")
    offered = [version for name in ("containerd", "containerd.io") for version in names.get(name, [])]
    version = installed or next(iter(offered), "")
    if not version:
        return _not_offered("containerd", [], "", those)
    parts = re.match(r"(?:\d+:)?(\d+)\.(\d+)", version)
    number = (int(parts[1]), int(parts[2])) if parts else (99, 0)
    fix = "install a newer one (containerd.io of Docker's repository has it)"
    if minor(site) >= 26 and number < (1, 6):
        return fail(f"containerd {version}, and Kubernetes {site.kubernetes.version} needs 1.6 or newer", fix)
    if minor(site) >= 36 and number < (2, 0):
        return warn(f"containerd {version}, and Kubernetes {site.kubernetes.version} is made for 2.0 or newer", fix)
    return good(version)


def _source(version: str, those: Packages) -> str:
    if all(_has(version, [those.installed.get(name, "")]) for name in MANAGED):
        return f"{version} is installed"
    return f"{version} is offered"
