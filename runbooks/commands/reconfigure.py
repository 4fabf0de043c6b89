"""Change the settings of a living control plane: kubeadm's ConfigMap, and the note on a host whose static pods are being changed.

https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-reconfigure/
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final

from runbooks.commands.base import Answer, Command, Probe, cmd, script

NOTE: Final = "/var/lib/ha-runbooks/reconfigure/note.json"


@dataclass(frozen=True, slots=True)
class Note:
    """The note on a host whose files are being changed. It is there until the host is back in service.

    before  the files as they were, by path: what going back brings back.
    proved  the new ones are in place, and the static pods run with them.
    """

    before: Mapping[str, str]
    proved: bool = False


def write(note: Note) -> Command:
    """Write the note."""
    command = script("work-note", {"ACTION": "write", "NOTE": NOTE, "CONTENT": json.dumps(asdict(note))})
    return replace(command, shown=f"note in {NOTE}: {'the new files work' if note.proved else 'the files as they were'}")


def read() -> Probe[Note | None]:
    """Read the note; None when there is none."""
    command = replace(script("work-note", {"ACTION": "read", "NOTE": NOTE}), shown=f"cat {NOTE}")
    return Probe(command, parse)


def parse(answer: Answer) -> Note | None:
    """Parse the note. Raises ValueError when it is none of ours."""
    if not answer.stdout.strip():
        return None
    try:
        return Note(**json.loads(answer.stdout))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{NOTE} cannot be read: {error}") from None


def forget() -> Command:
    """Take the note away."""
    return cmd("rm", "-f", "--", NOTE)


def upload(config: str) -> Command:
    """Put ``config`` (InitConfiguration and ClusterConfiguration) into the cluster. kubeadm checks it first."""
    shown = "kubeadm init phase upload-config kubeadm --config FILE"
    return replace(script("upload-config", {"CONFIG": config}, timeout=60), shown=shown)


def place(manifests: Mapping[str, str]) -> Command:
    """Put ``manifests`` of static pods (texts by name) in place; the kubelet restarts those that say something else than before."""
    contents = [b64encode(text.encode()).decode() for text in manifests.values()]
    shown = " ".join(["manifests-place", *manifests])
    return replace(script("manifests-place", {"NAMES": list(manifests), "CONTENTS": contents}), shown=shown)
