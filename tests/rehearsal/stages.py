"""The stages of the journey: what is broken first, the command, how it has to end, and what proves that it did what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from lab.process import Done
from tests.support.expiry import end_everything
from tests.support.loss import lose_data, without_quorum
from tests.support.operator import Operator
from tests.support.stock import CONFIG_MAPS, STOCK, WHOLE, counted, fill, kubectl, works
from tests.support.waiting import eventually

CLUSTER = "ha-cluster"


def nothing(_: Operator) -> None:
    """Break nothing."""


def finished(_: Operator, __: Done) -> None:
    """The exit status says enough."""


@dataclass(frozen=True)
class Stage:
    """One command of the journey. ``needs``: stages without which it makes no sense; after a failure each needs a cluster that is well."""

    title: str
    words: tuple[str, ...]
    before: Callable[[Operator], None] = nothing
    proof: Callable[[Operator, Done], None] = finished
    exits: tuple[int, ...] = (0,)
    needs: tuple[str, ...] = ()


# ---- what proves it


def whole(operator: Operator, _: Done) -> None:
    """cluster.verify is green, and every object of the stock is there."""
    operator.verified()
    assert (found := counted(operator)) == WHOLE, f"the cluster has {found} of the {WHOLE} objects of its stock"


def stands(operator: Operator, done: Done) -> None:
    """The same, and everything at work: controllers, scheduler and kubelets see what is made now."""
    whole(operator, done)
    works(operator)


def serves(operator: Operator, _: Done) -> None:
    """One member of three is back: the rest of the proof has to wait until the others are."""
    assert (found := counted(operator)) == WHOLE, f"the cluster has {found} of the {WHOLE} objects of its stock"
    works(operator)


def gone(host: str, asked: str) -> Callable[[Operator, Done], None]:
    """Return the proof that the cluster has no node ``host`` any more, and etcd no such member; ``asked`` is a host that stays."""

    def left(operator: Operator) -> list[str]:
        nodes = kubectl(operator, "get", "nodes", "-o", "name", host=asked)
        members = operator.inv("etcd.members", "--json")
        if nodes.returncode or not members.stdout:
            return [nodes.stderr, members.stderr]
        there = {"node": nodes.stdout.split(), "member": [each["name"] for each in json.loads(members.stdout)]}
        assert f"node/{asked}" in there["node"], f"{asked} is not in the list of nodes: {there['node']}"
        return [f"{host} is still a {kind}" for kind, names in there.items() if {host, f"node/{host}"} & set(names)]

    return lambda operator, _: eventually(lambda: left(operator), [], 60)


def extracted(_: Operator, done: Done) -> None:
    """All of them are there, with their contents."""
    found = [done.stdout.count(text) for text in ("\nkind: ConfigMap\n", f"\n  namespace: {STOCK}\n", "x" * 1000)]
    assert min(found) >= CONFIG_MAPS, f"{found} of {CONFIG_MAPS} objects"


def saved(operator: Operator, _: Done) -> None:
    """The set says of itself that nothing is missing, and holds more than the stock."""
    kinds = json.loads(operator.good("backup.show", "--json"))["manifest"]["kinds"]
    total = sum(each["objects"] for each in kinds.values())
    assert total > sum(WHOLE), f"{total} objects in the set"


def well(operator: Operator, _: Done) -> None:
    """Find nothing, but for the load of the machine that all hosts share."""

    def grave() -> list[str]:
        said = json.loads(operator.inv("doctor", "--json").stdout.splitlines()[0])
        return [
            f"{each['topic']}: {each['seen']}"
            for each in said["findings"]
            if each["severity"] != "note" and not (each["topic"] == "load" and each["seen"].startswith("load "))
        ]

    eventually(grave, [], 120)


STAGES = (
    Stage("lb.setup", ("lb.setup",)),
    Stage("cluster.init, 3 + 1 hosts", ("cluster.init",), needs=("lb.setup",)),
    Stage("cluster.verify", ("cluster.verify",)),
    Stage("backup.run", ("backup.run",), before=lambda operator: fill(operator.lab), proof=saved),
    Stage("backup.verify", ("backup.verify",), needs=("backup.run",)),
    Stage("backup.restore-test", ("backup.restore-test",), needs=("backup.run",)),
    Stage(
        "backup.extract",
        ("backup.extract", "--kind", "configmaps", "--namespace", STOCK),
        proof=extracted,
        needs=("backup.run",),
    ),
    Stage("cluster.remove, a worker", ("cluster.remove", "--host", "worker1"), proof=gone("worker1", asked="master1")),
    Stage("cluster.join, the worker", ("cluster.join", "--host", "worker1"), proof=whole),
    Stage(
        "cluster.remove, the dead first host",
        ("cluster.remove", "--host", "master1"),
        before=lambda operator: operator.lab.off("master1"),
        proof=gone("master1", asked="master2"),
    ),
    Stage(
        "cluster.join, its empty replacement",
        ("cluster.join", "--host", "master1"),
        before=lambda operator: operator.lab.reset("master1"),
        proof=whole,
    ),
    Stage(
        "recover.etcd-member, data lost",
        ("recover.etcd-member", "--member", "master2"),
        before=lambda operator: lose_data(operator, "master2"),
        proof=whole,
    ),
    Stage(
        "recover.etcd-quorum, two of three lost",
        ("recover.etcd-quorum", "--yes-restore", CLUSTER),
        before=lambda operator: without_quorum(operator, "master2", "master3"),
        proof=serves,
        exits=(5,),
    ),
    Stage(
        "cluster.join, two empty hosts",
        ("cluster.join", "--host", "master2,master3"),
        before=lambda operator: operator.lab.reset("master2", "master3"),
        proof=stands,
        needs=("recover.etcd-quorum, two of three lost",),
    ),
    Stage("certs.renew --force", ("certs.renew", "--force"), proof=whole),
    Stage("recover.certs, all have ended", ("recover.certs",), before=end_everything, proof=stands),
    Stage("doctor", ("doctor",), proof=well, exits=(0, 1)),
)
