"""Saved objects in a form that `kubectl apply` accepts: without the fields that the server and its controllers set. Pure.

Values of the old object (uid, node, status) would be refused by the API server, or would be wrong for the new object.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any, Final

from runbooks.commands.yaml_written import written

Object = dict[str, Any]
Path = tuple[str, ...]

# Of any object. Owner references name a uid: if that owner is gone or was created again, the garbage collector deletes the object at
# once. Finalizers stay (their controllers set them again), except those of a deletion that was under way.
EVERYWHERE: Final[tuple[Path, ...]] = (
    ("status",),
    ("metadata", "uid"),
    ("metadata", "resourceVersion"),
    ("metadata", "generation"),
    ("metadata", "creationTimestamp"),
    ("metadata", "deletionTimestamp"),
    ("metadata", "deletionGracePeriodSeconds"),
    ("metadata", "managedFields"),
    ("metadata", "selfLink"),
    ("metadata", "ownerReferences"),
    ("spec", "template", "metadata", "creationTimestamp"),
    ("spec", "jobTemplate", "metadata", "creationTimestamp"),
    ("spec", "jobTemplate", "spec", "template", "metadata", "creationTimestamp"),
)
DELETING: Final = ("foregroundDeletion", "orphan")
# kubectl apply writes the first one again (of a Secret it is a second copy of the data); controllers set the others.
ANNOTATIONS: Final = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "kubernetes.io/service-account.uid",
)
# By kind, without the version. A claim keeps its volumeName, and a volume the name of its claim: a restored claim should get its old
# data. A claim that waits for a missing volume is visible; a claim with a new empty volume would look healthy. A Service keeps its
# node ports, which clients outside the cluster use, but not its clusterIP, which another Service may have by now.
BY_KIND: Final[Mapping[str, tuple[Path, ...]]] = {
    "Namespace": (("spec", "finalizers"),),
    "Service": (("spec", "clusterIP"), ("spec", "clusterIPs")),
    "PersistentVolume": (("spec", "claimRef", "uid"), ("spec", "claimRef", "resourceVersion")),
    "Pod": (("spec", "nodeName"), ("spec", "priority"), ("spec", "ephemeralContainers")),
    "Job.batch": (
        ("spec", "selector"),
        ("spec", "template", "metadata", "labels", "controller-uid"),
        ("spec", "template", "metadata", "labels", "batch.kubernetes.io/controller-uid"),
        ("metadata", "labels", "controller-uid"),
        ("metadata", "labels", "batch.kubernetes.io/controller-uid"),
    ),
}
MIRROR: Final = "kubernetes.io/config.mirror"
TOKENS: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # the token is mounted here, from a volume that the server adds


def clean(found: Object) -> Object:
    """Return a copy of ``found`` that `kubectl apply` accepts."""
    made = deepcopy(found)
    kind = kind_of(made)
    of_kind = () if _by_hand(kind, made) else BY_KIND.get(kind, ())
    for path in (*EVERYWHERE, *of_kind, *(("metadata", "annotations", name) for name in ANNOTATIONS)):
        _drop(made, path)
    _keep(made.get("metadata"), "finalizers", lambda each: each not in DELETING)
    if kind == "Pod":
        _without_tokens(made.get("spec"))
    if kind == "ServiceAccount":  # only the Secrets that the server created for it are removed
        own = f"{_at(made, ('metadata', 'name'))}-token-"
        _keep(made, "secrets", lambda each: not str(_at(each, ("name",))).startswith(own))
    return made


def kind_of(found: Object) -> str:
    """Return the kind, followed by its group if it has one: Service, Job.batch."""
    group, slash, _ = str(found.get("apiVersion", "")).partition("/")
    return f"{found.get('kind', '')}.{group}" if slash else str(found.get("kind", ""))


def remarks(found: Object) -> Iterator[str]:
    """Yield what the operator should know before applying the result of `clean`."""
    kind, metadata = kind_of(found), found.get("metadata") or {}
    if metadata.get("ownerReferences"):
        yield "had an owner, which would make it again by itself: apply the owner instead, if that is gone as well"
    if kind == "Service" and _at(found, ("spec", "clusterIP")) not in (None, "", "None"):
        yield "gets a new clusterIP (the saved one: --raw)"
    if kind == "PersistentVolumeClaim" and _at(found, ("spec", "volumeName")):
        yield "asks for the volume that it had: apply its PersistentVolume too, or take spec.volumeName out for an empty one"
    if kind == "Pod" and _at(metadata, ("annotations", MIRROR)):
        yield "mirrors a static pod: the kubelet makes it, from a file in /etc/kubernetes/manifests"
    if metadata.get("deletionTimestamp"):
        yield "was being deleted when it was saved"


def _by_hand(kind: str, found: Object) -> bool:
    """Tell whether a person wrote what the server usually sets: a headless Service, a Job with a selector of its own."""
    headless = kind == "Service" and _at(found, ("spec", "clusterIP")) == "None"
    return headless or (kind == "Job.batch" and bool(_at(found, ("spec", "manualSelector"))))


def _at(found: Any, path: Path) -> Any:
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _listed(found: Any, name: str) -> list[Any]:
    there = _at(found, (name,))
    return there if isinstance(there, list) else []


def _keep(found: Any, name: str, wanted: Callable[[Any], bool]) -> None:
    """Remove from the list ``name`` what is not ``wanted``, and the list itself when it becomes empty."""
    there = _listed(found, name)
    left = [each for each in there if wanted(each)]
    if left:
        found[name] = left
    elif there:
        del found[name]


def _drop(found: Object, path: Path) -> None:
    """Remove what ``path`` leads to, and every parent that becomes empty."""
    inner = found.get(path[0])
    if len(path) == 1:
        found.pop(path[0], None)
    elif isinstance(inner, dict) and path[1] in inner:
        _drop(inner, path[1:])
        if not inner:
            del found[path[0]]


def _without_tokens(spec: Any) -> None:
    """Remove the mounts of the service account's token and their volumes. The server adds new ones."""
    named = []
    for container in [*_listed(spec, "containers"), *_listed(spec, "initContainers")]:
        named += [each["name"] for each in _listed(container, "volumeMounts") if _is_token(each) and "name" in each]
        _keep(container, "volumeMounts", lambda each: not _is_token(each))
    _keep(spec, "volumes", lambda each: _at(each, ("name",)) not in named)


