"""Clusters as they are seen in the middle of an upgrade, for the tests of this wing."""

from __future__ import annotations

from dataclasses import replace

from runbooks.rules.upgrade_seen import CONTROL_PLANE, NodeSeen, Seen, Version

MASTERS, WORKERS = ("m1", "m2", "m3"), ("w1", "w2")


def node(name: str, version: Version | None, **facts) -> NodeSeen:
    master = name.startswith("m")
    parts = dict.fromkeys(CONTROL_PLANE, version) if master else {}
    whole = NodeSeen(
        name=name,
        control_plane=master,
        kubeadm=version,
        kubectl=version,
        kubelet=version,
        kubelet_runs=version,
        proxy=version,
        manifests=parts,
        runs=dict(parts),
    )
    return replace(whole, **facts)


def cluster(version: Version, config: Version | None = None, **nodes: NodeSeen) -> Seen:
    return Seen(nodes=tuple(nodes.get(name) or node(name, version) for name in (*MASTERS, *WORKERS)), config=config or version)


def upgrading(since: Version, to: Version, steps: int) -> Seen:
    """The cluster after so many steps of an upgrade: three for each master's parts, one for kubeadm-config, one per kubelet; then whole."""
    seen = cluster(since)
    nodes = {each.name: each for each in seen.nodes}
    config = since
    for number, (name, part) in enumerate(all_steps()):
        if number >= steps:
            break
        if part == "config":
            config = to
        elif part == "kubelet":
            nodes[name] = replace(nodes[name], kubelet=to, kubelet_runs=to, kubectl=to, proxy=to)
        else:
            old = nodes[name]
            nodes[name] = replace(old, kubeadm=to, manifests={**old.manifests, part: to}, runs={**old.runs, part: to})
    return Seen(nodes=tuple(nodes.values()), config=config)


def all_steps() -> list[tuple[str, str]]:
    first, *others = MASTERS
    return [
        *((first, part) for part in CONTROL_PLANE),
        ("", "config"),
        *((name, part) for name in others for part in CONTROL_PLANE),
        *((name, "kubelet") for name in (*MASTERS, *WORKERS)),
    ]
