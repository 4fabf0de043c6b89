"""Preflight checks of what Kubernetes needs from one host: disk space, ports, packages, no leftovers. Pure."""

from __future__ import annotations

import re

from runbooks.commands.preflight import CONTAINERD, KUBELET, ports
from runbooks.commands.preflight_facts import Facts, Packages, Space
from runbooks.inventory.checks_ports import API_PORT
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import literal
from runbooks.rules import runtime_limits
from runbooks.rules.finding import Finding, worst
from runbooks.rules.kubeadm import minor_of
from runbooks.rules.preflight_finding import fail, good, warn
from runbooks.text import GIB, first_few, listed, size_text

ETCD = "etcd"  # its directory is kubernetes.etcd_data_dir
# GiB free on a host without Kubernetes: fails below the first number, warns below the second.
# etcd: its quota is 2 GiB by default, 8 GiB at most (etcd FAQ); a restore needs the same again.
# containerd: the images of a control plane take 1 GiB packed and 2 GiB unpacked, and twice that during an upgrade.
# kubelet: logs and scratch space of pods.
NEEDED = {ETCD: (2, 8), CONTAINERD: (5, 15), KUBELET: (1, 5)}
# Percent free: the kubelet's default hard eviction thresholds. Below them it evicts pods and accepts no new ones.
EVICTION = {CONTAINERD: 15, KUBELET: 10}
INODES = 5
FSYNC_MS = 10  # etcd's FAQ: the 99th percentile of wal_fsync should be below 10 ms
MANIFESTS = "/etc/kubernetes/manifests"
MANAGED = ("kubeadm", "kubelet", "kubectl")


def uses_this_cluster(site: Site, host: Host, server: str) -> bool:
    """Whether ``server`` (a URL), the API server that the kubelet of ``host`` uses, is one of this cluster."""
    ways = {(literal(site.endpoint.vip), site.endpoint.port), (site.endpoint.name or "", site.endpoint.port)}
    # From 1.31 on, the kubelet of a control plane host may use the API server on its own host.
    ways |= {(literal(host.address), API_PORT)} if host.is_control_plane else set()
    return server.rstrip("/") in {f"https://{name}:{port}" for name, port in ways}


def in_this_cluster(site: Site, host: Host, facts: Facts) -> bool:
    """Whether the host is a node of this cluster, or an attempt to make it one was left unfinished."""
    return bool(facts.attempt) or any(uses_this_cluster(site, host, server) for server in facts.servers)


def space(site: Site, host: Host, facts: Facts) -> Finding:
    """Judge free bytes and inodes of each file system; directories on the same one have their needs added up."""
    if not facts.spaces:
        return warn("the free space could not be read", "run df on the host: it printed nothing")
    mounts: dict[str, list[Space]] = {}
    for each in facts.spaces:
        mounts.setdefault(each.mount, []).append(each)
    member = in_this_cluster(site, host, facts)
    found = [_on_one(site, mount, those, member=member) for mount, those in mounts.items()]
    everything = "; ".join(each.seen for each in found)
    gravest = worst(found)
    return gravest if gravest.fix else good(everything)


def _on_one(site: Site, mount: str, those: list[Space], *, member: bool) -> Finding:
    one, names = those[0], listed(each.directory for each in those)
    least, most = (sum(NEEDED[_for(site, each)][column] for each in those) for column in (0, 1))
    free, share = one.free / GIB, 100 * one.free / max(one.size, 1)
    floor = max((EVICTION.get(_for(site, each), 0) for each in those), default=0)
    seen = f"{mount}: {size_text(one.free)} free ({share:.0f} %)"
    fix = f"make room on {mount} for {names}"
    if one.inodes and 100 * one.inodes_free < INODES * one.inodes:
        return fail(f"{mount}: {one.inodes_free} of {one.inodes} inodes free", f"{fix}: fewer files, or a larger file system")
    if share < floor:
        return fail(seen, f"{fix}: below {floor} % the kubelet evicts pods")
    if member:  # a member already uses the space that it needs
        return good(seen)
    if free < least:
        return fail(seen, f"{fix}: at least {least} GiB, better {most}")
    return warn(seen, f"{fix}: {most} GiB") if free < most else good(seen)


def _for(site: Site, space: Space) -> str:
    """Return what ``space`` is for, a key of `NEEDED`: a directory that is neither the kubelet's nor etcd's is containerd's root."""
    if space.directory == site.kubernetes.etcd_data_dir:
        return ETCD
    return KUBELET if space.directory == KUBELET else CONTAINERD


