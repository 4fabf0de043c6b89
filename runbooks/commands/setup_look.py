"""What was prepared on a host for Kubernetes: whether it holds, and whether it will after the next boot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from runbooks.commands.base import Answer, Probe, script
from runbooks.commands.containerd import Config, parse_config
from runbooks.commands.node import PROGRAMS
from runbooks.inventory.model import Site
from runbooks.inventory.words import sysctl_path

MODULES = ("overlay", "br_netfilter")
# By its name it comes after other files, whatever number these begin with: at boot the last one wins.
SYSCTL_FILE = "/etc/sysctl.d/zz-ha-runbooks-kubernetes.conf"
TIME_SERVICES = ("chronyd", "chrony", "systemd-timesyncd", "ntpd", "ntp", "ntpsec", "openntpd")
# The kernel keeps one switch under both names.
ALIASES = {"net.ipv4.ip_forward": "net.ipv4.conf.all.forwarding"}


@dataclass(frozen=True, slots=True)
class AtBoot:
    """The value that a sysctl gets at the next boot, and the file that sets it."""

    value: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What one host says.

    modules       "there", "loadable" or "missing" by name.
    barred        the file in modprobe.d that keeps a module from being loaded at boot, by module.
    sysctls       the value in force by name, or "missing".
    boot          what the files set at the next boot, by name; no entry where none does, or where systemd cannot tell.
    swap          in use now; ``swap_at_boot``: what switches it on at the next boot.
    loose         programs of Kubernetes that the next upgrade of the system would replace.
    containerd    what containerd makes of its configuration.
    clock         why the clock is not kept in time, or "".
    times         the time services that run; of a container none are asked for.
    synchronized  "yes" or "no", as systemd says; "" where it does not, and in a container.
    """

    modules: dict[str, str]
    barred: dict[str, str]
    sysctls: dict[str, str]
    boot: dict[str, AtBoot]
    swap: tuple[str, ...]
    swap_at_boot: tuple[str, ...]
    loose: tuple[str, ...]
    containerd: Config
    clock: str
    times: tuple[str, ...] = ()
    synchronized: str = ""


def sysctls(site: Site) -> tuple[str, ...]:
    """Return the sysctls that must be 1: bridged traffic passes the firewall rules, and packets of pods are forwarded."""
    six = ("net.ipv6.conf.all.forwarding", "net.ipv6.conf.default.forwarding")  # kubeadm looks at the second one
    forwarding = ("net.ipv4.ip_forward", *(six if site.networks.pods.version == 6 else ()))
    return ("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables", *forwarding)


def look(site: Site, programs: Sequence[str] = PROGRAMS) -> Probe[Setup]:
    """Read what was prepared on a host. Without ``programs`` only the system: neither they nor containerd are looked at."""
    variables = {"MODULES": MODULES, "SYSCTLS": sysctls(site), "PROGRAMS": programs, "TIME_SERVICES": TIME_SERVICES}
    return Probe(
        replace(
            script("setup-look", variables, timeout=30, after=("container", "packages-look", "containerd-dump", "module-look")),
            shown="setup-look",
        ),
        parse,
    )


def parse(answer: Answer) -> Setup:
    """Parse lines of ``key value``; unknown keys are ignored. Raises ValueError for a line without a value that it needs."""
    lines = [line.partition(" ")[::2] for line in answer.stdout.splitlines() if line.strip()]

    def every(key: str) -> tuple[str, ...]:
        return tuple(text for name, text in lines if name == key)

    def pairs(key: str) -> dict[str, str]:
        return dict(_pair(text) for text in every(key))

    values, held = pairs("sysctl"), set(every("held"))
    return Setup(
        modules=pairs("module"),
        barred=pairs("barred"),
        sysctls=values,
        boot=at_boot(every("boot"), list(values)),
        swap=every("swap"),
        swap_at_boot=every("swap_at_boot"),
        loose=tuple(name for name in pairs("package") if name not in held),
        containerd=parse_config(answer.stdout.splitlines()),
        clock=_clock(every("container"), every("time"), every("synchronized")),
        times=every("time"),
        synchronized=next(iter(every("synchronized")), ""),
    )


def _pair(text: str) -> tuple[str, str]:
    first, _, rest = text.partition(" ")
    if not rest:
        raise ValueError(f"setup-look said {text!r}, which has no value")
    return first, rest


def _clock(container: Sequence[str], runs: Sequence[str], synchronized: Sequence[str]) -> str:
    if container not in {("none",), ("unknown",)}:
        return ""  # the machine below keeps the clock
    if not runs:
        return "no time service runs"
    return "the clock is not synchronised" if synchronized == ("no",) else ""


def at_boot(lines: Iterable[str], keys: Sequence[str]) -> dict[str, AtBoot]:
    """Return what systemd-sysctl does with ``keys``, from its configuration: "# FILE" before the assignments of that file, in its order.

    A name that is written out comes before any pattern; of each kind the last one counts. ``-name`` without a value takes it out of patterns.
    Official source: https://www.freedesktop.org/software/systemd/man/latest/sysctl.d.html

    >>> at_boot(["# /a.conf", "net.ipv4.ip_forward = 1", "# /z.conf", "-net/ipv4/ip_forward=0"], ["net.ipv4.ip_forward"])
    {'net.ipv4.ip_forward': AtBoot(value='0', file='/z.conf')}
    >>> at_boot(["# /a.conf", "net.x.y=1", "# /z.conf", "net.x.*=0"], ["net.x.y"])
    {'net.x.y': AtBoot(value='1', file='/a.conf')}
    """
    file = ""
    settings: dict[str, AtBoot | None] = {}
    for line in lines:
        if line.startswith("# "):
            file = line.removeprefix("# ")
            continue
        name, is_set, value = line.strip().partition("=")
        path = sysctl_path(name.strip().removeprefix("-"))
        settings.pop(path, None)  # the later one also takes effect later
        settings[path] = AtBoot(value.strip(), file) if is_set else None
    found = {key: _effect(key, settings) for key in keys}
    return {key: each for key, each in found.items() if each}


def _effect(key: str, settings: dict[str, AtBoot | None]) -> AtBoot | None:
    last = None
    for name in (key, *([ALIASES[key]] if key in ALIASES else [])):
        path = sysctl_path(name)
        matches = [where for where in settings if _matches(path, where)]
        order = [path] if path in settings else matches
        for where in order:
            each = settings[where]
            if each and (last is None or list(settings).index(where) > last[0]):
                last = (list(settings).index(where), each)
    return last[1] if last else None


def _matches(path: str, pattern: str) -> bool:
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(fnmatchcase(part, want) for part, want in zip(parts, wanted, strict=True))
