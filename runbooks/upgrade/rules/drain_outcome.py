"""What a drain that was not finished means, and which budget stopped it. Pure.

kubectl does not name the budget: the API puts it into the details of its answer, which kubectl does not print. So the budgets are those
whose selectors meet the Pod, in a fresh reading of the cluster.
"""

from __future__ import annotations

from collections.abc import Iterator

from runbooks.commands.drain import Drained
from runbooks.commands.drain_objects import Budget, Cluster
from runbooks.rules.finding import Finding
from runbooks.text import first_few, listed
from runbooks.upgrade.rules.evictions import allowed, budgets_of

TOPIC = "drain"
TOLD = 5
FLAGS = {"local storage": "--delete-emptydir-data", "no controller": "--force-pods NAMESPACE/NAME"}


def outcome(node: str, drained: Drained, cluster: Cluster) -> list[Finding]:
    """Return what kept ``node`` from being drained: a failure for each Pod or cause; one that is ok when all is gone.

    ``cluster``: read after the drain.
    """
    if drained.done:
        return [
            Finding(
                "ok", topic=TOPIC, host=node, seen=f"{len(drained.evicted)} evicted: {listed(first_few(drained.evicted, TOLD))}"
            )
        ]
    rows = [*_blocked(node, drained, cluster), *_refused(node, drained), *_terminating(node, drained), *_failed(node, drained)]
    if drained.error or not rows:
        words = drained.error or "kubectl did not say why"
        rows.append(Finding("fail", topic=TOPIC, host=node, seen=f"the drain failed: {words}", fix="inv cluster.status"))
    return rows


def _blocked(node: str, drained: Drained, cluster: Cluster) -> Iterator[Finding]:
    budgets = {each.key: each for each in cluster.budgets}
    of = budgets_of(cluster)
    for pod, words in drained.blocked.items():
        namespace = pod.partition("/")[0]
        mine = [budgets[key] for key in of.get(pod, ())]
        by = listed(f"the budget {each.key} ({_state(each)})" for each in mine) or "a budget that is not known any more"
        names = " ".join(each.name for each in mine)
        yield Finding(
            "fail",
            topic=TOPIC,
            host=node,
            seen=f"{pod} was not evicted: held by {by}",
            why=words,
            fix=f"kubectl -n {namespace} get poddisruptionbudgets {names}".rstrip()
            + f"; kubectl -n {namespace} get pods -o wide",
        )


def _state(budget: Budget) -> str:
    if budget.stale:
        return budget.stale
    return f"wants {budget.desired} healthy, has {budget.healthy}, allows {allowed(budget, budget.healthy)} now"


def _refused(node: str, drained: Drained) -> Iterator[Finding]:
    for reason, pods in drained.refused.items():
        flag = next((flag for word, flag in FLAGS.items() if word in reason), "")
        if not flag and "managed by" in reason:  # the words of kubectl 1.20
            flag = FLAGS["no controller"]
        seen = f"nothing was evicted: kubectl refuses {reason}: {listed(first_few(pods, TOLD))}"
        fix = (
            f"when they may be deleted: {flag}" if flag else f"kubectl get pods -A -o wide --field-selector spec.nodeName={node}"
        )
        yield Finding("fail", topic=TOPIC, host=node, seen=seen, fix=fix)


def _terminating(node: str, drained: Drained) -> Iterator[Finding]:
    for pod in drained.terminating:
        namespace, _, name = pod.partition("/")
        yield Finding(
            "fail",
            topic=TOPIC,
            host=node,
            seen=f"{pod} was evicted, but is still there",
            why="its containers take longer to end than the drain's timeout, or a finalizer holds it",
            fix=f"kubectl -n {namespace} get pod {name} -o yaml; on {node}: crictl ps --name {name}",
        )


def _failed(node: str, drained: Drained) -> Iterator[Finding]:
    for pod, words in drained.failed.items():
        fix = f"kubectl -n {pod.partition('/')[0]} get poddisruptionbudgets,pods -o wide"
        yield Finding("fail", topic=TOPIC, host=node, seen=f"{pod} was not evicted: {words}", fix=fix)
