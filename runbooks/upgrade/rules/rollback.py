"""Whether the control plane of a host can go back to the version before, and with which files. Pure.

Never allows: an API server older than a kubelet of the cluster, or than a controller-manager, scheduler or kube-proxy that would use it by more
than the version skew policy allows; more than one minor version; another minor version of etcd once every member has left the old one. What
is not known is never taken for good.

One minor version back is what Kubernetes promises: rule 4b of https://kubernetes.io/docs/reference/using-api/deprecation-policy/ . etcd:
https://etcd.io/docs/v3.6/upgrades/upgrade_3_6/ (Rollback), https://etcd.io/docs/v3.6/downgrades/downgrade_3_6/ .
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from runbooks.commands.upgrade_backups import KUBELET, MANIFESTS, Backups, Folder
from runbooks.inventory.model import Host
from runbooks.inventory.words import literal
from runbooks.rules.upgrade_seen import CONTROL_PLANE, SERVER, NodeSeen, Seen, Version, minors, newest, text, version_in
from runbooks.rules.upgrade_skew import why_not
from runbooks.text import listed

# The API server after those that use it: none of them may be newer than it.
ORDER = ("kube-controller-manager", "kube-scheduler", SERVER)
ETCD = "etcd"
DOWNGRADE = "https://etcd.io/docs/v3.6/downgrades/downgrade_3_6/"
AGAIN = "then this command again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """A file to be put back: ``path`` (with its SHA-256) in the place of ``to``. ``path`` is "" when the host has it already.

    ``image`` and ``version`` are those of a pod's manifest afterwards.
    """

    name: str
    to: str
    path: str = ""
    sha256: str = ""
    image: str = ""
    version: Version | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Back:
    """What going back means on one host.

    to, since  the versions of the control plane: the one before, and the newest that this host has now.
    pods       the manifests, in the order in which they go back. etcd's only where it has to.
    files      the kubelet's files that kubeadm has written anew.
    etcd       why etcd stays as it is, or "" when it goes back too.
    """

    to: Version
    since: Version
    pods: tuple[Put, ...]
    files: tuple[Put, ...] = ()
    etcd: str = ""

    @property
    def there(self) -> bool:
        """Whether every file is in its place already."""
        return not any(each.path for each in (*self.pods, *self.files))


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a host cannot go back, and what can be done instead."""

    why: str
    way: str


def decide(
    seen: Seen, host: str, backups: Backups, *, away: Mapping[str, Sequence[str]], external: bool = False
) -> Back | Refused:
    """Return what going back means on ``host``, or why it cannot.

    ``away``: of the other control plane hosts, which parts use another API server than their own (`away_from_home`). ``external``: etcd is not
    one of the static pods.
    """
    node = next(each for each in seen.nodes if each.name == host)
    now = newest(_version(backups.now, part) for part in ORDER)
    if not node.control_plane or not now:
        return Refused(f"{host}: no version of a control plane could be read from the manifests here", "inv upgrade.status")
    to = _target(backups, now)
    if not to or to > now:
        return _without_backup(host, f"before {text(now)}{f' (the newest is of {text(to)})' if to else ''}")
    pods = [put for part in ORDER if (put := _put(backups, part, to))]
    missing = listed(part for part in ORDER if part not in {put.name for put in pods})
    refused = _too_far(host, now, to) or _nodes(seen, to) or _others(seen, host, to, away)
    if refused or missing:
        return refused or _without_backup(host, f"of {missing} {text(to)}")
    etcd = "it is not a static pod of this cluster" if external else _etcd(seen, node, backups, to)
    if isinstance(etcd, Refused):
        return etcd
    stays = "" if isinstance(etcd, Put) else etcd
    if isinstance(etcd, Put):
        pods.append(etcd)
    return Back(to=to, since=now, pods=tuple(pods), files=tuple(_files(backups, to)), etcd=stays)


