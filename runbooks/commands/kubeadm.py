"""kubeadm on a host: init, join, reset, what a join needs, and the images of a version.

Official source: https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/high-availability/
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from runbooks.commands.base import Answer, Command, Probe, Secret, cmd, script

MINUTES = 60
# Phases of a reset that talk to the rest of the cluster: left out where there is none, or where its side is done already.
ALONE = ("remove-etcd-member", "update-cluster-status")
TTL = "30m"  # of a token: long enough for one join; a token that outlives it is a door left open


@dataclass(frozen=True, slots=True)
class Admission:
    """What a host needs to join: a token, and the hash of the cluster CA's public key, which it checks before it believes."""

    token: Secret = field(repr=False)
    ca_hash: str


def init(config: Secret, skip_phases: Sequence[str] = ()) -> Command:
    """`kubeadm init` with ``config``. Its advice, which holds a token and the certificate key, is never printed."""
    words = ["--upload-certs", "--skip-token-print", "--skip-certificate-key-print", "--ignore-preflight-errors=ImagePull"]
    words += [f"--skip-phases={','.join(skip_phases)}"] if skip_phases else []
    return _run("init", config, words)


def join(config: Secret) -> Command:
    """`kubeadm join` with ``config``; as a control plane host when it has a part for that."""
    return _run("join", config, ["--ignore-preflight-errors=ImagePull"])


def join_etcd(config: Secret) -> Command:
    """Only etcd's part of a join: make the host's member known, write its manifest, wait for it. The rest of the host stays.

    https://kubernetes.io/docs/reference/setup-tools/kubeadm/kubeadm-join-phase/
    """
    variables = {"ACTION": "etcd", "CONFIG": config, "WORDS": []}
    return replace(
        script("kubeadm-run", variables, timeout=15 * MINUTES), shown="kubeadm join phase control-plane-join etcd --config=-"
    )


def wait() -> Command:
    """Wait for the `kubeadm` that an earlier command of ours started, and that still runs though its operator was lost."""
    return _run("wait", Secret(""), ())


def _run(action: str, config: Secret, words: Sequence[str]) -> Command:
    variables = {"ACTION": action, "CONFIG": config, "WORDS": list(words)}
    shown = " ".join(["kubeadm", action, "--config=-", *words] if words else ["kubeadm-run", action])
    return replace(script("kubeadm-run", variables, timeout=15 * MINUTES), shown=shown)


def admit(config: Secret | None) -> Command:
    """Make a join token; with ``config``, also offer the control plane's certificates under the key in it, for two hours."""
    shown = "kubeadm token create" + ("; kubeadm init phase upload-certs --upload-certs" if config else "")
    return replace(script("kubeadm-admit", {"CONFIG": config or "", "TTL": TTL}, timeout=2 * MINUTES), shown=shown)


def parse_admission(answer: Answer) -> Admission:
    """Read "token hash". Raises ValueError (without the words) on anything else."""
    found = re.fullmatch(r"([a-z0-9]{6}\.[a-z0-9]{16}) ([0-9a-f]{64})", answer.stdout.strip())
    if not found:
        raise ValueError("kubeadm made no join token")
    return Admission(Secret(found[1]), f"sha256:{found[2]}")


def reset(skip_phases: Sequence[str] = ()) -> Command:
    """`kubeadm reset`, and what it leaves behind. ``skip_phases`` that this kubeadm does not have are left alone."""
    return replace(script("kubeadm-reset", {"PHASES": list(skip_phases)}, timeout=5 * MINUTES), shown="kubeadm reset --force")


def version() -> Probe[str]:
    """The version of the kubeadm that is installed, such as "v1.20.2"."""
    return Probe(cmd("kubeadm", "version", "-o", "short"), lambda answer: answer.stdout.strip())


def images(kubernetes: str, repository: str | None = None) -> Probe[tuple[str, ...]]:
    """The images that kubeadm uses for version ``kubernetes`` ("1.20.2"), in its own order."""
    words = [f"--kubernetes-version=v{kubernetes}", *([f"--image-repository={repository}"] if repository else [])]
    return Probe(cmd("kubeadm", "config", "images", "list", *words), parse_images)


def parse_images(answer: Answer) -> tuple[str, ...]:
    """Read one image reference a line; warnings of kubeadm's are left alone."""
    return tuple(line.strip() for line in answer.stdout.splitlines() if re.fullmatch(r"[\w./:@-]+:[\w.@:-]+", line.strip()))
