"""kubeadm on a host: init, join, reset, join credentials, and the images of a version.

Official source: https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/high-availability/
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from runbooks.commands import kubectl
from runbooks.commands.base import Answer, Command, Probe, Secret, cmd, script
from runbooks.commands.yaml_text import mapping
from runbooks.inventory.model import Host
from runbooks.inventory.settings import ETCD_DATA

MINUTES = 60
CA = "/etc/kubernetes/pki/ca.crt"
# Phases of a reset that change the rest of the cluster. Skipped, because there is no cluster, or that part is done separately.
ALONE = ("remove-etcd-member", "update-cluster-status")
DISCOVERY = "/run/ha-runbooks-kubeadm/discovery.conf"  # kubeadm-run.sh writes it
PEM = r"-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+\n-----END CERTIFICATE-----"
TTL = "30m"  # lifetime of a join token: long enough for one join


@dataclass(frozen=True, slots=True)
class Admission:
    """What a host needs to join: a token, and the cluster's CA (PEM) to verify the API server."""

    token: Secret = field(repr=False)
    ca: str


ETCD_JOIN = "kubeadm join phase etcd-join --config=-"
ETCD_JOIN_BEFORE = "kubeadm join phase control-plane-join etcd --config=-"


@dataclass(frozen=True, slots=True)
class Learner:
    """A member of etcd that is to join as a learner, although its kubeadm would add it as a voter.

    config  for `kubeadm init phase etcd local` and `control-plane all`, with `MEMBERS` in the place of etcd's --initial-cluster (`rules.kubeadm_phases`).
    peers   the client URLs of etcd on the other hosts, of which some may not be members yet.
    """

    name: str
    peer_url: str
    peers: tuple[str, ...]
    config: Secret = field(repr=False)


MEMBERS = "@MEMBERS@"
# What is printed for the parts of a join with a Learner, whose name "{}" is.
WITHOUT_ETCD = "--skip-phases=control-plane-prepare/control-plane,control-plane-join/etcd"
ETCD_LEARNER = "etcdctl member add {} --learner; kubeadm init phase etcd local --config=-; etcdctl member promote"
MANIFESTS_LAST = "kubeadm init phase control-plane all --config=-"


def init(config: Secret, skip_phases: Sequence[str] = (), *, cgroup_v1: bool = False, etcd_data: str = ETCD_DATA) -> Command:
    """Return `kubeadm init` with ``config``. Its output with the token and the certificate key is never printed.

    ``cgroup_v1``: kubeadm is to accept cgroup v1, which it would refuse (`kubeadm_checks.accepts_cgroup_v1`). On a host with v2 this
    changes nothing. ``etcd_data``: the dataDir of ``config``.
    """
    words = ["--upload-certs", "--skip-token-print", "--skip-certificate-key-print", "--ignore-preflight-errors=ImagePull"]
    words += [f"--skip-phases={','.join(skip_phases)}"] if skip_phases else []
    return _run("init", config, words, DATA=etcd_data, CGROUP_V1=_yes(cgroup_v1))


def join(
    config: Secret, discovery: str = "", *, cgroup_v1: bool = False, etcd_data: str = ETCD_DATA, learner: Learner | None = None
) -> Command:
    """Return `kubeadm join` with ``config``, which says whether the host joins as a control plane host.

    ``discovery`` is put into the file DISCOVERY while kubeadm runs. ``cgroup_v1``, ``etcd_data``: as in `init`. ``learner``: its
    member of etcd gets a vote when it has caught up; then the API server and what belongs to it starts.
    https://kubernetes.io/docs/reference/setup-tools/kubeadm/kubeadm-join-phase/, https://etcd.io/docs/v3.5/learning/design-learner/
    """
    words = ["--ignore-preflight-errors=ImagePull"]
    command = _run("join", config, words, discovery, DATA=etcd_data, CGROUP_V1=_yes(cgroup_v1), **_member(learner))
    if not learner:
        return command
    return replace(command, shown=f"{command.shown} {WITHOUT_ETCD}; {ETCD_LEARNER.format(learner.name)}; {MANIFESTS_LAST}")


def join_etcd(config: Secret, discovery: str = "") -> Command:
    """Return etcd's part of a join only: add the member, write its manifest, wait for it. Nothing else on the host changes.

    The phase is `control-plane-join etcd` up to 1.32 and `etcd-join` from 1.35 on. 1.33 and 1.34 have both, and the cluster's feature gate
    ControlPlaneKubeletLocalMode decides which of them does something, so both are run there.
    https://kubernetes.io/docs/reference/setup-tools/kubeadm/kubeadm-join-phase/
    """
    return replace(_run("etcd", config, (), discovery), shown=f"{ETCD_JOIN}; {ETCD_JOIN_BEFORE}")


def join_etcd_as(learner: Learner) -> Command:
    """As `join_etcd`, where kubeadm would add the member as a voter. kubeadm only writes the manifest; it needs no token."""
    return replace(_run("etcd", Secret(""), (), "", **_member(learner)), shown=ETCD_LEARNER.format(learner.name))


def wait() -> Command:
    """Return the command that waits for a kubeadm that an earlier session started and that still runs."""
    return _run("wait", Secret(""), ())