def free_ports(site: Site, host: Host, facts: Facts) -> Finding:
    """Fails when a port that Kubernetes needs is used by another program."""
    wanted = ports(site, host)
    if facts.listeners is None:
        return warn("the ports in use could not be read", "install ss (iproute2)")
    taken = {each.port: each.program for each in facts.listeners if each.port in wanted}
    member = in_this_cluster(site, host, facts)
    own = {port: wanted[port] for port, program in taken.items() if member and _is(program, wanted[port])}
    foreign = {port: program for port, program in taken.items() if port not in own}
    if foreign:
        seen = listed(f"{port} is taken by {program or 'an unknown program'}" for port, program in sorted(foreign.items()))
        programs = {wanted[port] for port, program in foreign.items() if _is(program, wanted[port])}
        more = f"; {listed(sorted(programs))} of another cluster: inv cluster.reset --host {host}" if programs else ""
        return fail(seen, f"stop that program, or move it to another port ({listed(sorted(wanted))} are needed){more}")
    if own:
        return good(f"in use by {listed(sorted(set(own.values())))} (already in the cluster)")
    return good(f"{listed(sorted(wanted))} are free")


def _is(program: str, wanted: str) -> bool:
    """Whether a process is ``wanted``. The kernel keeps only 15 characters of a name (kube-controller-manager is longer)."""
    return program == wanted[:15]


def leftovers(site: Site, host: Host, facts: Facts) -> Finding:
    """Fails when a host outside this cluster has files of another one: some make kubeadm fail, others break the new cluster."""
    if in_this_cluster(site, host, facts):
        if facts.attempt:
            return good(f"kubeadm {facts.attempt} did not finish here; cluster.init and cluster.join clean up before they go on")
        return good("already in the cluster")
    if facts.servers:
        return fail(
            f"the host is in another cluster ({listed(facts.servers)})",
            "remove it there (drain, delete node, kubeadm reset), or correct hosts.yaml",
        )
    grave = [path for path in facts.found if not path.startswith("/etc/cni/") and not _harmless(site, path)]
    if grave:
        fix = f"if nobody needs it: inv cluster.reset --host {host}"
        data = site.kubernetes.etcd_data_dir
        if any(path.startswith(data) for path in grave):
            fix += f"; without a backup, copy {data} away first"
        return fail(f"left by another cluster: {listed(grave)}", fix)
    light = [path for path in facts.found if path.startswith("/etc/cni/")]
    if light:
        return warn(
            f"a pod network's configuration is there: {listed(light)}",
            "remove it unless you want that one: the first file by name is used",
        )
    return good("none")


def _harmless(site: Site, path: str) -> bool:
    """Whether neither kubelet nor kubeadm minds a path: in the directory of manifests, a hidden file or a directory.

    kubeadm 1.20 wants that directory empty when a host joins, 1.31 and newer do not.
    """
    directory, _, name = path.rstrip("/").rpartition("/")
    return directory == MANIFESTS and minor_of(site) >= 31 and (name.startswith(".") or path.endswith("/"))


def etcd_directory(site: Site, host: Host, facts: Facts) -> Finding | None:
    """Fails when etcd's data directory has files that are not etcd's: kubeadm would stop there, in the middle of an installation.

    Invariant: lets through only lost+found (of a disk of its own) and aside-* (old data that `recover` kept), which kubeadm-run.sh has kubeadm
    ignore; member is judged by `leftovers`. None where no etcd will run, or where it does run.
    """
    member = any(uses_this_cluster(site, host, server) for server in facts.servers)
    if not host.is_control_plane or site.kubernetes.etcd != "stacked" or member:
        return None
    known = [name for name in facts.etcd_data if name == "lost+found" or name.startswith("aside-")]
    foreign = [name for name in facts.etcd_data if name not in known and name != "member"]
    if foreign:
        data = site.kubernetes.etcd_data_dir
        fix = f"move them away: kubeadm stops when {data} has other files than etcd's"
        return fail(f"{data} has files that are not etcd's: {listed(first_few(foreign, 6))}", fix)
    return good(f"{listed(known)} may stay" if known else "no other files")


