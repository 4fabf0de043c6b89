"""Preflight checks of one host: system, kernel, time, capacity, runtime. Pure: facts in, a finding out."""

from __future__ import annotations

from dataclasses import replace

from runbooks.commands.baseline import UNITS
from runbooks.commands.preflight_facts import Facts
from runbooks.commands.setup_look import SYSCTL_FILE, sysctls
from runbooks.inventory.model import Host, Site
from runbooks.rules import host_setup
from runbooks.rules import load as load_rules
from runbooks.rules.finding import Finding, at_least, worst
from runbooks.rules.preflight_finding import fail, good, warn
from runbooks.text import counted, listed, size_text

# Official source: https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/ ; the numbers are those of
# kubeadm's own preflight (NumCPU 2, Mem 1700 MiB), which refuses a control plane host with less.
CPUS = 2
MEMORY_MIB = 1700
KNOWN_MANAGERS = ("apt-get", "dnf", "yum")
ADDRESS_IS_WRONG = "correct `address` in hosts.yaml, or give the host that address: etcd and the API server listen on it"


def system(site: Site, host: Host, facts: Facts) -> Finding:
    """Fails without apt, dnf or yum, which install the packages."""
    if facts.manager in KNOWN_MANAGERS:
        return good(f"{facts.os or 'unknown system'}, {facts.manager}")
    return fail(
        f"{facts.os or 'unknown system'}: no apt, dnf or yum",
        "use a distribution of the Debian or Red Hat family",
    )


def hostname(site: Site, host: Host, facts: Facts) -> Finding:
    """Warns when the host's own name differs: the node is named as in hosts.yaml, but logs show the host's own name."""
    if host.is_called(facts.hostname):
        return good(facts.hostname)
    return warn(
        f"the host calls itself {facts.hostname or 'nothing'}",
        f"if this is the right machine: hostnamectl set-hostname {host.name}",
    )


def address(site: Site, host: Host, facts: Facts) -> Finding:
    """Fails when no interface has the address of hosts.yaml."""
    if not facts.interface:
        return fail(f"no interface has {host.address}", ADDRESS_IS_WRONG)
    return good(f"{facts.interface}, MTU {facts.mtu}")


def time_service(site: Site, host: Host, facts: Facts) -> Finding:
    """Warns without a synchronised clock: certificates and leases need clocks that agree."""
    running = facts.setup.times
    if facts.container not in {"none", "unknown"}:
        return good("a container: the machine below it keeps the clock")
    time = site.baseline.time
    if time and not set(UNITS[time.service]) & set(running):
        return good(f"{listed(running) or 'none runs'}; cluster.prepare installs and starts {time.service}, as hosts.yaml says")
    if not running:
        return warn(
            "no time service runs", "install and enable chrony; or let cluster.prepare do it: baseline.time in hosts.yaml"
        )
    if facts.setup.synchronized != "yes":
        servers = f"do {listed(time.servers)} answer? " if time and time.servers else ""
        return warn(f"{running[0]} runs, but the clock is not synchronised (yet)", f"{servers}{host_setup.WHY_NOT_SYNCHRONISED}")
    return good(f"{running[0]}, synchronised")


def swap(site: Site, host: Host, facts: Facts) -> Finding:
    """Never fails: cluster.prepare switches swap off, unless ``kubernetes.swap`` is "keep"."""
    swaps = facts.setup.swap
    if not swaps:
        return good("none")
    if site.kubernetes.swap == "keep":
        return good(f"on ({listed(swaps)}), and kept as hosts.yaml says")
    return good(f"on ({listed(swaps)}); cluster.prepare switches it off")