def _run(action: str, config: Secret, words: Sequence[str], discovery: str = "", **others: str | Sequence[str]) -> Command:
    given = {"ACTION": action, "CONFIG": config, "DISCOVERY": discovery, "WORDS": list(words), "DATA": ETCD_DATA, "CGROUP_V1": ""}
    shown = " ".join(["kubeadm", action, "--config=-", *words] if words else ["kubeadm-run", action])
    variables = given | _member(None) | others
    return replace(
        script("kubeadm-run", variables, timeout=15 * MINUTES, after=("cgroup", "kubeadm-patches", "etcd-learner")), shown=shown
    )


def _yes(on: bool) -> str:
    return "yes" if on else ""


def _member(learner: Learner | None) -> dict[str, str | Sequence[str]]:
    if not learner:
        return {"MEMBER": "", "PEER_URL": "", "PEERS": [], "PHASES_CONFIG": ""}
    return {"MEMBER": learner.name, "PEER_URL": learner.peer_url, "PEERS": learner.peers, "PHASES_CONFIG": learner.config}


def admit(api_host: Host, config: Secret | None) -> Command:
    """Make a join token on ``api_host``; with ``config``, also upload the control plane's certificates, encrypted with its key, for two hours."""
    variables = {"CONFIG": config or "", "TTL": TTL, "SERVER": kubectl.url(api_host.address)}
    shown = "kubeadm token create" + ("; kubeadm init phase upload-certs --upload-certs" if config else "")
    return replace(script("kubeadm-admit", variables, timeout=2 * MINUTES, after=("api-ask",)), shown=shown)


def parse_admission(answer: Answer) -> Admission:
    """Parse a line with the token and the certificates of the CA. Raises ValueError, without the output, for anything else."""
    token, _, rest = answer.stdout.partition("\n")
    if not re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", token.strip()):
        raise ValueError("kubeadm made no join token")
    return Admission(Secret(token.strip()), parse_ca(Answer(0, rest)))


def cluster_ca() -> Probe[str]:
    """Return the certificates (PEM) of the cluster's CA on a control plane host."""
    return Probe(cmd("cat", CA), parse_ca)


def parse_ca(answer: Answer) -> str:
    """Return the certificates, without what stands between them. Raises ValueError when there is none."""
    found = re.findall(PEM, answer.stdout.replace("\r", ""))
    if not found:
        raise ValueError(f"{CA} has no certificate")
    return "".join(f"{each}\n" for each in found)


def reset(skip_phases: Sequence[str] = ()) -> Command:
    """Return `kubeadm reset` plus the removal of the files that it leaves. Deletes all data of etcd on the host.

    ``skip_phases`` that this kubeadm does not know are ignored.
    """
    return replace(
        script("kubeadm-reset", {"PHASES": list(skip_phases)}, timeout=5 * MINUTES, after=("etcd-data-dir",)),
        shown="kubeadm reset --force",
    )


def version() -> Probe[str]:
    """Return the version of the installed kubeadm, such as "v1.20.2"."""
    return Probe(cmd("kubeadm", "version", "-o", "short"), lambda answer: answer.stdout.strip())


def etcd_tag(api_host: Host) -> Probe[str]:
    """Return the tag of etcd's image in the cluster's configuration, which kubeadm uses for a host that joins; "" for kubeadm's own."""

    def tag(found: Any) -> str:
        etcd = mapping(found["data"]["ClusterConfiguration"]).get("etcd")
        local = etcd.get("local") if isinstance(etcd, dict) else None
        return str(local.get("imageTag") or "") if isinstance(local, dict) else ""

    return kubectl.read_json(api_host, "-n", "kube-system", "get", "configmap", "kubeadm-config", parse=tag)


def feature_gate(api_host: Host, name: str) -> Probe[str]:
    """Return what the cluster's configuration says of the feature gate ``name``: "true", "false", or "" for nothing."""

    def said(found: Any) -> str:
        gates = mapping(found["data"]["ClusterConfiguration"]).get("featureGates")
        return str(gates.get(name, "")).lower() if isinstance(gates, dict) else ""

    return kubectl.read_json(api_host, "-n", "kube-system", "get", "configmap", "kubeadm-config", parse=said)


def kubelets_take_cgroup_v1(api_host: Host) -> Probe[bool]:
    """Return whether the configuration that the cluster gives to kubelets (1.24 and newer) says ``failCgroupV1: false``."""

    def says(found: Any) -> bool:
        return str(mapping(found["data"]["kubelet"]).get("failCgroupV1", "")).lower() == "false"

    return kubectl.read_json(api_host, "-n", "kube-system", "get", "configmap", "kubelet-config", parse=says)


def cgroup_version() -> Probe[str]:
    """Return which cgroups a host has, "v1" or "v2"."""
    command = replace(script("cgroup-version", {}, after=("cgroup",)), shown="stat -fc %T /sys/fs/cgroup")
    return Probe(command, lambda answer: answer.stdout.strip())


def images(kubernetes: str, repository: str | None = None) -> Probe[tuple[str, ...]]:
    """Return the images that kubeadm uses for version ``kubernetes`` ("1.20.2"), in kubeadm's order."""
    words = [f"--kubernetes-version=v{kubernetes}", *([f"--image-repository={repository}"] if repository else [])]
    return Probe(cmd("kubeadm", "config", "images", "list", *words), parse_images)


def parse_images(answer: Answer) -> tuple[str, ...]:
    """Parse one image reference a line; kubeadm's warnings are ignored."""
    return tuple(line.strip() for line in answer.stdout.splitlines() if re.fullmatch(r"[\w./:@-]+:[\w.@:-]+", line.strip()))
