"""`kubeadm upgrade` on a host: started as a unit of its own, and watched.

https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-upgrade/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from runbooks.commands.base import Answer, Command, Probe, cmd, script

Action = Literal["apply", "node"]
ACTIVE = frozenset({"active", "activating", "deactivating"})
NO_FLAGS = {"ENDPOINT": "", "CA": "", "CERT": "", "KEY": ""}  # of etcd-find.sh


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far `kubeadm upgrade` has come on a host.

    running    whether the kubeadm that this tool started still runs.
    attempt    what was begun and has not ended well, such as "apply v1.36.3"; "" for nothing. ``ended``: what has ended well.
    fetched    the version whose packages were downloaded ("1.36.3"), "" for none.
    kept       the version whose manifests are kept there: an upgrade has begun and is not verified; "" for none.
    code       the exit status of the last one, None when none has ended since the host was started.
    log        the last lines that it has printed.
    other      another kubeadm that runs there, "" for none.
    clock      the host's own, in seconds since 1970.
    started    how many seconds ago the host ("host") and its kubelet ("kubelet") were started; without the one that does not run.
    written    of each static pod with a manifest: how many seconds ago it was put there. ``up``: how many its container has been running.
    parked     static pods that were stopped on purpose; ``lost``: those without a manifest, and kubeadm's newest copy of it.
    crashed    static pods whose container has ended again and again since kubeadm was started: the last line of its log.
    """

    running: bool
    attempt: str
    ended: str
    fetched: str
    kept: str
    code: int | None
    log: tuple[str, ...]
    other: str
    clock: int
    started: Mapping[str, int]
    written: Mapping[str, int]
    up: Mapping[str, int]
    parked: tuple[str, ...]
    lost: Mapping[str, str]
    crashed: Mapping[str, str]

    @property
    def word(self) -> str:
        """The last thing that kubeadm has said."""
        return self.log[-1] if self.log else ""


def start(action: Action, version: str, flags: Sequence[str], *, end_api: str = "") -> Command:
    """Start `kubeadm upgrade` to ``version`` ("v1.36.3") with ``flags``, and return at once. Nothing when it runs already.

    ``end_api``: URL of the host's API server, which ends first, by itself: see upgrade-kubeadm.sh. Exits 75 while another kubeadm runs there.
    """
    words = ["kubeadm", "upgrade", action, *([version, "--yes"] if action == "apply" else []), *flags]
    variables = {
        "ACTION": action,
        "VERSION": version,
        "WORDS": list(flags),
        "END_API": end_api,
        **NO_FLAGS,
    }
    command = script("upgrade-kubeadm", variables, timeout=60, after=("etcd-find", "kubeadm-at-work", "kubeadm-patches"))
    return replace(command, shown=" ".join(words))


def look(*, wait_s: int = 0) -> Probe[Progress]:
    """Read how far it has come; ``wait_s``: first wait up to so many seconds on the host until kubeadm ends or says something."""
    variables = {**NO_FLAGS, "WAIT_S": str(wait_s or "")}
    command = script("upgrade-look", variables, timeout=30 + wait_s, after=("etcd-find", "kubeadm-at-work"))
    return Probe(replace(command, shown="upgrade-look"), parse)


def parse(answer: Answer) -> Progress:
    """Parse lines of ``key value``. Raises ValueError without the line of the unit: then the script did not end."""
    lines = [line.partition(" ")[::2] for line in answer.stdout.splitlines() if line.strip()]
    said = dict(lines)
    if "unit" not in said:
        raise ValueError("upgrade-look said nothing about its unit")

    def pairs(key: str) -> dict[str, str]:
        return dict(value.partition(" ")[::2] for name, value in lines if name == key)

    def ages(key: str) -> dict[str, int]:
        return {name: int(seconds) for name, seconds in pairs(key).items()}

    return Progress(
        running=said["unit"] in ACTIVE,
        attempt=said.get("attempt", ""),
        ended=said.get("ended", ""),
        fetched=said.get("fetched", ""),
        kept=said.get("kept", ""),
        code=int(said["code"]) if "code" in said else None,
        log=tuple(value for key, value in lines if key == "log"),
        other=said.get("other", ""),
        clock=int(said.get("clock", 0)),
        started=ages("started"),
        written=ages("manifest"),
        up=ages("up"),
        parked=tuple(value for key, value in lines if key == "parked"),
        lost=pairs("backup"),
        crashed={name: line.partition(" ")[2] for name, line in pairs("crashed").items()},
    )


def put_back(path: str, name: str) -> Command:
    """Copy kubeadm's own backup ``path`` of a static pod's manifest to where the kubelet reads it."""
    return cmd("install", "-m", "600", path, f"/etc/kubernetes/manifests/{name}.yaml")
