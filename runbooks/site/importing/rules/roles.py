"""Which groups of an inventory are the control plane, the workers and the load balancers, by the words that people use. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "control-plane": ("controlplane", "master", "controller", "cp", "controlplanenode", "masternode", "controlnode", "manager"),
    "worker": ("worker", "workernode", "node", "minion", "agent", "compute", "computenode"),
    "lb": ("lb", "loadbalancer", "balancer", "haproxy", "keepalived", "apilb", "lbapi", "proxy", "haproxylb", "lbnode"),
}
VAGUE: Final = frozenset({"node"})  # of the groups that mean workers, also the word for all nodes
FRONT: Final = re.compile(r"^(kubernetes|kube|k8s|k3s|rke2?)(?=.)")


def plain(group: str) -> str:
    """Return the word in the name of a group.

    >>> [plain(each) for each in ("kube_control_plane", "k8s-masters", "Load_Balancers", "LBs")]
    ['controlplane', 'master', 'loadbalancer', 'lb']
    """
    word = FRONT.sub("", re.sub(r"[^a-z0-9]", "", group.lower()))
    return word.removesuffix("s") if len(word) > 2 else word


def by_words(groups: Iterable[str]) -> dict[str, list[str]]:
    """Return the groups of each role that their names speak of, in the order of the file. A word for workers goes before "nodes".

    >>> by_words(["masters", "nodes", "workers", "db"])
    {'control-plane': ['masters'], 'worker': ['workers'], 'lb': []}
    """
    given = list(groups)
    found = {role: [group for group in given if plain(group) in words] for role, words in WORDS.items()}
    clear = [group for group in found["worker"] if plain(group) not in VAGUE]
    return found | {"worker": clear or found["worker"]}