def away_from_home(host: Host, backups: Backups) -> tuple[str, ...]:
    """Return the parts of a control plane host that use another API server than that of their own host, such as the VIP.

    kubeadm 1.20 and later give them their own; a cluster that is older keeps what it had.
    """
    own = f"//{literal(host.address)}:"
    return tuple(part for part, server in backups.uses.items() if own not in server)


def _target(backups: Backups, now: Version) -> Version | None:
    """Return the version of the newest backup of the API server.

    One of the present version counts only when it is the very file that is in force: then the host has gone back already. kubeadm also
    makes one when it is run again in the same version.
    """
    here = backups.now.pods.get(SERVER)
    for folder in backups.folders:
        version = _version(folder, SERVER)
        if version and (version != now or not here or here.sha256 == folder.pods[SERVER].sha256):
            return version
    return None


def _version(folder: Folder, pod: str) -> Version | None:
    found = folder.pods.get(pod)
    return version_in(found.image) if found else None


def _put(backups: Backups, pod: str, to: Version) -> Put | None:
    """Return the newest manifest of ``pod`` in the version ``to``; the one that is in force, when it has it already."""
    for folder in (backups.now, *backups.folders):
        if _version(folder, pod) == to:
            return _from(folder, pod)
    return None


def _from(folder: Folder, pod: str) -> Put:
    found = folder.pods[pod]
    path = "" if folder.kind == "now" else f"{folder.path}/{pod}.yaml"
    return Put(
        name=pod, to=f"{MANIFESTS}/{pod}.yaml", path=path, sha256=found.sha256, image=found.image, version=version_in(found.image)
    )  # fmt: skip


def _files(backups: Backups, to: Version) -> Iterator[Put]:
    """Yield the kubelet's files that differ from what was kept with the version ``to``. kubeadm's own copies are not whole: nothing in 1.20."""
    kept = _kept(backups, to)
    for name, digest in kept.files.items() if kept else ():
        if backups.now.files.get(name) != digest:
            yield Put(name=name, to=f"{KUBELET}/{name}", path=f"{kept.path if kept else ''}/kubelet/{name}", sha256=digest)


def _kept(backups: Backups, to: Version) -> Folder | None:
    return next((each for each in backups.kept if _version(each, SERVER) == to), None)


# ---- why not


def _without_backup(host: str, what: str) -> Refused:
    return Refused(
        f"{host}: there is no backup of the manifests {what}: nothing in /etc/kubernetes/tmp, and nothing was kept by this tool",
        f"inv backup.extract --host {host} gets /etc/kubernetes/manifests out of a set that was made before the upgrade; or go on to the new version",
    )


def _too_far(host: str, now: Version, to: Version) -> Refused | None:
    if now[0] == to[0] and minors(now, to) <= 1:
        return None
    return Refused(
        f"{host}: from {text(now)} back to {text(to)} is more than one minor version: the older API server may not read what the newer one has written",
        "inv recover.etcd-quorum restores a set that was made before the upgrade: what was written since is lost",
    )


def _nodes(seen: Seen, to: Version) -> Refused | None:
    """Refuse while a kubelet or kube-proxy of the cluster is newer than the API server would be, or not known."""
    unknown = [node.name for node in seen.nodes if not node.kubelet_runs]
    if unknown:
        return Refused(
            f"which kubelet runs on {listed(unknown)} is not known: one that is newer than {text(to)} must not use such an API server",
            f"bring {listed(unknown)} back, or take it out of the cluster (inv cluster.remove); {AGAIN}",
        )
    ahead = {node.name: kubelet for node in seen.nodes if (kubelet := newest([node.kubelet_runs, node.kubelet])) and kubelet > to}
    if ahead:
        told = listed(f"{name} ({text(version)})" for name, version in ahead.items())
        return Refused(
            f"a kubelet must not be newer than the API server, which would be {text(to)}: {told}",
            f"on {listed(ahead)}, one after the other: drain, install kubelet {text(to)} (apt-get install --allow-downgrades, dnf downgrade), "
            f"restart it, uncordon; {AGAIN}",
        )
    proxies = [node.name for node in seen.nodes if node.proxy and why_not("kube-proxy", node.proxy, to, max(to, node.proxy))]
    if proxies:
        return Refused(
            f"kube-proxy on {listed(proxies)} is newer than the API server would be ({text(to)})",
            f"kubectl -n kube-system set image daemonset/kube-proxy kube-proxy=... with the image of {text(to)}; {AGAIN}",
        )
    return None


