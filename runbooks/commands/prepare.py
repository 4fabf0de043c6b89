"""What a host needs before kubeadm can run: kernel, packages, container runtime, images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from runbooks.commands import files
from runbooks.commands.base import Answer, Command, Probe, cmd, following, script
from runbooks.commands.containerd import Config, parse_config
from runbooks.commands.files import File
from runbooks.commands.node import PROGRAMS
from runbooks.commands.packages import PATIENCE_S
from runbooks.commands.preflight_facts import PROGRAMS as OF_PROGRAMS
from runbooks.commands.setup_look import MODULES, SYSCTL_FILE

MINUTES = 60
CONTAINERD_CONFIG = "/etc/containerd/config.toml"
SOCKET = "/run/containerd/containerd.sock"
RUNTIME = "containerd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The state of containerd: running, enabled at boot (like the kubelet), current configuration loaded, answering; what it makes of it."""

    active: str
    enabled: str
    kubelet: str
    loaded: bool
    answers: bool
    config: Config


def make_kernel_ready(swap: str) -> Command:
    """Load the modules, apply the sysctl file and, when ``swap`` is "off", switch swap off permanently ("keep" leaves it)."""
    return script("kernel-ready", {"MODULES": MODULES, "SYSCTL_FILE": SYSCTL_FILE, "SWAP": swap}, timeout=2 * MINUTES)


def pin_packages(version: str, tools: Sequence[str] = (), *, programs: Sequence[str] = PROGRAMS) -> Command:
    """Install and hold ``programs`` in ``version``, with containerd if there is none. Exits packages.NOT_OFFERED when none has it.

    ``programs``: some of kubeadm, kubelet and kubectl; the others stay as they are. Also installs the packages of those ``tools`` (programs
    of `OF_PROGRAMS`) that the host does not have.
    """
    needed = [" ".join([name, *OF_PROGRAMS[name][:2]]) for name in tools]
    variables = {
        "VERSION": version,
        "PROGRAMS": programs,
        "RUNTIME": RUNTIME,
        "TOOLS": needed,
        "PATIENCE": str(PATIENCE_S),
        "ONLY_FETCH": "",
    }
    return script("packages-pin", variables, timeout=20 * MINUTES, after=("packages",))


def fetch_packages(version: str, programs: Sequence[str]) -> Command:
    """Download the packages of ``programs`` in ``version`` and install nothing, so that `pin_packages` waits for no server later.

    Exits packages.NOT_OFFERED when no repository has them.
    """
    variables = {
        "VERSION": version,
        "PROGRAMS": programs,
        "RUNTIME": "",
        "TOOLS": [],
        "PATIENCE": str(PATIENCE_S),
        "ONLY_FETCH": "yes",
    }
    command = script("packages-pin", variables, timeout=20 * MINUTES, after=("packages",))
    return replace(command, shown=f"download {' '.join(programs)} {version}")


def missing_programs(programs: Sequence[str]) -> Probe[tuple[str, ...]]:
    """Read which of ``programs`` the host does not have."""
    command = replace(script("programs-missing", {"TOOLS": programs}), shown=f"command -v {' '.join(programs)}")
    return Probe(command, lambda answer: tuple(answer.stdout.split()))


def runtime() -> Probe[Runtime]:
    """Read the state of containerd."""
    variables = {"CONFIG": CONTAINERD_CONFIG, "SOCKET": SOCKET}
    return Probe(
        replace(script("runtime-look", variables, after=("containerd-dump", "runtime-written")), shown="runtime-look"),
        parse_runtime,
    )


def parse_runtime(answer: Answer) -> Runtime:
    """Parse lines of ``key value``. Raises ValueError when one is missing."""
    said = dict(line.partition(" ")[::2] for line in answer.stdout.splitlines())
    try:
        return Runtime(
            active=said["active"],
            enabled=said["enabled"],
            kubelet=said["kubelet"],
            loaded=said["loaded"] == "yes",
            answers=said["answers"] == "yes",
            config=parse_config(answer.stdout.splitlines()),
        )
    except KeyError as error:
        raise ValueError(f"runtime-look said nothing about {error}") from None


def place_and_restart(config: File) -> Command:
    """Write containerd's file, and restart containerd if it runs, so that it forgets what the old one had."""
    restart = cmd("systemctl", "try-restart", "containerd", timeout=2 * MINUTES)
    return replace(
        following(files.place([config]), restart), shown=f"files-place {config.path}; systemctl try-restart containerd"
    )


def run_runtime() -> Command:
    """Start containerd with its configuration, now and at every boot, and the kubelet at every boot."""
    variables = {"CONFIG": CONTAINERD_CONFIG, "WITHIN": "60"}
    return replace(
        script("runtime-run", variables, timeout=3 * MINUTES, after=("runtime-written",)), shown="systemctl restart containerd"
    )


def keep(path: str) -> Command:
    """Keep a copy of the original file at ``path`` as PATH.before-ha-runbooks."""
    return script("file-keep", {"FILE": path})


def missing_images(images: Sequence[str]) -> Probe[tuple[str, ...]]:
    """Read which of ``images`` the container runtime does not have."""
    return Probe(
        replace(script("images-look", {"IMAGES": list(images)}), shown="images-look"), lambda answer: tuple(answer.stdout.split())
    )


def pull_images(images: Sequence[str]) -> Command:
    """Pull the missing ones of ``images``."""
    return script("images-pull", {"IMAGES": list(images)}, timeout=20 * MINUTES)
