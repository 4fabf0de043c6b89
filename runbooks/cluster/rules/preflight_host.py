"""Is this host fit for Kubernetes? Each check judges one topic from what the host said of itself. Pure."""

from __future__ import annotations

import re

from runbooks.commands.preflight import TIME_SERVICES, sysctls
from runbooks.commands.preflight_facts import Facts
from runbooks.inventory.model import Host, Site
from runbooks.rules.finding import Finding, worst
from runbooks.rules.preflight_finding import fail, good, warn
from runbooks.text import counted, listed, size_text

# Official source: https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/ ; the numbers are those of
# kubeadm's own preflight (NumCPU 2, Mem 1700 MiB), which refuses a control plane host with less.
CPUS = 2
MEMORY_MIB = 1700
CONTROLLERS = {
    "v1": {"cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"},
    "v2": {"cpu", "cpuset", "memory", "pids"},
}
KNOWN_MANAGERS = ("apt-get", "dnf", "yum")
ADDRESS_IS_WRONG = "mend `address` in hosts.yaml, or give the host that address: etcd and the API server listen on it"


def minor(site: Site) -> int:
    """The second part of the wanted version: 30 of 1.30.0."""
    return int(site.kubernetes.version.split(".")[1])


def system(site: Site, host: Host, facts: Facts) -> Finding:
    """The runbooks install packages with apt, dnf or yum."""
    if facts.manager in KNOWN_MANAGERS:
        return good(f"{facts.os or 'unknown system'}, {facts.manager}")
    return fail(
        f"{facts.os or 'unknown system'}: no apt, dnf or yum",
        "use a system of the Debian or Red Hat family: packages come from there",
    )


def kernel(site: Site, host: Host, facts: Facts) -> Finding:
    """Kubeadm's SystemVerification: 3.10, from 1.32 on 4.19."""
    parts = re.match(r"(\d+)\.(\d+)", facts.kernel)
    oldest = (4, 19) if minor(site) >= 32 else (3, 10)
    if not parts:
        return warn(f"kernel {facts.kernel}", "its version cannot be read; kubeadm will judge it")
    if (int(parts[1]), int(parts[2])) < oldest:
        return fail(
            f"kernel {facts.kernel}",
            f"Kubernetes {site.kubernetes.version} needs {oldest[0]}.{oldest[1]} or newer: upgrade the host",
        )
    return good(facts.kernel)


def hostname(site: Site, host: Host, facts: Facts) -> Finding:
    """The node gets its name from hosts.yaml in any case; but logs and people use the host's own."""
    if facts.hostname.split(".")[0].lower() == host.name:
        return good(facts.hostname)
    return warn(
        f"the host calls itself {facts.hostname or 'nothing'}",
        f"is this the right machine? Then: hostnamectl set-hostname {host.name}",
    )


def address(site: Site, host: Host, facts: Facts) -> Finding:
    """The address of hosts.yaml has to be on an interface."""
    if not facts.interface:
        return fail(f"no interface has {host.address}", ADDRESS_IS_WRONG)
    return good(f"{facts.interface}, MTU {facts.mtu}")


def time_service(site: Site, host: Host, facts: Facts) -> Finding:
    """Certificates and leases depend on clocks that agree, also next month."""
    running = [unit for unit, state in facts.units.items() if state == "active" and unit in TIME_SERVICES]
    if facts.container not in {"none", "unknown"}:
        return good("the clock is the machine's below this container")
    if not running:
        return warn("no time service runs", "install and enable chrony")
    if facts.synchronized != "yes":
        return warn(
            f"{running[0]} runs, but the clock is not synchronised (yet)",
            "chronyc tracking (or timedatectl timesync-status) says why",
        )
    return good(f"{running[0]}, synchronised")


def swap(site: Site, host: Host, facts: Facts) -> Finding:
    """Switched off by cluster.prepare, or borne by the kubelet when the site says so."""
    if not facts.swap:
        return good("none")
    if site.kubernetes.swap == "keep":
        return good(f"on ({listed(facts.swap)}), and kept as hosts.yaml says")
    return good(f"on ({listed(facts.swap)}); cluster.prepare switches it off")


