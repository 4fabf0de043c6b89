"""What a drain does beside stopping: long ends, lost data, work that begins again, and what the forecast does not know. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from runbooks.commands.drain_objects import Cluster, Pod
from runbooks.rules.finding import Finding
from runbooks.text import MINUTE, age_text, counted, first_few, listed
from runbooks.upgrade.rules.drain_webhooks import judges
from runbooks.upgrade.rules.drains import Forecast
from runbooks.upgrade.rules.evictions import Named, refusals

TOPIC = "drains"
TOLD = 4
LONG_S = 5 * MINUTE  # a grace period from which on it is told
OVERDUE_S = MINUTE  # how long a Pod may be late
UNKNOWN = (
    "not in the forecast: quotas, images that cannot be pulled, Pods that do not start, limits of attached volumes and the time to attach "
    "them, Pods that push out others by their priority"
)


def notes(cluster: Cluster, order: Sequence[Sequence[str]], named: Named, forecast: Forecast) -> list[Finding]:
    """Return warnings and notes on the Pods that the drains evict."""
    drained = {name for group in order for name in group}
    moved = list({each.pod.key: each.pod for drain in forecast.drains for each in drain.evictions}.values())
    return [
        *_long(moved),
        *_stuck(cluster, drained),
        *_data(cluster, moved),
        *_deleted(moved, named),
        *_misnamed(cluster, named),
        *_jobs(moved),
        *_cordoned(cluster, drained),
        *_pending(cluster),
        *_odd(moved),
        *_returning(forecast),
        *_hooks(cluster),
        Finding("note", topic=TOPIC, seen=UNKNOWN),
    ]


def _names(pods: Iterable[Pod]) -> str:
    """Return the workloads of the Pods, each once."""
    return listed(first_few(list(dict.fromkeys(pod.workload for pod in pods)), TOLD))


def _on(pods: Iterable[Pod]) -> str:
    return listed(sorted({pod.node for pod in pods if pod.node}))


def _long(moved: list[Pod]) -> Iterator[Finding]:
    slow = sorted((pod for pod in moved if pod.grace_s > LONG_S), key=lambda pod: -pod.grace_s)
    if slow:
        told = dict.fromkeys(f"{pod.workload} {age_text(pod.grace_s)}" for pod in slow)
        yield Finding(
            "warn",
            topic=TOPIC,
            host=_on(slow),
            seen=f"Pods that may take long to end: {listed(first_few(list(told), TOLD))}",
            why="a drain waits for the end of the grace period; its timeout has to be longer",
            fix=f"kubectl -n {slow[0].namespace} get pod {slow[0].name} -o jsonpath='{{.spec.terminationGracePeriodSeconds}}'",
        )


def _stuck(cluster: Cluster, drained: set[str]) -> Iterator[Finding]:
    for pod in cluster.pods:
        late = cluster.clock - pod.leaves_by
        if pod.leaving and pod.node in drained and not pod.mirror and pod.owner[0] != "DaemonSet" and late > OVERDUE_S:
            yield Finding(
                "warn",
                topic=TOPIC,
                host=pod.node,
                seen=f"{pod.key} is being deleted and should have been gone for {age_text(late)}",
                why="a drain waits for it until its timeout",
                fix=f"kubectl -n {pod.namespace} get pod {pod.name} -o yaml; a finalizer, or its containers on {pod.node}, hold it",
            )


def _data(cluster: Cluster, moved: list[Pod]) -> Iterator[Finding]:
    loose = {volume.claim: volume.name for volume in cluster.volumes if volume.kind == "hostPath" and volume.nodes is None}
    lose = [pod for pod in moved if any(f"{pod.namespace}/{claim}" in loose for claim in pod.claims)]
    if lose:
        yield Finding(
            "warn",
            topic=TOPIC,
            host=_on(lose),
            seen=f"{_names(lose)}: a volume of kind hostPath without nodeAffinity",
            why="on another node the Pod starts with an empty directory; its data stays behind",
            fix="use local volumes, which keep the Pod on its node",
        )
    if paths := [pod for pod in moved if pod.host_paths]:
        yield Finding(
            "note", topic=TOPIC, host=_on(paths), seen=f"{_names(paths)}: directories of the host (hostPath) do not move along"
        )


def _deleted(moved: list[Pod], named: Named) -> Iterator[Finding]:
    let = [pod for pod in moved if refusals(pod) and named.lets(pod)]
    if bare := [pod for pod in let if "no controller" in refusals(pod)]:
        yield Finding("note", topic=TOPIC, host=_on(bare), seen=f"deleted for good, as named: {_names(bare)}")
    if lost := [pod for pod in let if "local storage" in refusals(pod)]:
        yield Finding("note", topic=TOPIC, host=_on(lost), seen=f"emptyDir data is deleted, as named: {_names(lost)}")


def _misnamed(cluster: Cluster, named: Named) -> Iterator[Finding]:
    known = {name for pod in cluster.pods for name in (pod.key, pod.workload)} | {"*"}
    for flag, names in (("--force-pods", named.force), ("--delete-emptydir-data", named.empty_dirs)):
        if unknown := sorted(names - known):
            yield Finding(
                "warn", topic=TOPIC, seen=f"{flag}: there is no Pod {listed(unknown)}", fix="kubectl get pods -A -o wide"
            )


def _jobs(moved: list[Pod]) -> Iterator[Finding]:
    if jobs := [pod for pod in moved if pod.owner[0] == "Job"]:
        why = "their work begins again on another node; for a Job an evicted Pod counts as failed (backoffLimit)"
        yield Finding("note", topic=TOPIC, host=_on(jobs), seen=f"Pods of Jobs are evicted: {_names(jobs)}", why=why)


def _cordoned(cluster: Cluster, drained: set[str]) -> Iterator[Finding]:
    if found := sorted(name for name, node in cluster.nodes.items() if node.cordoned and not node.marked):
        own = "; they stay cordoned" if drained & set(found) else ""
        yield Finding("note", topic=TOPIC, host=listed(found), seen=f"cordoned already: they take no Pods{own}")


def _pending(cluster: Cluster) -> Iterator[Finding]:
    if waiting := [pod for pod in cluster.pods if not pod.node and not pod.leaving]:
        seen = f"{counted(len(waiting), 'Pod')} Pending already, and not in the forecast: {_names(waiting)}"
        yield Finding("note", topic=TOPIC, seen=seen, why="they may take room that the forecast gives to evicted Pods")


def _odd(moved: list[Pod]) -> Iterator[Finding]:
    """Return what Pods use that the forecast does not know."""
    by_reason: dict[str, list[Pod]] = {}
    for pod in moved:
        for reason in pod.odd:
            by_reason.setdefault(reason, []).append(pod)
    for reason, pods in by_reason.items():
        yield Finding("note", topic=TOPIC, host=_on(pods), seen=f"{_names(pods)}: not in the forecast: {reason}")


def _returning(forecast: Forecast) -> Iterator[Finding]:
    back = [each.pod for drain in forecast.drains for each in drain.evictions if each.to in drain.nodes]
    if back:
        seen = f"{_names(back)}: tolerates cordons, so it may come back to the node while it is cordoned"
        yield Finding("note", topic=TOPIC, host=_on(back), seen=seen, why="it may run on the node while that is worked on")


def _hooks(cluster: Cluster) -> Iterator[Finding]:
    if refusing := sorted({hook.name for hook in cluster.hooks if judges(hook, "CREATE", "/pods/eviction")}):
        seen = f"webhooks that judge evictions, and may refuse some: {listed(refusing)}"
        yield Finding("note", topic=TOPIC, seen=seen)
    if unknown := sorted(
        {f"{hook.name} (Service {hook.service})" for hook in cluster.hooks if not cluster.services.get(hook.service)}
    ):
        seen = f"who answers for these webhooks is not known, their Service is missing or selects no Pods: {listed(unknown)}"
        yield Finding("note", topic=TOPIC, seen=seen, why="the forecast cannot tell when nobody does")
