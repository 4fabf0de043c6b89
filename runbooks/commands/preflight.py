"""The facts for the preflight checks, read from each host in one round trip."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace

from runbooks.commands import load, packages, setup_look
from runbooks.commands.base import Answer, Command, Probe, batch, script
from runbooks.commands.preflight_facts import OPTIONS, PROGRAMS, Facts, Fsync, Listener, Packages, Reach, Space
from runbooks.commands.setup_look import sysctls
from runbooks.inventory.checks_ports import API_PORT
from runbooks.inventory.model import Host, Site

CONTAINERD, KUBELET = "/var/lib/containerd", "/var/lib/kubelet"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
# Runtimes that kubeadm detects too: with more than one it fails without criSocket.
OTHER_SOCKETS = {
    "/run/docker.sock": "Docker",
    "/var/run/docker.sock": "Docker",
    "/run/crio/crio.sock": "CRI-O",
    "/run/cri-dockerd.sock": "cri-dockerd",
}
PROXIED = ("containerd", "kubelet")
UNITS = ("firewalld", *PROXIED)
# containerd.io is Docker's build of containerd; either one works.
MANAGED = ("kubeadm", "kubelet", "kubectl")  # in the version of hosts.yaml
PACKAGES = (*MANAGED, "cri-tools", "containerd", "containerd.io")
OF_PROGRAMS = tuple(dict.fromkeys(name for names in PROGRAMS.values() for name in names))

# Official source: https://kubernetes.io/docs/reference/networking/ports-and-protocols/ ; 2381, 10248 and 10249 are metrics and
# health of etcd, kubelet and kube-proxy on loopback; if another program uses them, these do not start either.
ETCD_PORTS = {2379: "etcd", 2380: "etcd", 2381: "etcd"}
CONTROL_PLANE_PORTS = {API_PORT: "kube-apiserver", 10257: "kube-controller-manager", 10259: "kube-scheduler"}
KUBELET_PORTS = {10248: "kubelet", 10250: "kubelet"}
PROXY_PORTS = {10249: "kube-proxy", 10256: "kube-proxy"}


def ports(site: Site, host: Host) -> dict[int, str]:
    """Return the TCP ports that ``host`` will listen on, with the program of each."""
    taken = dict(KUBELET_PORTS)
    if host.is_control_plane:
        taken |= CONTROL_PLANE_PORTS | (ETCD_PORTS if site.kubernetes.etcd == "stacked" else {})
    return taken | (PROXY_PORTS if site.kubernetes.addons.kube_proxy else {})


def peers(site: Site, host: Host) -> dict[Host, tuple[int, ...]]:
    """Return the ports of other hosts that ``host`` must reach, without those of the pod network."""
    wanted: dict[Host, tuple[int, ...]] = {}
    control_plane = host.is_control_plane
    etcd = (2379, 2380) if control_plane and site.kubernetes.etcd == "stacked" else ()
    for peer in site.nodes:
        if peer == host:
            continue
        if peer.is_control_plane:
            wanted[peer] = (*etcd, API_PORT, *((10250,) if control_plane else ()))
        elif control_plane:
            wanted[peer] = (10250,)
    return wanted


def directories(site: Site, host: Host) -> tuple[str, ...]:
    """Return the directories of ``host`` whose data grows."""
    etcd = host.is_control_plane and site.kubernetes.etcd == "stacked"
    return (*((site.kubernetes.etcd_data_dir,) if etcd else ()), site.kubernetes.containerd.root, KUBELET)


def look(site: Site, host: Host, *, disk: bool = True) -> Probe[Facts]:
    """Read all facts about ``host``. With ``disk``, a test writes a few MB beside etcd's directory for two seconds."""
    everything = batch(*(Probe(command, _itself) for command in _parts(site, host)))
    if not disk or site.kubernetes.etcd_data_dir not in directories(site, host):
        return Probe(replace(everything.command, shown="preflight"), lambda answer: parse(everything.parse(answer)))
    writes = Probe(script("preflight-disk", {"DIRECTORY": site.kubernetes.etcd_data_dir}, timeout=40), _itself)
    both = batch(everything, writes, in_turn=True)  # all others would slow these writes down

    def parse_both(answer: Answer) -> Facts:
        said, fsync = both.parse(answer)
        return parse([*said, fsync])

    return Probe(replace(both.command, shown="preflight"), parse_both)


def _parts(site: Site, host: Host) -> list[Command]:
    """Return the scripts in the order of `parse`."""
    endpoint, version = site.endpoint, site.kubernetes.version
    targets = [f"{peer.address} {port}" for peer, those in peers(site, host).items() for port in those]
    others = [str(peer.address) for peer in site.control_plane if peer != host and host in site.control_plane]
    own = {
        "ADDRESS": str(host.address),
        "ENDPOINT_NAME": endpoint.name or "",
        "DIRECTORIES": directories(site, host),
        "DATA": site.kubernetes.etcd_data_dir,
        "SYSCTLS": sysctls(site),
        "UNITS": UNITS,
        "PROXIED": PROXIED,
        "SOCKETS": (CONTAINERD_SOCKET, *OTHER_SOCKETS),
        "OPTIONS": OPTIONS,
        "TOOLS": tuple(PROGRAMS),
    }
    net = {"TARGETS": [f"{endpoint.vip} {endpoint.port}", *targets], "PEERS": others}
    wanted = {"VERSION": version, "PACKAGES": (*PACKAGES, *OF_PROGRAMS), "NEEDED": MANAGED, "TOOLS": tuple(PROGRAMS)}
    return [
        script("preflight", own, after=("cgroup", "container")),
        script("preflight-net", net, timeout=30, after=("knock",)),
        setup_look.look(site, programs=()).command,
        script("preflight-packages", wanted, timeout=90, after=("packages-look",)),
        load.look(site).command,
    ]


