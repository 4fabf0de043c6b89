"""Which flags kubeadm writes for etcd, and which etcd knows them. Pure.

Official source: kubeadm's `getEtcdCommand` (cmd/kubeadm/app/phases/etcd/local.go, read at 1.20 and 1.31 to 1.36), and etcd's own list of
flags (embed/config.go, read at 3.4, 3.5, 3.6 and 3.7). etcd ends at once when it is given a flag that it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from runbooks.commands.etcd_flags import Flags
from runbooks.text import listed

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


def of_image(image: str) -> Minor | None:
    """Return the version that the tag of an image of etcd says, or None.

    >>> of_image("registry.k8s.io/etcd:3.6.8-0"), of_image("etcd@sha256:00")
    ((3, 6), None)
    """
    found = re.search(r":v?(\d+)\.(\d+)\.\d+[^/:]*$", image)
    return (int(found[1]), int(found[2])) if found else None


def refused(seen: Flags) -> tuple[str, str]:
    """Return why the etcd of an etcd.yaml does not start with the flags that stand there, and the way out; ("", "") when it does.

    It is its own word that counts. When it could not be asked, the tag of its image and `KNOWN` decide.
    """
    etcd = of_image(seen.image)
    told = dict(seen.refused) if seen.version else dict.fromkeys(unknown(seen.flags, etcd) if etcd else (), "")
    if not told:
        return "", ""
    flags = listed(f"--{flag}" for flag in told)
    words = "" if set(told) <= set(KNOWN) else f" ({next(filter(None, told.values()), '')})"
    version = seen.version or ".".join(map(str, etcd or ()))
    what = f"etcd {version} ({seen.image}) does not take {flags} of its etcd.yaml, and would not start{words}"
    return what, way_out(told)


def known_by(flags: Iterable[str]) -> str:
    """Return which versions of etcd know each of ``flags`` of `KNOWN`.

    >>> known_by(["feature-gates"])
    '--feature-gates: etcd 3.6 and newer'
    """
    named = [flag for flag in flags if flag in KNOWN]
    alike = {KNOWN[flag]: [name for name in named if KNOWN[name] == KNOWN[flag]] for flag in named}
    return "; ".join(f"{listed(f'--{name}' for name in names)}: {_since(names[0])}" for names in alike.values())


def way_out(flags: Iterable[str]) -> str:
    """Return what has to be changed in etcd.yaml so that image and ``flags`` fit."""
    known = known_by(flags)
    return f"in etcd.yaml, put an image that knows them{f' ({known})' if known else ''}, or take these flags out; keep no copy in that directory"


def _since(flag: str) -> str:
    first, gone = KNOWN[flag]
    return f"etcd {first[0]}.{first[1]} {f'to {gone[0]}.{gone[1] - 1}' if gone else 'and newer'}"


def _knows(etcd: Minor, first: Minor, gone: Minor | None) -> bool:
    return etcd >= first and (gone is None or etcd < gone)