def fsync(site: Site, host: Host, facts: Facts) -> Finding | None:
    """Warns about a slow disk, since etcd syncs every write. None where no etcd will run, or the disk was not tested."""
    seen = facts.fsync
    if not seen:
        return None
    if seen.tool == "none":
        return warn(f"not measured: {seen.reason}", "install fio, then inv cluster.preflight again")
    kind = "from the running etcd" if seen.tool == "etcd" else f"of {seen.number} writes ({seen.tool})"
    text = f"{seen.kind} {seen.ms:.1f} ms {kind}" + ("; for the p99 install fio" if seen.kind == "mean" else "")
    if seen.ms > FSYNC_MS:
        return warn(text, f"etcd wants a p99 below {FSYNC_MS} ms: give {site.kubernetes.etcd_data_dir} a local SSD of its own")
    return good(text)


def packages(site: Site, host: Host, facts: Facts) -> Finding:
    """Fails unless kubeadm, kubelet, kubectl, cri-tools and containerd are installed or offered in usable versions.

    Warns about a repository that cannot be used, when everything is on offer without it. Where nothing is to be installed, none is asked.
    """
    those, version = facts.packages, site.kubernetes.version
    names: dict[str, list[str]] = {}
    for name, offer in those.offered:
        names.setdefault(name, []).append(offer)
    missing = [name for name in MANAGED if not _has(version, [those.installed.get(name, ""), *names.get(name, [])])]
    found = [_not_offered(name, names.get(name, []), version, those) for name in missing]
    if "cri-tools" not in names and "cri-tools" not in those.installed:
        found.append(_not_offered("cri-tools", [], "", those))
    found.append(_containerd(site, those, names))
    fix = "repair the repository (route, firewall, proxy, key), or remove it from the host; what is wanted is offered without it"
    found += [warn(f"the repository {each.repository} cannot be used: {each.reason}", fix) for each in those.broken]
    return worst([each for each in found if each.fix], otherwise=_source(version, those))


def _has(version: str, versions: list[str]) -> bool:
    """Whether one of the package ``versions`` is ``version``: 1.30.0 matches 1.30.0-1.1, with or without an epoch."""
    return any(re.match(rf"(?:\d+:)?{re.escape(version)}(?:-|\Z)", each) for each in versions)


def _not_offered(name: str, offered: list[str], version: str, those: Packages) -> Finding:
    # Repositories list the newest first; the first six are enough.
    some = listed(first_few(offered, 6))
    installed = those.installed.get(name)
    seen = (
        f"{name} {version}".strip()
        + f" is not offered (there is {some or 'none'}"
        + (f"; {installed} is installed)" if installed else ")")
    )
    fix = "add the package repository of that minor version (pkgs.k8s.io has one for each), or correct kubernetes.version"
    if those.broken:
        seen += "; " + "; ".join(f"the repository {each.repository} cannot be used: {each.reason}" for each in those.broken)
        fix = f"repair the repository (route, firewall, proxy, key); or {fix}"
    return fail(seen, fix)


def _containerd(site: Site, those: Packages, names: dict[str, list[str]]) -> Finding:
    """Judge containerd: Kubernetes 1.26 and later need 1.6 (CRI v1); from 1.35 on, 2.0 is expected (CRI's RuntimeConfig)."""
    installed = those.installed.get("containerd.io") or those.installed.get("containerd")
    offered = [version for name in ("containerd", "containerd.io") for version in names.get(name, [])]
    version = installed or next(iter(offered), "")
    if not version:
        return _not_offered("containerd", [], "", those)
    parts = re.match(r"(?:\d+:)?(\d+)\.(\d+)", version)
    number = (int(parts[1]), int(parts[2])) if parts else (99, 0)
    fix = "install a newer one (containerd.io of Docker's repository has it)"
    if minor_of(site) >= 26 and number < (1, 6):
        return fail(f"containerd {version}, and Kubernetes {site.kubernetes.version} needs 1.6 or newer", fix)
    if minor_of(site) < 23 and (2, 0) <= number < (99, 0):
        return fail(
            f"containerd {version}, which has no CRI v1alpha2 any more, and the kubelet of {site.kubernetes.version} speaks no other one",
            "install containerd 1.7, or Kubernetes 1.23 or newer",
        )
    if why := runtime_limits.too_old(site, number):
        return fail(why, fix)
    if minor_of(site) >= 35 and number < (2, 0):  # kubeadm's ContainerRuntimeVersion warns, and the kubelet says so in its log
        return warn(f"containerd {version}, and Kubernetes {site.kubernetes.version} expects 2.0 or newer", fix)
    return good(version)


def _source(version: str, those: Packages) -> str:
    if all(_has(version, [those.installed.get(name, "")]) for name in MANAGED):
        return f"{version} is installed"
    return f"{version} is offered"