def _itself(answer: Answer) -> Answer:
    return answer


TEXTS = ("os", "manager", "kernel", "kernel_config", "hostname", "machine_id", "interface", "attempt")


def parse(answers: Sequence[Answer]) -> Facts:
    """Parse the outputs of the scripts in the order of `look`; that of the disk may be missing. Raises ValueError for a malformed line."""
    facts, net, setup, offered, load_said, *disk = answers
    said, busy = _Lines(facts.stdout), load.parse(load_said)
    if not said.text("kernel"):
        raise ValueError("preflight said nothing about the kernel")
    cgroup, *controllers = said.text("cgroup").split() or [""]
    return Facts(
        **_texts(said),
        container=said.text("container") or "unknown",
        fixed=frozenset(said.all("fixed")),
        cgroup=cgroup,
        controllers=frozenset(controllers),
        kernel_options=frozenset(said.all("kernel_option")),
        programs=frozenset(said.all("program")),
        load=busy,
        spaces=tuple(_space(line) for line in said.all("space")),
        listeners=tuple(_listener(line) for line in said.all("listener")) if said.all("listeners") else None,
        mtu=said.number("mtu"),
        resolved=tuple(dict.fromkeys(said.all("resolved"))),
        units=dict(_words(line, 2) for line in said.all("unit")),
        ufw=bool(said.all("ufw")),
        proxied={unit: rest for unit, _, rest in (line.partition(" ") for line in said.all("proxied"))},
        sockets=said.all("socket"),
        selinux=said.text("selinux") == "1",
        found=said.all("found"),
        etcd_data=said.all("etcd_data"),
        servers=tuple(dict.fromkeys(said.all("server"))),
        ca=said.text("ca").partition(" ")[0],
        reached=_reached(_Lines(net.stdout)),
        rtts={address: (float(ms), how) for address, ms, how in (_words(line, 3) for line in _Lines(net.stdout).all("rtt"))},
        packages=_packages(_Lines(offered.stdout)),
        setup=setup_look.parse(setup),
        fsync=_fsync(disk[0].stdout) if disk else None,
    )


def _texts(said: _Lines) -> dict[str, str]:
    return {name: said.text(name) for name in TEXTS} | {"product_uuid": said.text("product_uuid").lower()}


class _Lines:
    """Lines of ``key value``."""

    def __init__(self, text: str) -> None:
        self._lines = [line.partition(" ")[::2] for line in text.splitlines()]

    def all(self, key: str) -> tuple[str, ...]:
        return tuple(value.strip() for name, value in self._lines if name == key)

    def text(self, key: str) -> str:
        return next(iter(self.all(key)), "")

    def number(self, key: str) -> int:
        return int(self.text(key) or 0)


def _words(line: str, number: int) -> list[str]:
    words = line.split(" ", number - 1)
    if len(words) != number:
        raise ValueError(f"preflight said {line!r}, which has not {number} words")
    return words


def _space(line: str) -> Space:
    directory, kind, *numbers = line.split(None, 6)
    mount = numbers.pop()
    size, free, inodes, inodes_free = (0 if number == "-" else int(number) for number in numbers)
    return Space(directory=directory, mount=mount, kind=kind, size=size, free=free, inodes=inodes, inodes_free=inodes_free)


def _listener(line: str) -> Listener:
    """Read ``[::]:6443 users:(("kube-apiserver",pid=1,fd=7))``."""
    local, program = _words(line, 2)
    address, _, port = local.rpartition(":")
    return Listener(address.strip("[]"), int(port), program.split('"')[1] if '"' in program else "")


def _reached(said: _Lines) -> dict[tuple[str, int], Reach]:
    return {(address, int(port)): how for address, port, how in (_words(line, 3) for line in said.all("reach"))}


def _packages(said: _Lines) -> Packages:
    installed = dict(_words(line, 2) for line in said.all("package"))
    broken = packages.broken(said.all("trouble"))
    lines = [line for line in said.all("offered") if " " in line]
    return Packages(installed=installed, offered=packages.offers(lines, broken), broken=broken)


def _fsync(text: str) -> Fsync:
    said = _Lines(text)
    if buckets := [_words(line, 2) for line in said.all("bucket")]:
        return _counted([(float(edge), float(number)) for edge, number in buckets])
    if encoded := said.text("fio"):
        try:
            job = json.loads(b64decode(encoded))["jobs"][0]["sync"]
            return Fsync(tool="fio", ms=job["lat_ns"]["percentile"]["99.000000"] / 1e6, kind="p99", number=job["lat_ns"]["N"])
        except (LookupError, TypeError, ValueError) as error:
            return Fsync(tool="none", reason=f"fio's report cannot be read ({error})")
    tool, _, rest = said.text("fsync").partition(" ")
    if tool in {"", "none"}:
        return Fsync(tool="none", reason=rest or "nothing measured it")
    kind, ms, number = _words(rest, 3)
    return Fsync(tool=tool, ms=float(ms), kind="mean" if kind == "mean" else "p99", number=int(number))


def _counted(buckets: Sequence[tuple[float, float]]) -> Fsync:
    """Return the 99th percentile of a Prometheus histogram in ms: the upper edge (in seconds) of the bucket that contains it."""
    total = buckets[-1][1]
    edge = next((edge for edge, number in buckets if total and number >= 0.99 * total), 0.0)
    if not total:
        return Fsync(tool="none", reason="etcd has written nothing yet")
    return Fsync(tool="etcd", ms=edge * 1000, kind="p99", number=int(total))