def _is_token(mount: Any) -> bool:
    return bool(_at(mount, ("mountPath",)) == TOKENS)


# ---- which kind is meant


def resolve(word: str, names: Iterable[str]) -> list[str]:
    """Return which of ``names`` (plural, or plural.group) match a plural, a singular or a kind, with or without group.

    >>> resolve("NetworkPolicy", ["networkpolicies.networking.k8s.io", "pods"])
    ['networkpolicies.networking.k8s.io']
    """
    names = sorted(names)
    word = word.lower()
    if word in names:
        return [word]
    wanted, dot, group = word.partition(".")
    found = [name for name in names if name.partition(".")[0] in _plurals(wanted)]
    return [name for name in found if name.partition(".")[2] == group] if dot else found


def similar(word: str, names: Iterable[str]) -> list[str]:
    """Return at most eight of ``names`` that are similar to ``word``, best first."""
    names, word = sorted(names), word.lower().partition(".")[0]
    close = difflib.get_close_matches(word, [name.partition(".")[0] for name in names], n=8, cutoff=0.6)
    found = [name for each in close for name in names if name.partition(".")[0] == each]
    return list(dict.fromkeys([*found, *(name for name in names if word and word in name)]))[:8]


def _plurals(word: str) -> tuple[str, ...]:
    return (word, f"{word}s", f"{word}es", f"{word.removesuffix('y')}ies" if word.endswith("y") else word)


def document(found: Object) -> str:
    """Return ``found`` as one YAML document that begins with `---`."""
    return f"---\n{written(found)}"