def modules(site: Site, host: Host, facts: Facts) -> Finding:
    """Fails when overlay, br_netfilter or forwarding is missing and cluster.prepare cannot switch it on."""
    found = [
        fail(
            f"the kernel has no {name}", f"install the kernel's modules (linux-modules-extra, kernel-modules) that have {name}.ko"
        )
        for name, state in facts.setup.modules.items()
        if state == "missing"
    ]
    wrong = {name: value for name in sysctls(site) if (value := facts.setup.sysctls.get(name, "missing")) not in {"1", "missing"}}
    found += [
        fail(f"{name} is {value}, and cannot be changed here", f"set {name} = 1 where this container's kernel is configured")
        for name, value in wrong.items()
        if name in facts.fixed
    ]
    later = [*(name for name, state in facts.setup.modules.items() if state == "loadable"), *wrong]
    note = f"; cluster.prepare sets {listed(later)}" if later else ""
    return worst(found, otherwise=f"{listed(facts.setup.modules)}{note}")


def at_boot(site: Site, host: Host, facts: Facts) -> Finding:
    """Fails when a file undoes at boot what cluster.prepare sets; warns when the file of cluster.prepare comes after it."""
    lost = {key: each for key, each in facts.setup.boot.items() if each.value != "1"}
    found = [
        fail(f"{module} is not loaded at boot: {file} forbids it", f"remove that line from {file}")
        for module, file in facts.setup.barred.items()
    ]
    for key, each in lost.items():
        seen = f"{each.file} sets {key} = {each.value} at boot"
        if host_setup.outranks(each.file):
            found.append(
                fail(seen, f"remove that line from {each.file}: it comes even after the file of cluster.prepare ({SYSCTL_FILE})")
            )
        else:
            found.append(
                warn(seen, f"cluster.prepare writes {SYSCTL_FILE}, which comes after it; better remove that line as well")
            )
    return worst(found, otherwise="nothing undoes what cluster.prepare sets")


def capacity(site: Site, host: Host, facts: Facts) -> Finding:
    """Fails on a control plane host below kubeadm's minimum of CPUs and memory; warns on a worker with little memory."""
    cpus, mib = facts.load.cores, facts.load.memory // 1024
    seen = f"{counted(cpus, 'CPU')}, {size_text(1024 * facts.load.memory)}"
    if host.is_control_plane and (cpus < CPUS or mib < MEMORY_MIB):
        return fail(seen, f"kubeadm refuses a control plane host with less than {CPUS} CPUs and {MEMORY_MIB} MiB")
    if mib < MEMORY_MIB:
        return warn(seen, f"give it {MEMORY_MIB} MiB or more, or little memory is left for pods")
    return good(seen)


def load(site: Site, host: Host, facts: Facts) -> Finding:
    """Warns when the host is overloaded before anything runs there: an installation, and etcd after it, would time out."""
    found = list(load_rules.strains(facts.load))
    if at_least("warn", found):
        return replace(worst(found), fix=f"on {host}: {at_least('warn', found)[0].fix}")
    return good(f"{load_rules.per_core(facts.load)[0]:.1f} per core")


def runtime(site: Site, host: Host, facts: Facts) -> Finding:
    """Warns about a second container runtime beside containerd."""
    state = facts.units.get("containerd", "unknown")
    others = [path for path in facts.sockets if not path.startswith("/run/containerd/")]
    if others:
        return warn(
            f"another container runtime is installed ({listed(others)})",
            "remove it, unless it uses this containerd and works with the configuration that cluster.prepare writes",
        )
    return good("containerd runs" if state == "active" else "none; cluster.prepare installs containerd")


def firewall(site: Site, host: Host, facts: Facts) -> Finding:
    """Warns about a running firewall: traffic between pods cannot be tested yet. `reachable` tests the hosts' ports."""
    on = [name for name, there in (("firewalld", facts.units.get("firewalld") == "active"), ("ufw", facts.ufw)) if there]
    if not on:
        return good("no firewalld, no ufw")
    return warn(
        f"{on[0]} runs",
        "let the cluster's hosts and pods through (docs/preflight.md has the ports), the pod network's own protocol included "
        "(flannel: UDP 8472), or switch it off",
    )


def selinux(site: Site, host: Host, facts: Facts) -> Finding:
    """Warns when SELinux is enforcing: kubeadm's installation guide asks for permissive mode."""
    if not facts.selinux:
        return good("not enforcing")
    return warn(
        "SELinux is enforcing",
        "kubeadm's guide asks for permissive mode; else install container-selinux and watch ausearch -m avc",
    )
