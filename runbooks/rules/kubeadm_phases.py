"""Configurations for single phases of kubeadm on a host that is in the cluster, or joins it. Pure."""

from __future__ import annotations

from runbooks.commands.base import Secret
from runbooks.commands.kubeadm import MEMBERS, Learner
from runbooks.inventory.checks_ports import API_PORT
from runbooks.inventory.model import Host, Site
from runbooks.inventory.words import literal
from runbooks.rules import kubeadm
from runbooks.rules.kubeadm_documents import documents, one


def with_host(configuration: str, host: Host, node: str) -> str:
    """Return ``configuration`` with the InitConfiguration of ``host``, as kubeadm's phases take it. ``node``: the name of its Node."""
    version = str(one(configuration)["apiVersion"])
    init = {
        "apiVersion": version,
        "kind": "InitConfiguration",
        "localAPIEndpoint": {"advertiseAddress": str(host.address), "bindPort": API_PORT},
        "nodeRegistration": {"name": node, "criSocket": kubeadm.CRI_SOCKET},
    }
    return f"{documents(init)}---\n{configuration.rstrip()}\n"


def learner(site: Site, host: Host, live: str, asked: Host) -> Learner | None:
    """Return what the member of etcd of ``host`` joins with; None when etcd has no API over HTTP, so only kubeadm can add the member.

    ``live``: the cluster's ClusterConfiguration, up to v1beta3. ``asked``: the host whose member is asked first.
    `kubeadm init phase etcd local` writes for a member that joins what a join writes, when it gets these two flags.
    Raises ValueError when ``live`` is no mapping, or is of v1beta4, whose kubeadm adds learners itself.
    """
    there = one(live)
    if str(there["apiVersion"]).endswith("v1beta4"):
        raise ValueError("this kubeadm adds the member of etcd itself")
    etcd = there.get("etcd") or {}
    local = etcd.get("local") or {}
    given = local.get("extraArgs") or {}
    if str(given.get("enable-grpc-gateway", "true")).lower() in {"false", "f", "0"}:
        return None
    flags = {**given, "initial-cluster": MEMBERS, "initial-cluster-state": "existing"}
    config = documents({**there, "etcd": {**etcd, "local": {**local, "extraArgs": flags}}})
    others = sorted((each for each in site.control_plane if each != host), key=lambda each: each != asked)
    urls = tuple(f"https://{literal(each.address)}:2379" for each in others)
    return Learner(host.name, f"https://{literal(host.address)}:2380", urls, Secret(with_host(config, host, host.name)))


def shown_learner(site: Site, host: Host) -> Learner | None:
    """Return, for a plan and for the pages, as what ``host`` joins etcd, None where kubeadm does all of it."""
    return Learner(host.name, "", (), Secret("")) if kubeadm.would_add_voter(site, host) else None
