"""Saved objects as `kubectl apply` takes them: without what the server and its controllers made of them. Pure.

Who takes one object back wants what somebody once wrote. What only the old object could have (its uid, its place, its state) would be
refused, or would be wrong for the new one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any, Final

import yaml

Object = dict[str, Any]
Path = tuple[str, ...]

# Of any object. Owners go because they are named by uid: an owner that is gone, or was made again, has the garbage collector delete
# the object at once. Finalizers stay (their controllers put them there again), but for those of a deletion that was under way.
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
# kubectl apply writes the first one anew (and of a Secret it is a second copy); the others are notes of controllers to themselves.
ANNOTATIONS: Final = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "kubernetes.io/service-account.uid",
)
# By kind, without the version. A claim keeps its volumeName, and a volume its claim's name: whoever takes a claim back wants its data,
# and one that waits for a missing volume can be seen, while one that was given an empty volume looks well. A Service keeps its node
# ports, which others outside have written down, but not its address, which somebody else may have by now.
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
TOKENS: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # where a Pod gets its token, from a volume of the server's

ODD_BREAKS: Final = re.compile("[\x85\u2028\u2029]")  # PyYAML takes them for the ends of lines; not every reader does
BLOCK: Final = re.compile(r"[ -~\n\u00a0-\u2027\u2030-\ud7ff]*")
# What every reader of YAML takes for text, of whichever version: kubectl's makes a boolean of y and a number of 1e3.
PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*(:[A-Za-z0-9_./-]+)*")
WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})


def clean(found: Object) -> Object:
    """Return a copy of ``found`` that can be applied."""
    made = deepcopy(found)
    kind = kind_of(made)
    of_kind = () if _by_hand(kind, made) else BY_KIND.get(kind, ())
    for path in (*EVERYWHERE, *of_kind, *(("metadata", "annotations", name) for name in ANNOTATIONS)):
        _drop(made, path)
    _keep(made.get("metadata"), "finalizers", lambda each: each not in DELETING)
    if kind == "Pod":
        _without_tokens(made.get("spec"))
    if kind == "ServiceAccount":  # the Secrets that somebody gave to it stay, those that the server made for it go
        own = f"{_at(made, ('metadata', 'name'))}-token-"
        _keep(made, "secrets", lambda each: not str(_at(each, ("name",))).startswith(own))
    return made


def kind_of(found: Object) -> str:
    """Return the kind, with its group behind it when there is one: Service, Job.batch."""
    group, slash, _ = str(found.get("apiVersion", "")).partition("/")
    return f"{found.get('kind', '')}.{group}" if slash else str(found.get("kind", ""))


def remarks(found: Object) -> Iterator[str]:
    """Yield what the operator should know before applying what `clean` makes of ``found``."""
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
    """Tell whether somebody wrote what as a rule the server fills in: a headless Service, a Job with a selector of its own."""
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
    """Take out of a list what is not ``wanted``, and the list when nothing of it is left."""
    there = _listed(found, name)
    left = [each for each in there if wanted(each)]
    if left:
        found[name] = left
    elif there:
        del found[name]


def _drop(found: Object, path: Path) -> None:
    """Take out what ``path`` leads to; what becomes empty by that goes as well."""
    inner = found.get(path[0])
    if len(path) == 1:
        found.pop(path[0], None)
    elif isinstance(inner, dict) and path[1] in inner:
        _drop(inner, path[1:])
        if not inner:
            del found[path[0]]


def _without_tokens(spec: Any) -> None:
    """Take the mounts of the service account's token out, and their volumes: the server puts new ones in."""
    named = []
    for container in [*_listed(spec, "containers"), *_listed(spec, "initContainers")]:
        named += [each["name"] for each in _listed(container, "volumeMounts") if _is_token(each) and "name" in each]
        _keep(container, "volumeMounts", lambda each: not _is_token(each))
    _keep(spec, "volumes", lambda each: _at(each, ("name",)) not in named)


def _is_token(mount: Any) -> bool:
    return bool(_at(mount, ("mountPath",)) == TOKENS)


# ---- which kind is meant


def resolve(word: str, names: Iterable[str]) -> list[str]:
    """Return which of ``names`` (plural, or plural.group) may be meant by a plural, a singular or a kind, with or without group.

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
    """Return those of ``names`` that look like ``word``, best first; at most eight."""
    names, word = sorted(names), word.lower().partition(".")[0]
    close = difflib.get_close_matches(word, [name.partition(".")[0] for name in names], n=8, cutoff=0.6)
    found = [name for each in close for name in names if name.partition(".")[0] == each]
    return list(dict.fromkeys([*found, *(name for name in names if word and word in name)]))[:8]


def _plurals(word: str) -> tuple[str, ...]:
    return (word, f"{word}s", f"{word}es", f"{word.removesuffix('y')}ies" if word.endswith("y") else word)


# ---- YAML


class _Dumper(yaml.SafeDumper):
    """Text is quoted wherever any reader might take it for something else; lines of text stand as lines."""

    def ignore_aliases(self, data: Any) -> bool:
        return True  # anchors are allowed, but nobody wants to read them


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style: str | None = None
    if ODD_BREAKS.search(text):
        style = '"'
    elif "\n" in text and BLOCK.fullmatch(text):
        style = "|"
    elif not PLAIN.fullmatch(text) or text.lower() in WORDS:
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def document(found: Object) -> str:
    """Return ``found`` as one YAML document that begins with `---`."""
    return yaml.dump(found, Dumper=_Dumper, explicit_start=True, sort_keys=False, allow_unicode=True, width=1 << 20)
