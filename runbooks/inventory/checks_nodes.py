"""Checks of labels, annotations and taints of nodes: valid for Kubernetes, and not what others write. Pure."""

import re
from collections.abc import Iterator
from typing import Final

from runbooks.inventory.draft import Draft
from runbooks.inventory.problems import Finding, quoted
from runbooks.inventory.words import LABEL_KEY, LABEL_VALUE

Findings = Iterator[Finding]
ROLES: Final = ("control_plane", "worker")
KEY: Final = re.compile(rf"{LABEL_KEY}\Z")
VALUE: Final = re.compile(rf"{LABEL_VALUE}\Z")
KEY_WORDS: Final = "letters, digits and . _ - (63 at most), perhaps a DNS name and a / before it"
MOST_ANNOTATIONS: Final = (
    200_000  # bytes; Kubernetes takes 256 KiB for all of an object, and software on the node writes some itself
)
# The kubelet and kubeadm set these, and the cluster's taints by the state of a node.
# https://kubernetes.io/docs/reference/labels-annotations-taints/
SET_BY_OTHERS: Final = {
    "labels": re.compile(
        r"(beta\.)?kubernetes\.io/(hostname|os|arch)\Z|node-role\.kubernetes\.io/(control-plane|master)\Z"
        r"|node\.kubernetes\.io/exclude-from-external-load-balancers\Z"
    ),
    "annotations": re.compile(
        r"ha-runbooks/|kubeadm\.alpha\.kubernetes\.io/|node\.alpha\.kubernetes\.io/|volumes\.kubernetes\.io/|csi\.volume\."
    ),
    "taints": re.compile(
        r"node\.kubernetes\.io/|node\.cloudprovider\.kubernetes\.io/|node-role\.kubernetes\.io/(control-plane|master)[=:]"
    ),
}


def only_nodes_have_them(draft: Draft) -> Findings:
    """A load balancer that is no node has no Node object, no kubelet, and nothing that kubeadm writes."""
    for host in draft.hosts:
        if host.roles is None or {"control-plane", "worker"} & set(host.roles):
            continue
        for kind in (*SET_BY_OTHERS, "kubelet", "patches"):
            if host.given(kind) and draft.values.get(f"{host.key}.{kind}", True):
                yield Finding(
                    f"{host.key}.{kind}", f"{host} is no node of the cluster: delete {kind}, or give it the role worker"
                )


def keys_and_values_are_right(draft: Draft) -> Findings:
    """Keys as Kubernetes takes them, values of labels too; none that the kubelet, kubeadm or the cluster set."""
    for group in _groups(draft):
        for kind in ("labels", "annotations"):
            given = draft.group(f"{group}.{kind}")
            for key, value in given.items():
                where = f"{group}.{kind}.{quoted(key)}"
                if not KEY.match(key):
                    yield Finding(where, f"{quoted(key)} is no key of {kind}: {KEY_WORDS}")
                elif SET_BY_OTHERS[kind].match(key):
                    yield Finding(where, f"{key} is set by Kubernetes or this tool itself: delete the line")
                elif kind == "labels" and not VALUE.match(str(value)):
                    yield Finding(
                        where,
                        f"{quoted(str(value))} is no value of a label: letters, digits and inner . _ - (63 at most), or empty",
                    )
            if kind == "annotations" and sum(len(f"{key}{value}".encode()) for key, value in given.items()) > MOST_ANNOTATIONS:
                yield Finding(
                    f"{group}.{kind}", f"they have more than {MOST_ANNOTATIONS} bytes, and Kubernetes takes 256 KiB for a node"
                )
        taints = draft.values.get(f"{group}.taints")
        yield from _taints(f"{group}.taints", taints if isinstance(taints, tuple) else ())


def _taints(key: str, taints: tuple[str, ...]) -> Findings:
    seen: dict[tuple[str, str], str] = {}
    for number, text in enumerate(taints):
        what = (text.partition(":")[0].partition("=")[0], text.rpartition(":")[2])
        if SET_BY_OTHERS["taints"].match(text):
            yield Finding(
                f"{key}[{number}]", f"{text} is set by Kubernetes, by the role or the state of the node: delete the line"
            )
        elif what in seen:
            yield Finding(f"{key}[{number}]", f"{text}: {seen[what]} has the same key and effect")
        seen.setdefault(what, text)


def _groups(draft: Draft) -> Iterator[str]:
    yield from (f"roles.{role}" for role in ROLES)
    yield from (host.key for host in draft.hosts)


CHECKS: Final = (only_nodes_have_them, keys_and_values_are_right)
