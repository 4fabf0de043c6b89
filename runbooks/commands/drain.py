"""Commands that drain a node and take it back, and what kubectl says about it.

Nothing here forces or deletes what nobody named: `drain` has no --disable-eviction, and --force only where the operator gave up all that is
on the node. Pods that kubectl refuses to evict without such a flag, and that the operator has named, are evicted before, one by one, by `evict`. A drain that runs out of time
exits 1 and leaves the node cordoned; Pods that were evicted by then are gone.

https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/
https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from runbooks.commands.base import Answer, Command, script
from runbooks.commands.drain_objects import Pod
from runbooks.commands.kubectl import kubectl, url
from runbooks.commands.node_objects import MARK
from runbooks.commands.verify import brief
from runbooks.inventory.model import Host

REQUEST_S = 35  # a webhook may take 30 s
AFTER_S = 30  # kubectl lists the Pods again, and sleeps 5 s between tries, before it ends

STARTED = re.compile(r"^evicting pod (\S+/\S+)$", re.MULTILINE)
REFUSED = re.compile(r"cannot delete (?P<why>[^:]+?)(?: \(use [^)]*\))?: (?P<pods>[^\s,\]]+/[^\s,\]]+(?:, [^\s,\]]+/[^\s,\]]+)*)")
NOT_EVICTED = re.compile(
    r'^(?:error: )?error when evicting pods/"(?P<name>[^"]+)" -n "(?P<namespace>[^"]+)": (?P<why>.*)$', re.MULTILINE
)
RETRIED = re.compile(
    r'^error when evicting pods?(?:/| )"(?P<name>[^"]+)" (?:-n|from terminating namespace) "(?P<namespace>[^"]+)" '
    r"\(will retry after \d+s\): (?P<why>.*)$",
    re.MULTILINE,
)
# kubectl 1.20 does not tell the namespace here.
NOT_GONE = re.compile(
    r'^(?:error: )?error when waiting for pod "(?P<name>[^"]+)"(?: in namespace "(?P<namespace>[^"]+)" to terminate| terminating): ',
    re.MULTILINE,
)
NO_TIME = "global timeout reached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """How evictions went. All Pods are "NAMESPACE/NAME".

    done         all that a drain evicts is gone.
    evicted      gone from the node.
    blocked      not evicted, because a budget allowed no disruption until the end: the API's words, which do not name the budget.
    terminating  evicted, but still there at the end: they take longer than the timeout, or a finalizer holds them.
    refused      nothing was evicted at all, because of these Pods: kubectl's reason, and the Pods.
    failed       any other error of one Pod.
    error        why the command failed as a whole, "" when the fields above say it.
    """

    done: bool
    evicted: tuple[str, ...] = ()
    blocked: dict[str, str] = field(default_factory=dict)
    terminating: tuple[str, ...] = ()
    refused: dict[str, tuple[str, ...]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    error: str = ""


# ---- the node


def cordon(api_host: Host, node: str) -> Command:
    """Cordon ``node`` and mark the cordon as ours, in one write; only for a node that is not cordoned (`upgrade.rules.cordons`)."""
    return _patch(api_host, node, {"metadata": {"annotations": {MARK: "upgrade"}}, "spec": {"unschedulable": True}})


def uncordon(api_host: Host, node: str) -> Command:
    """Take away the cordon of ``node`` and our mark, in one write; only for a node with our mark (`upgrade.rules.cordons`)."""
    return _patch(api_host, node, {"metadata": {"annotations": {MARK: None}}, "spec": {"unschedulable": None}})


def unmark(api_host: Host, node: str) -> Command:
    """Take away our mark only: somebody has uncordoned ``node`` by hand."""
    return _patch(api_host, node, {"metadata": {"annotations": {MARK: None}}})


def _patch(api_host: Host, node: str, change: dict[str, object]) -> Command:
    return kubectl(api_host, "patch", "node", node, "--type=merge", "-p", json.dumps(change, separators=(",", ":")))


# ---- its Pods


def drain(api_host: Host, node: str, timeout_s: int, *, empty_dirs: bool = False, force: bool = False) -> Command:
    """Drain ``node``: evict all its Pods but those of DaemonSets and static Pods, and wait up to ``timeout_s`` seconds until they are gone.

    ``empty_dirs``: the operator allowed to delete the data of emptyDir volumes on this node; ``force``: and the Pods that no controller
    creates again. Its answer is for `parse_drain`; exit
    status 1 is no error of the command. Raises ValueError for a timeout of 0, which kubectl takes for none.
    """
    if timeout_s < 1:
        raise ValueError("a drain needs a timeout")
    words = [
        "drain",
        node,
        "--ignore-daemonsets",
        *(["--delete-emptydir-data"] if empty_dirs else []),
        *(["--force"] if force else []),
        f"--timeout={timeout_s}s",
        f"--request-timeout={REQUEST_S}s",  # the last one counts: it is for one request, not for the whole drain
    ]
    return kubectl(api_host, *words, timeout=timeout_s + AFTER_S).expecting(0, 1)


def parse_drain(answer: Answer) -> Drained:
    """Parse what kubectl drain printed, of 1.20 to 1.36.

    A Pod is taken for evicted when kubectl began with it and then told no error of it, but never when the errors cannot be read.
    """
    started = dict.fromkeys(STARTED.findall(answer.stdout))
    if answer.exited == 0:
        return Drained(done=True, evicted=tuple(started))
    tried = {_key(match): match["why"] for match in RETRIED.finditer(answer.stderr)}
    not_evicted = {_key(match): match["why"] for match in NOT_EVICTED.finditer(answer.stderr)}
    blocked = {pod: tried.get(pod, why) for pod, why in not_evicted.items() if NO_TIME in why}
    failed = {pod: why for pod, why in not_evicted.items() if NO_TIME not in why}
    terminating = dict.fromkeys(pod for match in NOT_GONE.finditer(answer.stderr) for pod in _meant(match, started))
    refused = {match["why"]: tuple(match["pods"].split(", ")) for match in REFUSED.finditer(answer.stderr)}
    judged = {*blocked, *failed, *terminating}
    told = bool(judged or refused)
    return Drained(
        done=False,
        evicted=tuple(pod for pod in started if pod not in judged) if told else (),
        blocked=blocked,
        terminating=tuple(terminating),
        refused=refused,
        failed=failed,
        error="" if told else brief(answer.stderr) or f"kubectl drain exited {answer.exited}",
    )


def _key(match: re.Match[str]) -> str:
    return f"{match['namespace']}/{match['name']}"


def _meant(match: re.Match[str], started: Iterable[str]) -> list[str]:
    """Return the Pod; without its namespace, all of that name."""
    if match["namespace"]:
        return [_key(match)]
    return [pod for pod in started if pod.partition("/")[2] == match["name"]]


def evict(api_host: Host, pods: Sequence[Pod], version: str, timeout_s: int) -> Command:
    """Evict exactly these Pods, by name and ID, and wait up to ``timeout_s`` seconds until they are gone. Budgets are respected.

    A Pod of the same name with another ID is never touched. ``version``: of the API server, such as "v1.33.1": policy/v1 is known from
    1.22 on. Its answer is for `parse_evicted`.
    """
    api = "policy/v1" if _minor(version) >= 22 else "policy/v1beta1"
    variables = {
        "SERVER": url(api_host.address),
        "PATHS": [f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}" for pod in pods],
        "IDS": [pod.uid for pod in pods],
        "OBJECTS": [_eviction(pod, api) for pod in pods],
        "LIMIT": str(timeout_s),
    }
    shown = f"evict {' '.join(pod.key for pod in pods)}"
    return replace(script("drain-evict", variables, timeout=timeout_s + 2 * REQUEST_S), shown=shown)


def _minor(version: str) -> int:
    match = re.match(r"v?1\.(\d+)", version)
    if not match:
        raise ValueError(f"this is no version of Kubernetes: {version!r}")
    return int(match[1])


def _eviction(pod: Pod, api: str) -> str:
    eviction = {
        "apiVersion": api,
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    }
    return json.dumps(eviction, separators=(",", ":"))


def parse_evicted(answer: Answer, pods: Sequence[Pod]) -> Drained:
    """Parse lines of ``PATH gone|blocked|terminating|failed [WORDS]``. Raises ValueError when a Pod is missing."""
    said = {}
    for line in answer.stdout.splitlines():
        path, state, *words = line.split(" ", 2)
        _, _, _, _, namespace, _, name = path.split("/")
        said[f"{namespace}/{name}"] = (state, brief(words[0]) if words else "")
    if missing := [pod.key for pod in pods if pod.key not in said]:
        raise ValueError(f"nothing was said about {', '.join(missing)}")
    return Drained(
        done=all(state == "gone" for state, _ in said.values()),
        evicted=tuple(pod for pod, (state, _) in said.items() if state == "gone"),
        blocked={pod: words for pod, (state, words) in said.items() if state == "blocked"},
        terminating=tuple(pod for pod, (state, _) in said.items() if state == "terminating"),
        failed={pod: words for pod, (state, words) in said.items() if state not in {"gone", "blocked", "terminating"}},
    )
