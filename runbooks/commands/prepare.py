"""What a host needs before kubeadm may run there: kernel, packages, container runtime, images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from runbooks.commands.base import Answer, Command, Probe, script
from runbooks.commands.node import PROGRAMS

MINUTES = 60
MODULES = ("overlay", "br_netfilter")
SYSCTL_FILE = "/etc/sysctl.d/90-ha-runbooks-kubernetes.conf"
CONTAINERD_CONFIG = "/etc/containerd/config.toml"
SOCKET = "/run/containerd/containerd.sock"
RUNTIME = "containerd"
NOT_OFFERED = 66  # packages-pin.sh: no repository has the version


@dataclass(frozen=True, slots=True)
class Kernel:
    """``modules`` that are there, ``differs``: sysctls that are not what the file says, ``swap``: what is swapped to, or would be."""

    modules: frozenset[str]
    differs: tuple[str, ...]
    swap: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Whether containerd (and at boot the kubelet) runs, with the configuration that lies there, and answers."""

    active: str
    enabled: str
    kubelet: str
    loaded: bool
    answers: bool


def kernel() -> Probe[Kernel]:
    """What the kernel has of what Kubernetes needs."""
    return Probe(script("kernel-look", {"MODULES": MODULES, "SYSCTL_FILE": SYSCTL_FILE}), parse_kernel)


def parse_kernel(answer: Answer) -> Kernel:
    """Read lines of ``module NAME``, ``differs KEY is VALUE`` and ``swap WHERE``."""
    lines = [line.partition(" ") for line in answer.stdout.splitlines()]

    def said(word: str) -> tuple[str, ...]:
        return tuple(rest for key, _, rest in lines if key == word)

    return Kernel(frozenset(said("module")), said("differs"), said("swap"))


def make_kernel_ready(swap: str) -> Command:
    """Load the modules, follow the sysctl file, and switch swap off for good when ``swap`` is "off"."""
    return script("kernel-ready", {"MODULES": MODULES, "SYSCTL_FILE": SYSCTL_FILE, "SWAP": swap}, timeout=2 * MINUTES)


def pin_packages(version: str) -> Command:
    """Install kubeadm, kubelet and kubectl in exactly ``version``, held, with containerd; NOT_OFFERED when there is no such thing."""
    variables = {"VERSION": version, "PROGRAMS": PROGRAMS, "RUNTIME": RUNTIME}
    return script("packages-pin", variables, timeout=15 * MINUTES, after=("apt",))


def runtime() -> Probe[Runtime]:
    """What containerd does."""
    return Probe(script("runtime-look", {"CONFIG": CONTAINERD_CONFIG, "SOCKET": SOCKET}), parse_runtime)


def parse_runtime(answer: Answer) -> Runtime:
    """Read lines of ``key value``; ValueError when one is missing."""
    said = dict(line.partition(" ")[::2] for line in answer.stdout.splitlines())
    try:
        return Runtime(
            active=said["active"],
            enabled=said["enabled"],
            kubelet=said["kubelet"],
            loaded=said["loaded"] == "yes",
            answers=said["answers"] == "yes",
        )
    except KeyError as error:
        raise ValueError(f"runtime-look said nothing about {error}") from None


def run_runtime() -> Command:
    """Start containerd with its configuration, now and at every boot, and the kubelet at every boot."""
    return script("runtime-run", {"CONFIG": CONTAINERD_CONFIG}, timeout=2 * MINUTES)


def keep(path: str) -> Command:
    """Keep a copy of the file that was at ``path`` before us, as PATH.before-ha-runbooks."""
    return script("file-keep", {"FILE": path})


def missing_images(images: Sequence[str]) -> Probe[tuple[str, ...]]:
    """Which of ``images`` the container runtime does not have."""
    return Probe(
        replace(script("images-look", {"IMAGES": list(images)}), shown="images-look"), lambda answer: tuple(answer.stdout.split())
    )


def pull_images(images: Sequence[str]) -> Command:
    """Pull those of ``images`` that are missing."""
    return script("images-pull", {"IMAGES": list(images)}, timeout=20 * MINUTES)
