"""Change the settings of a living control plane: kubeadm's ConfigMap, and the note on a host whose static pods are being changed.

https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-reconfigure/
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

from runbooks.commands import kubectl, work_note
from runbooks.commands.base import Answer, Command, Probe, cmd, script
from runbooks.inventory.model import Host

CRASHES: Final = 2
PATCHED: Final = ("kubeadm-patches",)
DIRECTORY: Final = "/var/lib/ha-runbooks/reconfigure"
Kind = Literal["control-plane", "kubelet", "containerd"]


@dataclass(frozen=True, slots=True)
class Note:
    """The note on a host whose files are being changed. It is there until the host is back in service.

    before  the files as they were, by path: what going back brings back. "" for one that was not there.
    keys    of a kubelet: the fields that change, such as "maxPods". Of containerd: its pause image.
    proved  the new ones are in place, and what reads them runs with them.
    modes   of containerd's files: mode and owner, such as "0600 root:root".
    """

    before: Mapping[str, str] = field(repr=False)
    keys: tuple[str, ...] = ()
    proved: bool = False
    modes: Mapping[str, str] = field(default_factory=dict)


def _path(kind: Kind) -> str:
    return f"{DIRECTORY}/{kind}.json"


def write(note: Note, kind: Kind) -> Command:
    """Write the note."""
    return work_note.write(_path(kind), asdict(note), "the new files work" if note.proved else "the files as they were")


def read(kind: Kind) -> Probe[Note | None]:
    """Read the note; None when there is none."""
    return work_note.read(_path(kind), parse)


def parse(answer: Answer) -> Note | None:
    """Parse the note. Raises ValueError when it is none of ours."""
    if not answer.stdout.strip():
        return None
    return work_note.parsed(
        answer.stdout, f"the note in {DIRECTORY}", lambda said: Note(**{**said, "keys": tuple(said.get("keys", ()))})
    )


def forget(kind: Kind) -> Command:
    """Take the note away."""
    return work_note.forget(_path(kind))


def upload(config: str, part: Literal["kubeadm", "kubelet"]) -> Command:
    """Put ``config`` into the cluster's ConfigMap of kubeadm or of kubelets. kubeadm checks it first.

    It is InitConfiguration, ClusterConfiguration and, for kubelets, KubeletConfiguration.
    """
    shown = f"kubeadm init phase upload-config {part} --config FILE"
    return replace(script("upload-config", {"CONFIG": config, "PART": part}, timeout=60), shown=shown)


def write_kubelet(states: Sequence[str]) -> Command:
    """Have kubeadm write the kubelet's configuration from the ConfigMap, and restart the kubelet without the files ``states``; Pods keep running."""
    command = script("kubelet-config", {"ACTION": "write", "STATES": states, "CONTENT": ""}, timeout=120, after=PATCHED)
    return replace(command, shown="kubeadm upgrade node phase kubelet-config; systemctl restart kubelet")


def put_back_kubelet(content: str, states: Sequence[str]) -> Command:
    """Put the kubelet's old configuration back, and restart it."""
    command = script("kubelet-config", {"ACTION": "back", "STATES": states, "CONTENT": content}, timeout=120, after=PATCHED)
    return replace(command, shown="put the old /var/lib/kubelet/config.yaml back; systemctl restart kubelet")


def configz(api_host: Host, nodes: Sequence[str]) -> Probe[dict[str, dict[str, Any] | str]]:
    """Ask the kubelets of ``nodes`` for the configuration that they run with, by name; a text where one does not say: why."""
    command = script("configz", {"SERVER": kubectl.url(api_host.address), "NODES": nodes}, timeout=30 + 6 * len(nodes))
    return Probe(replace(command, shown="what kubelets run with (configz)"), parse_configz)


def parse_configz(answer: Answer) -> dict[str, dict[str, Any] | str]:
    """Parse what configz.sh printed. Raises ValueError for anything else."""
    found: dict[str, dict[str, Any] | str] = {}
    for line in answer.stdout.splitlines():
        kind, name, text = line.split(" ", 2)
        if kind == "error":
            found[name] = text
            continue
        said = json.loads(b64decode(text, validate=True))
        found[name] = said["kubeletconfig"] if isinstance(said, dict) and "kubeletconfig" in said else "it says something else"
    return found


def restart_kubelet() -> Command:
    """Restart the kubelet, with the drop-ins of its unit that are there now; Pods keep running."""
    return cmd("systemctl", "restart", "kubelet", timeout=120)


def kubelet_crash() -> Probe[str]:
    """Return why the kubelet ends again and again, "" when it does not: systemd has restarted it at least twice since it was started."""
    return Probe(replace(script("kubelet-crash"), shown="systemctl show kubelet; journalctl -u kubelet"), parse_crash)


def parse_crash(answer: Answer) -> str:
    r"""Parse what kubelet-crash.sh printed. Raises ValueError for anything else.

    >>> parse_crash(Answer(0, "restarts 2\nwords F1130 failed to run Kubelet")), parse_crash(Answer(0, "restarts 0"))
    ('F1130 failed to run Kubelet', '')
    """
    said = dict(line.split(" ", 1) for line in answer.stdout.splitlines())
    if "restarts" not in said:
        raise ValueError("kubelet-crash said nothing about restarts")
    return (said.get("words") or "its journal does not say why") if int(said["restarts"]) >= CRASHES else ""


def place(manifests: Mapping[str, str]) -> Command:
    """Put ``manifests`` of static pods (texts by name) in place; the kubelet restarts those that say something else than before."""
    contents = [b64encode(text.encode()).decode() for text in manifests.values()]
    shown = " ".join(["manifests-place", *manifests])
    return replace(script("manifests-place", {"NAMES": list(manifests), "CONTENTS": contents}), shown=shown)
