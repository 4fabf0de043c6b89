"""Which flags kubeadm writes for etcd, and which etcd knows them. Pure.

Official source: kubeadm's `getEtcdCommand` (cmd/kubeadm/app/phases/etcd/local.go, read at 1.20 and 1.31 to 1.36), and etcd's own list of
flags (embed/config.go, read at 3.4, 3.5, 3.6 and 3.7). etcd ends at once when it is given a flag that it does not know.
"""

from __future__ import annotations

from collections.abc import Iterable

Minor = tuple[int, int]

OLD = ("experimental-initial-corrupt-check", "experimental-watch-progress-notify-interval")
NEW = ("feature-gates", "watch-progress-notify-interval")
# By flag: the first etcd that knows it, and the first one that does not know it any more.
KNOWN: dict[str, tuple[Minor, Minor | None]] = {
    **dict.fromkeys(OLD, ((3, 4), (3, 7))),
    **dict.fromkeys(NEW, ((3, 6), None)),
}


def written(kubeadm: Minor, etcd: Minor) -> tuple[str, ...]:
    """Return those flags that depend on the version and that ``kubeadm`` writes into etcd.yaml when the image is ``etcd``.

    1.20 writes none of them; of 1.21 to 1.30 some patch releases write one or both of `OLD`.

    >>> written((1, 35), (3, 5)) == OLD, written((1, 36), (3, 5)) == NEW
    (True, True)
    """
    if kubeadm >= (1, 36):
        return NEW  # whatever the tag of the image says
    if kubeadm >= (1, 34):
        return NEW if etcd >= (3, 6) else OLD
    return OLD if kubeadm >= (1, 21) else ()


def unknown(flags: Iterable[str], etcd: Minor) -> tuple[str, ...]:
    """Return which of ``flags`` (names without "--") that ``etcd`` does not know. A flag that is not in `KNOWN` is taken as known.

    >>> unknown(["name", "feature-gates"], (3, 5))
    ('feature-gates',)
    """
    return tuple(flag for flag in flags if flag in KNOWN and not _knows(etcd, *KNOWN[flag]))


def cannot_run(kubeadm: Minor, etcd: Minor) -> tuple[str, ...]:
    """Return the flags that this ``kubeadm`` writes and this ``etcd`` does not know: with any of them etcd never starts.

    >>> cannot_run((1, 36), (3, 5)), cannot_run((1, 36), (3, 6))
    (('feature-gates', 'watch-progress-notify-interval'), ())
    """
    return unknown(written(kubeadm, etcd), etcd)


def _knows(etcd: Minor, first: Minor, gone: Minor | None) -> bool:
    return etcd >= first and (gone is None or etcd < gone)
