"""What the forecast of all drains means for the operator: where the run would stop, and what is down meanwhile. Pure.

A failure is what stops the run. A warning is what does not stop it, or may stop it, depending on where the scheduler puts Pods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from runbooks.commands.drain_objects import Cluster, Hook
from runbooks.rules.finding import Finding, rank
from runbooks.text import age_text, counted, first_few, listed
from runbooks.upgrade.rules.drain_notes import notes
from runbooks.upgrade.rules.drain_webhooks import locks_itself_out
from runbooks.upgrade.rules.drains import Block, Drain, Forecast, Homeless, Kind
from runbooks.upgrade.rules.evictions import Named

TOPIC = "drains"
TOLD = 4  # how many Pods or nodes a finding names
STOPS = "the run stops there, before anything else is done on the node"
LOOK = {
    "poddisruptionbudgets.policy": "which budgets there are",
    "persistentvolumes": "which volumes bind Pods to nodes",
    "services": "which Pods answer for webhooks",
    "namespaces": "which namespaces affinity and webhooks mean",
}


def findings(cluster: Cluster, order: Sequence[Sequence[str]], named: Named, forecast: Forecast) -> list[Finding]:
    """Return all findings of the drains, in the order of the run; one that is ok when nothing stops or harms it."""
    rows = [
        *_unread(cluster),
        *_nodes(cluster, order),
        *_blocks(cluster, forecast),
        *_homeless(cluster, forecast),
        *_webhooks(cluster, forecast),
        *notes(cluster, order, named, forecast),
    ]
    if all(rank(each.severity) < rank("warn") for each in rows):
        rows.insert(0, Finding("ok", topic=TOPIC, seen=_summary(forecast)))
    return rows


def too_long(forecast: Forecast, limit_s: int) -> list[Finding]:
    """Return what a time limit of ``limit_s`` seconds for each drain means: a failure where even the fastest drain takes longer."""
    found = []
    for drain in forecast.drains:
        least, most = drain.seconds()
        if most > limit_s:
            certain = least > limit_s
            seen = f"its drain takes {age_text(least)} to {age_text(most)}, and is given {age_text(limit_s)}"
            fix = f"--drain-timeout {drain.timeout_s}"
            why = STOPS if certain else f"Pods that use all of their grace period make it fail; {STOPS}"
            found.append(
                Finding("fail" if certain else "note", topic=TOPIC, host=listed(drain.nodes), seen=seen, why=why, fix=fix)
            )
    return found


def _summary(forecast: Forecast) -> str:
    evictions = sum(len(each.evictions) for each in forecast.drains)
    nodes = sum(len(each.nodes) for each in forecast.drains)
    return f"{counted(nodes, 'node')} drained in {counted(len(forecast.drains), 'turn')}, {counted(evictions, 'eviction')}: no budget blocks, every Pod finds a place"


def _unread(cluster: Cluster) -> Iterator[Finding]:
    for kind, error in cluster.errors.items():
        why = f"it is not known {LOOK.get(kind, 'what a drain would do')}"
        yield Finding("fail", topic=TOPIC, seen=f"{kind}: {error}", why=why, fix=f"kubectl get {kind.partition('.')[0]} -A")


def _nodes(cluster: Cluster, order: Sequence[Sequence[str]]) -> Iterator[Finding]:
    for name in (name for group in order for name in group):
        node = cluster.nodes.get(name)
        if not node and "nodes" not in cluster.errors:
            yield Finding("fail", topic=TOPIC, host=name, seen="there is no such node", fix="inv cluster.status")
        elif node and not node.ready:
            why = "evicted Pods do not end while the kubelet is silent, so the drain never does"
            yield Finding("fail", topic=TOPIC, host=name, seen="it is not Ready", why=why, fix="inv doctor")


# ---- what stops it


def _blocks(cluster: Cluster, forecast: Forecast) -> Iterator[Finding]:
    """Return one finding for each cause, with all the nodes at which it stops the run."""
    causes: dict[tuple[Kind, str], list[tuple[Drain, Block]]] = {}
    for drain in forecast.drains:
        for block in drain.blocks:
            cause = listed(block.budgets) if block.kind == "budget" else block.pod.workload
            causes.setdefault((block.kind, cause), []).append((drain, block))
    tell: dict[Kind, Callable[[Cluster, list[tuple[Drain, Block]]], tuple[str, str]]] = {
        "budget": _by_budget,
        "two budgets": _by_two,
        "no controller": _by_kubectl,
        "local storage": _by_kubectl,
    }
    total = len(forecast.drains)
    for (kind, _), those in causes.items():
        certain = any(block.certain for _, block in those)
        seen, fix = tell[kind](cluster, those)
        at = listed(first_few([f"{each.node} (turn {drain.place} of {total})" for drain, each in _first_of_each(those)], TOLD))
        doubt = "" if certain else "; it depends on where the scheduler puts Pods that were evicted before"
        yield Finding(
            "fail" if certain else "warn",
            topic=TOPIC,
            host=listed(each.node for _, each in _first_of_each(those)),
            seen=f"{seen}: at {at}",
            why=f"{STOPS}{doubt}",
            fix=fix,
        )


def _first_of_each(those: list[tuple[Drain, Block]]) -> list[tuple[Drain, Block]]:
    return list({block.node: (drain, block) for drain, block in reversed(those)}.values())[::-1]


def _pods(those: list[tuple[Drain, Block]]) -> str:
    return listed(first_few(list(dict.fromkeys(block.pod.key for _, block in those)), TOLD))


def _by_budget(cluster: Cluster, those: list[tuple[Drain, Block]]) -> tuple[str, str]:
    drain, block = those[0]
    budget = next(each for each in cluster.budgets if each.key == block.budgets[0])
    gone = sum(not each.to and each.left is not None for each in drain.evictions)
    if budget.stale:
        state = budget.stale
    elif budget.healthy <= budget.desired:
        state = f"it wants {budget.desired} healthy and has {budget.healthy}"
    else:
        state = f"it wants {budget.desired} healthy, has {budget.healthy}, and {counted(gone, 'evicted Pod')} found no other node"
    seen = f"the budget {budget.key} does not let {_pods(those)} go: {state}"
    get = f"kubectl -n {budget.namespace} get poddisruptionbudget {budget.name} -o yaml"
    if budget.stale:
        return seen, f"{get}; its status says why; inv cluster.verify"
    return (
        seen,
        f"{get}; start one more replica of {block.pod.workload}, or let the budget allow one more for the time of the upgrade",
    )


def _by_two(_: Cluster, those: list[tuple[Drain, Block]]) -> tuple[str, str]:
    budgets = those[0][1].budgets
    names = listed(key.partition("/")[2] for key in budgets)
    namespace = those[0][1].pod.namespace
    seen = f"{_pods(those)} has {len(budgets)} budgets ({names}): the API never evicts such a Pod"
    return (
        seen,
        f"kubectl -n {namespace} get poddisruptionbudgets; change a selector or delete one, so that one budget is left for it",
    )


def _by_kubectl(_: Cluster, those: list[tuple[Drain, Block]]) -> tuple[str, str]:
    block = those[0][1]
    if block.kind == "no controller":
        seen = f"{_pods(those)} is a bare Pod: nothing creates it again, so kubectl refuses to drain the node at all"
        return seen, f"move it, or name it, and it is deleted for good: --force-pods {block.pod.key}"
    volumes = listed(block.pod.empty_dirs)
    seen = f"{_pods(those)} of {block.pod.workload} has data in emptyDir ({volumes}), so kubectl refuses to drain the node at all"
    return seen, "look what is in there; when it may be deleted: --delete-emptydir-data"


# ---- what is down meanwhile


def _homeless(cluster: Cluster, forecast: Forecast) -> Iterator[Finding]:
    by_workload: dict[str, list[tuple[Drain, Homeless]]] = {}
    for drain in forecast.drains:
        for each in drain.homeless:
            by_workload.setdefault(each.pod.workload, []).append((drain, each))
    for workload, those in by_workload.items():
        drain, first = next(((d, each) for d, each in those if each.certain), those[0])
        nodes = list(dict.fromkeys(each.node for _, each in those))
        verb = "finds" if first.certain else "may find"
        seen = f"{first.pod.key} of {workload} {verb} no other node while {listed(drain.nodes)} is drained: {first.why}"
        late = [each.pod.key for _, each in those if not each.returns]
        why = (
            f"{listed(first_few(late, TOLD))} is not placed afterwards either"
            if late
            else "it is Pending until its node takes Pods again"
        )
        if first.pod.preempts and first.pod.priority > 0:
            why += "; with its priority it may push out other Pods, which this forecast does not follow"
        total = sum(pod.workload == workload and not pod.leaving for pod in cluster.pods)
        down = max(sum(each.pod.workload == workload for each in one.homeless) for one in forecast.drains)
        fix = f"let it run on one more node, or accept that {total - down} of {counted(total, 'Pod')} of {workload} are left meanwhile"
        yield Finding("warn", topic=TOPIC, host=listed(nodes), seen=seen, why=why, fix=fix)


def _webhooks(cluster: Cluster, forecast: Forecast) -> Iterator[Finding]:
    first: dict[Hook, Drain] = {}
    for drain in forecast.drains:
        for hook in drain.silenced:
            first.setdefault(hook, drain)
    for hook, drain in first.items():
        stuck = locks_itself_out(cluster, hook)
        seen = f'all that answers for the webhook "{hook.name}" of the {hook.kind} {hook.configuration} (failurePolicy Fail) is on {listed(drain.nodes)}'
        judged = listed(first_few(sorted({each for _, resources in hook.rules for each in resources}), TOLD))
        why = f"while its Pods move, the API refuses writes that it has to judge ({judged})"
        if stuck:
            why = "it also judges its own Pods: once they are evicted, the API refuses to create them again"
        namespace, _, service = hook.service.partition("/")
        fix = f"run its Pods on two nodes, with a budget: kubectl -n {namespace} get pods,service/{service} -o wide"
        yield Finding("fail" if stuck else "warn", topic=TOPIC, host=listed(drain.nodes), seen=seen, why=why, fix=fix)