def _others(seen: Seen, host: str, to: Version, away: Mapping[str, Sequence[str]]) -> Refused | None:
    """Refuse while a newer part on another host could use this host's API server, by the VIP."""
    found = [
        f"{part} {text(version)} on {node.name}"
        for node in seen.control_plane
        if node.name != host
        for part in away.get(node.name, ())
        if (version := node.runs.get(part)) and part in CONTROL_PLANE and why_not(part, version, to, max(to, version))
    ]
    if not found:
        return None
    return Refused(
        f"newer than the API server would be ({text(to)}), and not bound to the API server of their own host: {listed(found)}",
        f"there, in controller-manager.conf and scheduler.conf: server is the host's own API server; restart both; {AGAIN}",
    )


# ---- etcd


def _etcd(seen: Seen, node: NodeSeen, backups: Backups, to: Version) -> Put | Refused | str:
    """Return etcd's manifest when it has to go back, why it stays, or why nothing can go back."""
    here = backups.now.pods.get(ETCD)
    before = _etcd_before(backups, to)
    if not before or (here and here.image == before.pods[ETCD].image):
        return "its image is the same"
    old, new = _version(before, ETCD), _version(backups.now, ETCD)
    if not old or (here and not new):
        return Refused(
            f"{node.name}: etcd's image has changed, and its versions are not known: {here.image if here else '?'}, before {before.pods[ETCD].image}",
            "compare the two images; then go back by hand (docs/upgrade.md), or go on to the new version",
        )
    if not new or old < new:
        return _other_etcd(seen, node, before, old, new) or _migrated(node, backups, old, new)
    return f"it is {text(new)}, which is not newer than the {text(old)} of before"


def _other_etcd(seen: Seen, node: NodeSeen, before: Folder, old: Version, new: Version | None) -> Put | None:
    """Another patch goes back as it is; another minor version only while a member of the old one keeps the whole cluster in the old format."""
    still = any(
        each.name != node.name and each.runs.get(ETCD) and (version := each.manifests.get(ETCD)) and version[:2] == old[:2]
        for each in seen.control_plane
    )
    return _from(before, ETCD) if not new or old[:2] == new[:2] or still else None


def _migrated(node: NodeSeen, backups: Backups, old: Version, new: Version | None) -> Refused:
    copy = f" (kubeadm's copy of this member's data, {backups.data[0].path}, must never be put back)" if backups.data else ""
    return Refused(
        f"{node.name}: etcd was {text(old)} and is {text(new)} on every host: its data has been migrated, and etcd {old[0]}.{old[1]} does not start on it",
        f"inv recover.etcd-quorum with a set that was made before the upgrade: what was written since is lost{copy}; or etcd's own "
        f"downgrade by hand, before the control plane: {DOWNGRADE}",
    )


def _etcd_before(backups: Backups, to: Version) -> Folder | None:
    """Return the folder with etcd's manifest from before this upgrade; None when there is none, so that kubeadm has not touched it.

    kubeadm replaces etcd first. A run that was ended in between and repeated saves the new one too, so of several the oldest etcd counts:
    those that are newer than the API server's backup, and the one before that, when it has no API server (the run that was ended).
    """
    kept = _kept(backups, to)
    if kept and ETCD in kept.pods:
        return kept
    found: list[Folder] = []
    for folder in backups.folders:
        beyond = any(SERVER in each.pods for each in found)
        if beyond and SERVER in folder.pods:
            break
        found.append(folder)
        if beyond:
            break
    having = [folder for folder in found if ETCD in folder.pods]
    return min(having, key=lambda each: (_version(each, ETCD) or (0, 0, 0), -each.time), default=None)