def modules(site: Site, host: Host, facts: Facts) -> Finding:
    """Images need overlay, services need br_netfilter, and packets between pods need forwarding; cluster.prepare sees to them."""
    found = [
        fail(
            f"the kernel has no {name}", f"install the kernel's modules (linux-modules-extra, kernel-modules) that have {name}.ko"
        )
        for name, state in facts.modules.items()
        if state == "missing"
    ]
    wrong = {name: value for name in sysctls(site) if (value := facts.sysctls.get(name)) and value[0] != "1"}
    found += [
        fail(f"{name} is {value}, and may not be changed here", f"set {name} = 1 where this container's kernel is configured")
        for name, (value, free) in wrong.items()
        if not free
    ]
    later = [*(name for name, state in facts.modules.items() if state == "loadable"), *wrong]
    note = f"; cluster.prepare sets {listed(later)}" if later else ""
    return worst(found, otherwise=f"{listed(facts.modules)}{note}")


def cgroup(site: Site, host: Host, facts: Facts) -> Finding:
    """Version 1 is in maintenance since 1.31; from 1.35 on the kubelet does not start on it unless failCgroupV1 is false.

    Official source: https://kubernetes.io/docs/concepts/architecture/cgroups/ and KEP 5573.
    """
    missing = CONTROLLERS.get(facts.cgroup, set()) - facts.controllers
    unified = "boot with systemd.unified_cgroup_hierarchy=1"
    if missing:
        return fail(
            f"cgroup {facts.cgroup} without {listed(sorted(missing))}",
            "switch these controllers on (kernel command line, or delegation)",
        )
    if facts.cgroup == "v2" or minor(site) < 31:
        return good(facts.cgroup)
    if minor(site) < 35:
        return warn("cgroup v1, which is no longer developed", unified)
    if site.kubernetes.kubelet.get("failCgroupV1") is False:
        return warn("cgroup v1, which the kubelet is told to bear (failCgroupV1: false)", f"{unified} before it is dropped")
    return fail(
        f"cgroup v1, on which the kubelet of {site.kubernetes.version} does not start",
        f"{unified}, or set kubernetes.kubelet.failCgroupV1: false",
    )


def capacity(site: Site, host: Host, facts: Facts) -> Finding:
    """CPUs and memory, as kubeadm wants them."""
    mib, master = facts.memory_kib // 1024, host.is_control_plane
    seen = f"{counted(facts.cpus, 'CPU')}, {size_text(1024 * facts.memory_kib)}"
    if master and (facts.cpus < CPUS or mib < MEMORY_MIB):
        return fail(seen, f"kubeadm refuses a control plane host with less than {CPUS} CPUs and {MEMORY_MIB} MiB")
    if mib < MEMORY_MIB:
        return warn(seen, f"give it {MEMORY_MIB} MiB or more: little room would be left for pods")
    return good(seen)


def runtime(site: Site, host: Host, facts: Facts) -> Finding:
    """Another container runtime beside containerd has programs, networks and sockets of its own."""
    state = facts.units.get("containerd", "unknown")
    others = [path for path in facts.sockets if not path.startswith("/run/containerd/")]
    if others:
        return warn(
            f"another container runtime is here ({listed(others)})",
            "remove it, unless you know that it shares containerd: cluster.prepare configures containerd for Kubernetes",
        )
    return good("containerd runs" if state == "active" else "none; cluster.prepare installs containerd")


def firewall(site: Site, host: Host, facts: Facts) -> Finding:
    """What the other hosts could reach is judged apart; this is what cannot be tried before the pods are there."""
    on = [name for name, there in (("firewalld", facts.units.get("firewalld") == "active"), ("ufw", facts.ufw)) if there]
    if not on:
        return good("no firewalld, no ufw")
    return warn(
        f"{on[0]} runs",
        "let the cluster's hosts and pods through (docs/preflight.md has the ports), the pod network's own protocol included "
        "(flannel: UDP 8472), or switch it off",
    )


def selinux(site: Site, host: Host, facts: Facts) -> Finding:
    """Kubeadm's installation guide asks for permissive mode."""
    if not facts.selinux:
        return good("not enforcing")
    return warn(
        "SELinux is enforcing",
        "kubeadm's guide asks for permissive mode; else install container-selinux and watch ausearch -m avc",
    )
