"""What differs between a site as it is and as this tool's commands would have it, each with its risk. Pure.

Only what `inv doctor` does not know, which looks at the site in the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from runbooks.commands import credentials
from runbooks.rules.finding import Finding, ordered
from runbooks.site.adopt.rules import differences_lb, proxy
from runbooks.site.adopt.rules.seen import Seen
from runbooks.site.withheld import WAY_OUT
from runbooks.text import counted, listed, printable

CONTROL_PLANE: Final = "inv cluster.reconfigure --only control-plane"


def findings(seen: Seen) -> list[Finding]:
    """Return all differences, the most severe first."""
    return ordered(
        together([*_etcd(seen), *differences_lb.findings(seen), *_runtime(seen), *_api(seen), *_proxies(seen), *_unread(seen)])
    )


def said_of(seen: Seen, withheld: Mapping[str, str]) -> list[Finding]:
    """Return all differences, and first of their severity what is not in the file since it has a secret. ``withheld``: why, by key."""
    keys = {
        key: why for key, why in withheld.items() if not key.startswith("baseline.proxy.")
    }  # `proxy.unfit` says these by host
    return ordered([*(_withheld(key, why) for key, why in keys.items()), *findings(seen)])


def _withheld(key: str, why: str) -> Finding:
    flag = key.startswith("kubernetes.extra_args.")
    return Finding(
        "warn",
        topic="secret",
        seen=f"{key} has {why}: it is not in the file",
        why="others may read hosts.yaml. The flag stays in force: only inv cluster.reconfigure --drop takes it out"
        if flag
        else "",
        fix=WAY_OUT,
    )


def together(found: Iterable[Finding]) -> list[Finding]:
    """Return one finding for those that say the same of several hosts.

    >>> [each.host for each in together([Finding("note", host="a", seen="x"), Finding("note", host="b", seen="x")])]
    ['a, b']
    """
    hosts: dict[Finding, list[str]] = {}
    for each in found:
        hosts.setdefault(replace(each, host="", seen=printable(each.seen), fix=printable(each.fix)), []).append(each.host)
    return [replace(each, host=printable(listed(filter(None, names)))) for each, names in hosts.items()]


def _etcd(seen: Seen) -> Iterator[Finding]:
    if seen.cluster.settings.external_etcd:
        where = seen.cluster.part("etcd.external.endpoints")
        yield Finding(
            "fail",
            topic="etcd",
            seen=credentials.hidden(f"etcd is external: {listed(where) if isinstance(where, list) else where}"),
            why="backup, recover.* and upgrade.* need etcd on the control plane hosts; they refuse this site and change nothing",
            fix="back up that etcd as before",
        )
        return
    for file, hosts in _by_value({name: tuple(each.look.snapshots.items()) for name, each in seen.read().items()}).items():
        yield _snapshot(file, hosts)


def _snapshot(found: tuple[str, bool], hosts: list[str]) -> Finding:
    path, keys = found
    return Finding(
        "note" if keys else "warn",
        topic="backup",
        host=listed(hosts),
        seen=f"{path} makes snapshots of etcd" + ("" if keys else ", and copies no certificates"),
        why="no host would be rebuilt from it as it was: without the CA every kubeconfig and node has to be made anew"
        if not keys
        else "",
        fix="inv backup.run; inv backup.schedule. Keep the old one until inv backup.verify is content",
    )


def _runtime(seen: Seen) -> Iterator[Finding]:
    others = [each.name for each in seen.cluster.members if each.runtime and not each.runtime.startswith("containerd://")]
    if others:
        kinds = sorted({each.runtime.partition(":")[0] for each in seen.cluster.members if each.name in others})
        yield Finding(
            "fail",
            topic="runtime",
            host=listed(others),
            seen=f"the container runtime is {listed(kinds)}",
            why="our commands look after containerd only: cluster.join, cluster.reconfigure and upgrade.* do not fit these hosts",
        )


def _api(seen: Seen) -> Iterator[Finding]:
    flags = dict(seen.cluster.settings.args.get("kube-apiserver", ()))
    if "audit-policy-file" not in flags:  # without a policy nothing is written, whatever the path
        yield Finding(
            "warn",
            topic="audit",
            seen="the API server keeps no audit log",
            why="after an incident nobody can say who changed or read what",
            fix=CONTROL_PLANE,
        )
    if len(seen.leaders) < 3:
        yield Finding(
            "warn",
            topic="control plane",
            seen=counted(len(seen.leaders), "control plane host"),
            why="etcd with fewer than three members does not survive the loss of one",
            fix="add hosts to hosts.yaml, then inv cluster.join",
        )
    if gates := sorted(name for name, on in seen.cluster.settings.gates.items() if on == "true"):
        yield Finding(
            "note", topic="kubeadm", seen=f"feature gates of kubeadm: {listed(gates)}", why="they stay in kubeadm-config"
        )


def _proxies(seen: Seen) -> Iterator[Finding]:
    for name, why in proxy.unfit(seen):
        risk = "inv cluster.reconfigure --only containerd would not know it"
        yield Finding("warn", topic="proxy", host=name, seen=why, why=risk, fix="baseline.proxy in hosts.yaml; docs/site.md")


def _unread(seen: Seen) -> Iterator[Finding]:
    for name, why in seen.nodes.items():
        if isinstance(why, str):
            yield Finding(
                "warn", topic="not read", host=name, seen=why, why="what it has is not in hosts.yaml but for its name and address"
            )
    for address, why in seen.candidates.items():
        yield Finding("note", topic="not read", host=address, seen=why, fix=f"if it is a load balancer: --lb {address}")


def _by_value(found: Mapping[str, tuple[tuple[str, bool], ...]]) -> dict[tuple[str, bool], list[str]]:
    by: dict[tuple[str, bool], list[str]] = {}
    for host, values in found.items():
        for each in values:
            by.setdefault(each, []).append(host)
    return by
