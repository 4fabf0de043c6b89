"""What admission says of a write: dry runs, the webhooks that are configured, and whether somebody answers for them.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runbooks.commands.base import Answer, Probe, script
from runbooks.commands.kubectl import url
from runbooks.inventory.model import Host

CONFIGURATIONS = {
    f"/apis/admissionregistration.k8s.io/v1/{kind.lower()}s": kind
    for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
}


@dataclass(frozen=True, slots=True)
class Write:
    """A write to try: ``what`` names it for people, ``path`` is the collection, ``manifest`` the object as JSON."""

    what: str
    path: str
    manifest: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A write that was not accepted, and the API server's error."""

    what: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A webhook: the kind and the name of its configuration, its place there, its failurePolicy, and its Service as "NAMESPACE/NAME"."""

    name: str
    kind: str
    configuration: str
    place: int
    policy: str
    service: str


@dataclass(frozen=True, slots=True)
class Admission:
    """The writes that were not accepted, and all webhooks. ``silent``: Services of webhooks for which nobody answers, and why."""

    refused: tuple[Refused, ...]
    webhooks: tuple[Webhook, ...]
    silent: dict[str, str]


def writes(name: str) -> tuple[Write, ...]:
    """Return what `cluster.verify` tries. ``name`` is a name that no object has."""
    return (_secret(name, "kube-system"), _pod(name, "kube-system"), _pod(name, "default"))


def writes_of_a_join(name: str, *, workload: bool = False) -> tuple[Write, ...]:
    """Return what a join writes, or the kubelet and the control plane soon after. ``name``: of no object, ending with six of a-z0-9.

    ``workload``: also a pod in default, as for the pods that leave a drained node.
    """
    return (
        *((_pod(name, "default"),) if workload else ()),
        _token(name),
        _secret(name, "kube-system"),
        _write("a ConfigMap in kube-system", "api/v1", "kube-system", "ConfigMap", name),
        _pod(name, "kube-system"),
        _write("a Node", "api/v1", "", "Node", name),
        _write("a Lease in kube-node-lease", "apis/coordination.k8s.io/v1", "kube-node-lease", "Lease", name),
    )  # fmt: skip


def writes_of_a_rejoin(name: str) -> tuple[Write, ...]:
    """Return what is written when only etcd is joined again: the token, and the kubelet's own copies of static pods. ``name``: as above."""
    return (_token(name), _pod(name, "kube-system"))


def _token(name: str) -> Write:
    given = {"token-id": name[-6:], "token-secret": "0123456789abcdef"}
    secret, kind = f"bootstrap-token-{name[-6:]}", "bootstrap.kubernetes.io/token"
    return _write("a bootstrap token", "api/v1", "kube-system", "Secret", secret, type=kind, stringData=given)


def _secret(name: str, namespace: str) -> Write:
    return _write(f"a Secret in {namespace}", "api/v1", namespace, "Secret", name, stringData={"written": name})


def _pod(name: str, namespace: str) -> Write:
    spec = {"containers": [{"name": "try", "image": "none.invalid/none:1"}]}
    return _write(f"a Pod in {namespace}", "api/v1", namespace, "Pod", name, spec=spec)


def _write(what: str, api: str, namespace: str, kind: str, name: str, **fields: Any) -> Write:
    metadata = {
        "name": name,
        **({"namespace": namespace} if namespace else {}),
        "labels": {"app.kubernetes.io/managed-by": "ha-runbooks"},
    }
    manifest = {"apiVersion": api.partition("/")[2], "kind": kind, "metadata": metadata, **fields}
    below = f"/namespaces/{namespace}" if namespace else ""
    return Write(what, f"/{api}{below}/{kind.lower()}s", json.dumps(manifest, separators=(",", ":")))


def ask(api_host: Host, tried: Sequence[Write], *, delete: str = "") -> Probe[Admission]:
    """Try ``tried``, and the deletion of the Node ``delete``, as dry runs on the API server of ``api_host``; read the webhooks."""
    variables = {
        "SERVER": url(api_host.address),
        "PATHS": [each.path for each in tried],
        "OBJECTS": [each.manifest for each in tried],
        "NODE": delete,
        "RESOURCES": list(CONFIGURATIONS),
    }
    command = replace(script("dry-writes", variables, timeout=75, after=("api-ask",)), shown="dry-writes")
    return Probe(command, lambda answer: parse(answer, tried, delete))


def parse(answer: Answer, tried: Sequence[Write], delete: str = "") -> Admission:
    """Parse lines of ``PATH EXIT ANSWER``, the writes in their order. Raises ValueError when an answer is not as expected."""
    what = [*(each.what for each in tried), *([f"the deletion of the Node {delete}"] if delete else [])]
    lines = [line.split(" ", 2) for line in answer.stdout.splitlines() if line.strip()]
    if len(lines) != len(what) + len(CONFIGURATIONS):
        raise ValueError(f"{len(lines)} of {len(what) + len(CONFIGURATIONS)} answers came back from dry-writes")
    said, read = lines[: len(what)], lines[len(what) :]
    refused = tuple(Refused(name, text) for name, (_, status, text) in zip(what, said, strict=True) if status != "0")
    try:
        found = [_webhook(CONFIGURATIONS[path], item, place)
                 for path, status, text in read if status == "0"
                 for item in json.loads(text)["items"] for place in range(len(item.get("webhooks") or ()))]  # fmt: skip
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"the webhooks' configurations are not as they should be: {error!r}") from None
    return Admission(refused, tuple(found), {})


def _webhook(kind: str, configuration: dict[str, Any], place: int) -> Webhook:
    hook = configuration["webhooks"][place]
    service = hook.get("clientConfig", {}).get("service")
    return Webhook(
        name=hook["name"],
        kind=kind,
        configuration=configuration["metadata"]["name"],
        place=place,
        policy=hook.get("failurePolicy") or "Fail",
        service=f"{service['namespace']}/{service['name']}" if service else "",
    )


def silent(api_host: Host, services: Iterable[str]) -> Probe[dict[str, str]]:
    """Return which of the Services ("NAMESPACE/NAME") nobody answers for, and why."""
    paths = {f"/api/v1/namespaces/{each.partition('/')[0]}/endpoints/{each.partition('/')[2]}": each for each in services}
    variables = {"SERVER": url(api_host.address), "RESOURCES": list(paths)}
    return Probe(
        replace(script("verify-cluster", variables, timeout=30, after=("api-ask",)), shown="verify-cluster"),
        lambda answer: parse_silent(answer, paths),
    )


def parse_silent(answer: Answer, paths: dict[str, str]) -> dict[str, str]:
    """Parse lines of ``PATH EXIT JSON`` of Endpoints. Raises ValueError when they are none."""
    found = {}
    for line in answer.stdout.splitlines()[1:]:
        path, status, text = line.split(" ", 2)
        if status != "0":
            if "NotFound" in text or "not found" in text:
                found[paths[path]] = "there is no such Service, or it has no endpoints"
            continue
        try:
            addresses = [each for subset in json.loads(text).get("subsets") or () for each in subset.get("addresses") or ()]
        except (TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"these are no endpoints: {error!r}") from None
        if not addresses:
            found[paths[path]] = "it has no endpoints: none of its pods is ready"
    return found
