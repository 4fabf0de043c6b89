"""The names of kubeadm's patches: TARGET, a suffix of one's own, "+" and the type, such as kube-apiserver0+merge.yaml. Pure.

https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/control-plane-flags/#patches
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# The first minor version of Kubernetes 1 whose kubeadm patches this target.
TARGETS: Final[Mapping[str, int]] = {
    "etcd": 19,
    "kube-apiserver": 19,
    "kube-controller-manager": 19,
    "kube-scheduler": 19,
    "kubeletconfiguration": 25,
    "corednsdeployment": 32,
}
KUBELET: Final = "kubeletconfiguration"
COREDNS: Final = "corednsdeployment"
TYPES: Final = ("strategic", "merge", "json")
WORDS: Final = "TARGET, letters of your own, + and the type, such as kube-apiserver0+merge.yaml"


@dataclass(frozen=True, slots=True)
class PatchName:
    """The parts of a name. ``kind`` is one of TYPES, also where the name has none."""

    target: str
    suffix: str
    kind: str
    extension: str

    @property
    def is_of_static_pod(self) -> bool:
        """Whether it patches a component of the control plane."""
        return self.target not in {KUBELET, COREDNS}


def parse(name: str) -> PatchName:
    """Return the parts of a file's name. Raises ValueError with what is wrong when kubeadm would not take it, or would ignore it.

    >>> parse("kube-apiserver0+merge.yaml"), parse("etcd.json").kind
    (PatchName(target='kube-apiserver', suffix='0', kind='merge', extension='yaml'), 'strategic')
    """
    target = next((each for each in TARGETS if name.startswith(each)), None)
    if target is None:
        raise ValueError(f"its name begins with no target that kubeadm patches: {', '.join(TARGETS)}")
    stem, dot, extension = name.removeprefix(target).rpartition(".")
    if not dot or extension not in {"yaml", "json"}:
        raise ValueError("kubeadm reads only .yaml and .json, and ignores it")
    suffix, plus, kind = stem.partition("+")
    if plus and kind not in TYPES:
        raise ValueError(f"+{kind} is no type of patch: write +strategic, +merge or +json")
    if not re.fullmatch(r"[A-Za-z0-9_-]*", suffix):
        raise ValueError(f"kubeadm takes names of {WORDS}")
    return PatchName(target, suffix, kind or TYPES[0], extension)
